//! What the contract costs natively, to compare with the same work in the sandbox.
//!
//! `cargo bench -p muster-contract`

use std::fmt::Write as _;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use muster_contract::{DEFAULT_MAX_CONTACTS, UrlTemplate, parse_refresh, parse_roster};

fn main() {
    divan::main();
}

/// An answer as apps send it: a name, a group, plain ASCII addresses.
fn answer(contacts: usize) -> String {
    let mut document = String::from("{");
    for i in 0..contacts {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            document,
            r#"{comma}"user{i:05}@example.test":{{"name":"User {i}","groups":["Friends"]}}"#
        );
    }
    document + "}"
}

#[divan::bench(args = [20, 100, 1_000])]
fn roster(bencher: Bencher<'_, '_>, contacts: usize) {
    let document = answer(contacts);
    bencher.counter(BytesCount::of_str(&document)).bench(|| {
        parse_roster(black_box(document.as_bytes()), DEFAULT_MAX_CONTACTS)
            .map(|roster| roster.contacts.len())
    });
}

#[divan::bench(args = [1, 100, 1_000])]
fn refresh(bencher: Bencher<'_, '_>, names: usize) {
    let body = format!("[{}]", vec![r#""user00001""#; names].join(","));
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| parse_refresh(black_box(body.as_bytes()), 10_000).map(|names| names.len()));
}

#[divan::bench]
fn url(bencher: Bencher<'_, '_>) {
    let template = UrlTemplate::parse("http://127.0.0.1:8080/contacts/%s");
    bencher.bench(|| {
        let template = template.as_ref().ok()?;
        template.path_and_query(black_box("john.o'hara")).ok()
    });
}
