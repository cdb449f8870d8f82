//! A wrong password and an unknown user: the same answer, the same work.
//!
//! Work is counted in iterations of PBKDF2, beside which the rest of a login is
//! nothing; time would tell the same, if nothing else ran.

use std::sync::atomic::AtomicU64;

use muster_xmpp::sasl::MIN_ITERATIONS;

use super::*;

/// Users, and the work that they have cost.
struct Bench {
    users: Arc<StaticUsers>,
    iterations: Arc<AtomicU64>,
}

impl Bench {
    fn new(users: &[(&str, Credential)]) -> Bench {
        let iterations = Arc::new(AtomicU64::new(0));
        let users = users
            .iter()
            .map(|(name, credential)| (NodePart::new(name).unwrap().into_owned(), credential));
        let users = users.map(|(name, credential)| (name, credential.clone()));
        Bench {
            users: Arc::new(StaticUsers::unsettled(
                users.collect(),
                Zeroizing::new([7; 32]),
                Counter::from_arc(Arc::clone(&iterations)),
            )),
            iterations,
        }
    }

    fn settled(users: &[(&str, Credential)]) -> Bench {
        let bench = Bench::new(users);
        settle(&Arc::downgrade(&bench.users));
        bench.iterations.store(0, Ordering::Relaxed);
        bench
    }

    fn work(&self) -> u64 {
        self.iterations.swap(0, Ordering::Relaxed)
    }

    /// The verdict on a password, and what it cost.
    async fn plain(&self, user: &str, password: &str) -> (Verdict, u64) {
        let verdict = self.users.verify(&account(user), password.into()).await;
        (verdict, self.work())
    }

    /// The credentials for SCRAM, and what they cost.
    async fn scram(&self, user: &str, kind: ScramKind) -> (CredentialsAnswer, u64) {
        let found = self.users.credentials(&account(user), kind).await;
        (found, self.work())
    }
}

fn account(user: &str) -> BareJid {
    BareJid::new(&format!("{user}@example.test")).unwrap()
}

fn configured(password: &str) -> Credential {
    Credential::Password(password.into())
}

/// As from a users file.
fn stored(password: &str, iterations: u32) -> Credential {
    let salts = [[3; SALT_BYTES], [4; SALT_BYTES]];
    let credentials = AccountCredentials::from_password(password, salts, iterations);
    Credential::Scram(Arc::new(credentials.unwrap()))
}

/// Every mixture of sources, before and after the passwords were derived.
fn benches() -> Vec<(&'static str, Bench)> {
    let passwords = || {
        [
            ("john", configured("secret")),
            ("marie", configured("geheim")),
        ]
    };
    let file = || {
        [
            ("john", stored("secret", DEFAULT_ITERATIONS)),
            ("marie", stored("geheim", DEFAULT_ITERATIONS)),
        ]
    };
    let mixed = || {
        [
            ("john", configured("secret")),
            ("marie", stored("geheim", DEFAULT_ITERATIONS)),
        ]
    };
    vec![
        ("passwords, at first", Bench::new(&passwords())),
        ("passwords", Bench::settled(&passwords())),
        ("a file", Bench::new(&file())),
        ("both, at first", Bench::new(&mixed())),
        ("both", Bench::settled(&mixed())),
    ]
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_cost_the_same() {
    for (what, bench) in benches() {
        // Twice, since the first time could differ from the second one.
        for round in 1..=2 {
            let (verdict, work) = bench.plain("nobody", "wrong").await;
            assert_eq!(verdict, Verdict::Rejected);
            assert!(work >= DEFAULT_ITERATIONS.into(), "{what}: {work}");
            for (user, password, expected) in [
                ("john", "wrong", Verdict::Rejected),
                ("marie", "wrong", Verdict::Rejected),
                ("john", "secret", Verdict::Accepted),
                ("marie", "geheim", Verdict::Accepted),
                ("nobody", "secret", Verdict::Rejected),
                // Passwords that nobody can have.
                ("john", "\0", Verdict::Rejected),
                ("nobody", "\0", Verdict::Rejected),
            ] {
                let case = format!("{what}, round {round}, {user} with {password:?}");
                let answer = bench.plain(user, password).await;
                assert_eq!(answer, (expected, work), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn the_challenge_of_an_unknown_user_costs_the_same_and_looks_real() {
    for (what, bench) in benches() {
        for round in 1..=2 {
            for kind in [ScramKind::Sha1, ScramKind::Sha256] {
                let (fake, work) = bench.scram("nobody", kind).await;
                let CredentialsAnswer::Found(fake) = fake else {
                    panic!("{what}: {fake:?}");
                };
                for user in ["john", "marie"] {
                    let (found, cost) = bench.scram(user, kind).await;
                    let CredentialsAnswer::Found(found) = found else {
                        panic!("{what}: {found:?}");
                    };
                    assert_eq!(cost, work, "{what}, round {round}, {user}");
                    assert_eq!(found.parameters(), fake.parameters());
                    assert_ne!(found.salt(), fake.salt());
                }
                let (again, _) = bench.scram("nobody", kind).await;
                let CredentialsAnswer::Found(again) = again else {
                    panic!("{what}: {again:?}");
                };
                assert_eq!(again.salt(), fake.salt(), "a real salt does not change");
            }
        }
    }
}

#[tokio::test]
async fn scram_costs_no_iterations_once_everything_is_derived() {
    for bench in [
        Bench::settled(&[("john", configured("secret"))]),
        Bench::new(&[("john", stored("secret", MIN_ITERATIONS))]),
    ] {
        for user in ["john", "nobody"] {
            let (_, work) = bench.scram(user, ScramKind::Sha256).await;
            assert_eq!(work, 0, "{user}");
        }
    }
}

/// Where accounts differ in their iterations, so do those that do not exist.
#[tokio::test]
async fn an_unknown_user_resembles_one_of_the_real_ones() {
    let bench = Bench::new(&[
        ("john", stored("secret", MIN_ITERATIONS)),
        ("marie", stored("geheim", 2 * MIN_ITERATIONS)),
    ]);
    let mut seen = [false; 2];
    for number in 0..20 {
        let (verdict, work) = bench.plain(&format!("no{number}"), "x").await;
        assert_eq!(verdict, Verdict::Rejected);
        let model = [MIN_ITERATIONS, 2 * MIN_ITERATIONS].map(u64::from);
        let model = model.iter().position(|iterations| *iterations == work);
        seen[model.expect("the work of a real account")] = true;
    }
    assert_eq!(seen, [true; 2]);
}

#[tokio::test]
async fn passwords_are_derived_once_and_only_while_somebody_needs_them() {
    let bench = Bench::new(&[
        ("john", configured("secret")),
        ("marie", configured("geheim")),
    ]);
    settle(&Arc::downgrade(&bench.users));
    assert_eq!(bench.work(), 2 * 2 * u64::from(DEFAULT_ITERATIONS));
    settle(&Arc::downgrade(&bench.users));
    assert_eq!(bench.work(), 0);
    let Bench { users, iterations } = Bench::new(&[("john", configured("secret"))]);
    let gone = Arc::downgrade(&users);
    drop(users);
    settle(&gone);
    assert_eq!(iterations.load(Ordering::Relaxed), 0);
}
