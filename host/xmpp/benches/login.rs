//! What a login costs the server, and that a stranger learns nothing from it:
//! the right password, a wrong one, and a user who does not exist.
//!
//! `cargo bench --bench login` prints a table; its medians for a
//! wrong password and for an unknown user must not differ beyond noise.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench, and what divan generates"
)]

use divan::Bencher;
use muster_xmpp::sasl::{
    AccountCredentials, Binding, ClientFirst, DEFAULT_ITERATIONS, SALT_BYTES, ScramKind,
};

fn main() {
    divan::main();
}

/// Who comes, and with which password.
const CASES: [&str; 3] = ["right", "wrong", "unknown"];

fn credentials(case: &str) -> AccountCredentials {
    let salts = [[1; SALT_BYTES], [2; SALT_BYTES]];
    let known = AccountCredentials::from_password("secret", salts, DEFAULT_ITERATIONS).unwrap();
    match case {
        "unknown" => {
            AccountCredentials::for_unknown(&[7; 32], "nobody@example.test", &[known.parameters()])
        }
        _ => known,
    }
}

/// PLAIN: one derivation.
#[divan::bench(args = CASES, sample_count = 200)]
fn plain(bencher: Bencher<'_, '_>, case: &str) {
    let credentials = credentials(case);
    let password = if case == "right" { "secret" } else { "wrong" };
    bencher.bench(|| credentials.verify_plain(password));
}

/// What is made up for a user who does not exist is made for everybody.
#[divan::bench]
fn made_up() -> AccountCredentials {
    AccountCredentials::for_unknown(&[7; 32], "nobody@example.test", &[])
}

/// SCRAM-SHA-256 from the client's first message to a proof that is wrong: no
/// derivation on the server's side.
#[divan::bench(args = ["wrong", "unknown"])]
fn scram(bencher: Bencher<'_, '_>, case: &str) {
    let credentials = credentials(case);
    let proof = "A".repeat(43);
    bencher.bench(|| {
        let kind = ScramKind::Sha256;
        let first = ClientFirst::parse(kind, b"n,,n=john,r=abc", Binding::Unavailable).unwrap();
        let (scram, _) = first.challenge(&credentials.sha256, "def").unwrap();
        let last = format!("c=biws,r=abcdef,p={proof}=");
        assert!(scram.finish(last.as_bytes()).is_err());
    });
}
