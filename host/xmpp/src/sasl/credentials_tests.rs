//! Credentials: made, compared, written and read.

use super::super::{AccountCredentials, AccountParameters};
use super::*;

const SALT: [u8; SALT_BYTES] = *b"0123456789abcdef";

fn account() -> AccountCredentials {
    AccountCredentials::from_password("s3cret", [SALT; 2], MIN_ITERATIONS).unwrap()
}

#[test]
fn only_the_password_verifies() {
    let account = account();
    for kind in [ScramKind::Sha1, ScramKind::Sha256] {
        let credentials = account.of(kind);
        assert_eq!(credentials.kind(), kind);
        assert!(credentials.verify_plain("s3cret"));
        // Soft hyphens are mapped to nothing by SASLprep.
        assert!(credentials.verify_plain("s3\u{ad}cret"));
        for wrong in ["S3cret", "s3cret ", "", "\0", "-", &"a".repeat(2000)] {
            assert!(!credentials.verify_plain(wrong), "{wrong:?}");
        }
    }
    assert!(account.verify_plain("s3cret"));
}

#[test]
fn a_password_that_cannot_be_prepared_matches_nothing() {
    let dash = AccountCredentials::from_password("-", [SALT; 2], MIN_ITERATIONS).unwrap();
    assert!(dash.verify_plain("-"));
    assert!(!dash.verify_plain("\0"));
}

#[test]
fn unknown_accounts_keep_their_salt() {
    let fake = |secret: u8, name| {
        let parameters = ScramParameters::default();
        ScramCredentials::for_unknown(ScramKind::Sha256, &[secret; 32], name, parameters)
    };
    let nobody = fake(1, "nobody");
    assert_eq!(nobody.salt().len(), SALT_BYTES);
    assert_eq!(nobody.salt(), fake(1, "nobody").salt());
    assert_ne!(nobody.salt(), fake(1, "somebody").salt());
    assert_ne!(nobody.salt(), fake(2, "nobody").salt());
    assert!(!nobody.verify_plain("s3cret"));

    let unknown = AccountCredentials::for_unknown(&[1; 32], "nobody", &[]);
    assert_eq!(unknown.sha256.salt(), nobody.salt());
    assert_ne!(unknown.sha256.salt(), unknown.sha1.salt());
    assert!(!unknown.verify_plain("s3cret"));

    // Not even the one who knows the key gets in.
    let mut forged = account().sha256;
    forged.genuine = false;
    assert!(!forged.verify_plain("s3cret"));
}

#[test]
fn unknown_accounts_are_made_like_their_model() {
    for (iterations, salt_bytes) in [(4_096, 1), (4_096, 16), (15_000, 36), (100_000, 64)] {
        let model = ScramParameters {
            iterations,
            salt_bytes,
        };
        for kind in [ScramKind::Sha1, ScramKind::Sha256] {
            let fake = ScramCredentials::for_unknown(kind, &[1; 32], "nobody", model);
            assert_eq!(fake.parameters(), model);
        }
    }
}

/// A stranger who compares iterations learns nothing either.
#[test]
fn unknown_accounts_are_as_diverse_as_the_real_ones() {
    let model = |iterations| {
        let parameters = ScramParameters {
            iterations,
            salt_bytes: SALT_BYTES,
        };
        AccountParameters {
            sha1: parameters,
            sha256: parameters,
        }
    };
    let models = [model(4_096), model(4_096), model(4_096), model(15_000)];
    let rare = (0..1_000).filter(|number| {
        let fake = || AccountCredentials::for_unknown(&[1; 32], &format!("no{number}"), &models);
        assert_eq!(fake().parameters(), fake().parameters());
        fake().parameters() == model(15_000)
    });
    let rare = rare.count();
    assert!((200..300).contains(&rare), "{rare} of 1,000, not a quarter");
}

#[test]
fn records_are_read_as_they_were_written() {
    let account = account();
    let record = account.to_record();
    let read: AccountCredentials = record.parse().unwrap();
    assert_eq!(*read.to_record(), *record);
    assert!(read.sha1.verify_plain("s3cret"));
    assert!(read.sha256.verify_plain("s3cret"));
    assert!(record.starts_with("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$"));
}

#[test]
fn records_are_checked() {
    use CredentialsError::{Form, Incomplete, Iterations, Key, Mechanism, Salt};
    let key = STANDARD.encode([1; 20]);
    let record = |text: &str| text.replace("KEY", &key);
    for (text, fault) in [
        ("", Form),
        ("SCRAM-SHA-1$4096:AAAA", Form),
        ("SCRAM-SHA-1$4096$KEY:KEY", Form),
        ("SCRAM-SHA-1$4096:AAAA$KEY", Form),
        ("SCRAM-SHA-1$4096:AAAA$KEY:KEY$", Form),
        ("SCRAM-SHA-512$4096:AAAA$KEY:KEY", Mechanism),
        ("SCRAM-SHA-1$4095:AAAA$KEY:KEY", Iterations),
        ("SCRAM-SHA-1$1000001:AAAA$KEY:KEY", Iterations),
        ("SCRAM-SHA-1$-1:AAAA$KEY:KEY", Iterations),
        ("SCRAM-SHA-1$4096:$KEY:KEY", Salt),
        ("SCRAM-SHA-1$4096:AAA$KEY:KEY", Key),
        ("SCRAM-SHA-1$4096:AAAA$KEY:AAAA", Key),
        ("SCRAM-SHA-256$4096:AAAA$KEY:KEY", Key),
    ] {
        let read = record(text).parse::<ScramCredentials>();
        assert_eq!(read.unwrap_err(), fault, "{text}");
    }
    let one = record("SCRAM-SHA-1$4096:AAAA$KEY:KEY");
    assert!(one.parse::<ScramCredentials>().is_ok());
    for text in [String::new(), one.clone(), format!("{one} {one}")] {
        let read = text.parse::<AccountCredentials>();
        assert_eq!(read.unwrap_err(), Incomplete, "{text}");
    }
}

#[test]
fn passwords_and_parameters_are_checked() {
    use CredentialsError::{Iterations, PasswordCharacters, PasswordEmpty, PasswordTooLong, Salt};
    let long = "a".repeat(MAX_PASSWORD_BYTES + 1);
    for (password, salt, iterations, fault) in [
        ("", SALT.as_slice(), 4096, PasswordEmpty),
        ("\u{ad}", &SALT, 4096, PasswordEmpty),
        ("a\u{7}b", &SALT, 4096, PasswordCharacters),
        // Unassigned in Unicode 3.2.
        ("a\u{1f600}", &SALT, 4096, PasswordCharacters),
        (&long, &SALT, 4096, PasswordTooLong),
        ("a", b"", 4096, Salt),
        ("a", &[0; 65], 4096, Salt),
        ("a", &SALT, 1, Iterations),
        ("a", &SALT, u32::MAX, Iterations),
    ] {
        let made = ScramCredentials::from_password(ScramKind::Sha1, password, salt, iterations);
        assert_eq!(made.unwrap_err(), fault, "{password:?}");
    }
}

#[test]
fn debug_shows_no_key() {
    let account = account();
    let shown = format!("{account:?}");
    let record = account.to_record();
    assert!(shown.contains("4096"));
    for secret in record.split(['$', ':', ' ']).filter(|part| part.len() > 15) {
        assert!(!shown.contains(secret), "{shown}");
    }
}
