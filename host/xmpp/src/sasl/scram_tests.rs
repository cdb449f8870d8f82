//! The exchange against the vectors of the RFCs, and against every deviation.

use proptest::prelude::*;

use super::super::binding::ChannelBindings;
use super::super::credentials::ScramParameters;
use super::super::crypto::ScramKind;
use super::*;

/// One RFC's example exchange: everything that both sides say.
struct Vector {
    kind: ScramKind,
    salt: &'static str,
    client_first: &'static str,
    server_nonce: &'static str,
    server_first: &'static str,
    client_final: &'static str,
    server_final: &'static str,
}

/// RFC 5802 §5.
const SHA1: Vector = Vector {
    kind: ScramKind::Sha1,
    salt: "QSXCR+Q6sek8bf92",
    client_first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    server_nonce: "3rfcNHYJY1ZVvWVs7j",
    server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
};

/// RFC 7677 §3.
const SHA256: Vector = Vector {
    kind: ScramKind::Sha256,
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

impl Vector {
    fn credentials(&self) -> ScramCredentials {
        let salt = STANDARD.decode(self.salt).unwrap();
        ScramCredentials::from_password(self.kind, "pencil", &salt, 4096).unwrap()
    }

    /// The exchange after the vector's own challenge.
    fn challenged(&self) -> Scram {
        let first = ClientFirst::parse(
            self.kind,
            self.client_first.as_bytes(),
            Binding::Unavailable,
        )
        .unwrap();
        let (scram, server_first) = first
            .challenge(&self.credentials(), self.server_nonce)
            .unwrap();
        assert_eq!(server_first, self.server_first);
        scram
    }
}

/// What an honest client answers to `server_first`.
fn client_final(kind: ScramKind, bare: &str, header: &[u8], server_first: &str) -> String {
    let mut fields = server_first.split(',');
    let nonce = fields.next().unwrap().strip_prefix("r=").unwrap();
    let salt = fields.next().unwrap().strip_prefix("s=").unwrap();
    let iterations = fields.next().unwrap().strip_prefix("i=").unwrap();
    let salt = STANDARD.decode(salt).unwrap();
    let salted = kind.hi(b"pencil", &salt, iterations.parse().unwrap());
    let client_key = kind.hmac(&salted, &[b"Client Key"]);
    let without_proof = format!("c={},r={nonce}", STANDARD.encode(header));
    let message = format!("{bare},{server_first},{without_proof}");
    let signature = kind.hmac(&kind.hash(&client_key), &[message.as_bytes()]);
    let proof: Vec<u8> = client_key
        .iter()
        .zip(signature.iter())
        .map(|(a, b)| a ^ b)
        .collect();
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

#[test]
fn the_vectors_of_the_rfcs() {
    for vector in [SHA1, SHA256] {
        let answer = vector.challenged().finish(vector.client_final.as_bytes());
        assert_eq!(answer.as_deref(), Ok(vector.server_final));
    }
}

#[test]
fn the_first_message() {
    use ScramError::{BindingNotAgreed, Extension, Malformed, TooLong};
    let parse = |message: &str| {
        ClientFirst::parse(ScramKind::Sha256, message.as_bytes(), Binding::Unavailable)
    };
    for (message, username, authzid) in [
        ("n,,n=john,r=abc", "john", None),
        ("y,,n=john,r=abc", "john", None),
        ("n,,n=jo=2Chn=3D,r=abc", "jo,hn=", None),
        ("n,,n=john,r=abc,x=1,y=22", "john", None),
        (
            "n,a=john@example.test,n=john,r=abc",
            "john",
            Some("john@example.test"),
        ),
    ] {
        let first = parse(message).expect(message);
        assert_eq!(first.username(), username);
        assert_eq!(first.authzid(), authzid);
        assert_eq!(first.kind(), ScramKind::Sha256);
    }
    let long_nonce = format!("n,,n=john,r={}", "a".repeat(MAX_NONCE_BYTES + 1));
    let long_name = format!("n,,n={},r=abc", "a".repeat(3 * 2_047 + 1));
    for (message, fault) in [
        ("", Malformed),
        ("n,,", Malformed),
        ("n,,n=john", Malformed),
        ("n,,n=,r=abc", Malformed),
        ("n,,n=john,r=", Malformed),
        ("n,,n=john,r=a b", Malformed),
        ("n,,n=john,r=a\u{7f}", Malformed),
        ("n,,n=jo=hn,r=abc", Malformed),
        ("n,,n=jo=2c,r=abc", Malformed),
        ("n,,n=jo\0hn,r=abc", Malformed),
        ("n,,r=abc,n=john", Malformed),
        ("n,,n=john,r=abc,", Malformed),
        ("n,,n=john,r=abc,xy", Malformed),
        ("n,,n=john,r=abc,1=a", Malformed),
        ("n,john,n=john,r=abc", Malformed),
        ("n,a=,n=john,r=abc", Malformed),
        ("N,,n=john,r=abc", Malformed),
        (",,n=john,r=abc", Malformed),
        ("n,,m=ext,n=john,r=abc", Extension),
        ("n,,n=john,r=abc,m=ext", Extension),
        ("p=tls-unique,,n=john,r=abc", BindingNotAgreed),
        (&long_nonce, TooLong),
        (&long_name, TooLong),
    ] {
        assert_eq!(parse(message).unwrap_err(), fault, "{message:?}");
    }
    let not_text = ClientFirst::parse(
        ScramKind::Sha1,
        b"n,,n=jo\xffhn,r=abc",
        Binding::Unavailable,
    );
    assert_eq!(not_text.unwrap_err(), Malformed);
}

#[test]
fn the_final_message() {
    use ScramError::{BindingMismatch, Extension, Malformed, NonceMismatch, ProofMismatch};
    let nonce = "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
    let proof = "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    let other = "v0X8v3Bz2T0CJGbJQyF0X+HI4Tt=".replace("Tt=", "Tw=");
    for (message, fault) in [
        (String::new(), Malformed),
        (format!("c=biws,r={nonce}"), Malformed),
        (format!("r={nonce},c=biws,p={proof}"), Malformed),
        (format!("c=biw,r={nonce},p={proof}"), Malformed),
        (format!("c=biws,r={nonce},p=v0X8"), Malformed),
        (format!("c=biws,r={nonce},p="), Malformed),
        (format!("c=biws,r={nonce},m=1,p={proof}"), Extension),
        // `y,,` where the first message said `n,,`.
        (format!("c=eSws,r={nonce},p={proof}"), BindingMismatch),
        (format!("c=biws,r={nonce}x,p={proof}"), NonceMismatch),
        (format!("c=biws,r=,p={proof}"), NonceMismatch),
        (format!("c=biws,r={nonce},p={other}"), ProofMismatch),
        // An extension that was not signed.
        (format!("c=biws,r={nonce},x=1,p={proof}"), ProofMismatch),
    ] {
        let verdict = SHA1.challenged().finish(message.as_bytes());
        assert_eq!(verdict.unwrap_err(), fault, "{message:?}");
    }
    let not_text = SHA1.challenged().finish(b"c=biws,r=\xff,p=AAAA");
    assert_eq!(not_text.unwrap_err(), Malformed);
}

#[test]
fn unknown_accounts_look_real_and_never_verify() {
    let parameters = ScramParameters::default();
    let unknown = ScramCredentials::for_unknown(ScramKind::Sha256, &[7; 32], "nobody", parameters);
    let bare = "n=nobody,r=abc";
    let parse = || {
        ClientFirst::parse(
            ScramKind::Sha256,
            format!("n,,{bare}").as_bytes(),
            Binding::Unavailable,
        )
        .unwrap()
    };
    let (scram, server_first) = parse().challenge(&unknown, "xyz").unwrap();
    let (_, again) = parse().challenge(&unknown, "xyz").unwrap();
    assert_eq!(server_first, again);
    let answer = client_final(ScramKind::Sha256, bare, b"n,,", &server_first);
    let verdict = scram.finish(answer.as_bytes()).unwrap_err();
    assert_eq!(verdict, ScramError::ProofMismatch);
    assert_eq!(verdict.failure(), Failure::NotAuthorized);
}

#[test]
fn credentials_of_another_hash_are_our_fault() {
    let first =
        ClientFirst::parse(ScramKind::Sha256, b"n,,n=user,r=abc", Binding::Unavailable).unwrap();
    let fault = first.challenge(&SHA1.credentials(), "xyz").unwrap_err();
    assert_eq!(fault.failure(), Failure::TemporaryAuthFailure);
}

const EXPORTER: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
const END_POINT: &[u8] = b"the hash of a certificate";

fn channel() -> ChannelBindings {
    ChannelBindings {
        exporter: Some(Box::new(EXPORTER.into())),
        end_point: Some(END_POINT.into()),
    }
}

/// Every flag against every way a stream can stand to channel binding.
#[test]
fn channel_binding_is_what_was_agreed_on() {
    use ScramError::{BindingNotAgreed, Downgrade, Malformed};
    let (both, none) = (channel(), ChannelBindings::default());
    let old = ChannelBindings {
        exporter: None,
        ..channel()
    };
    let flags = [
        "n",
        "y",
        "p=tls-exporter",
        "p=tls-server-end-point",
        "p=tls-unique",
        "p=",
        "p",
        "x",
    ];
    let not_agreed = Err(BindingNotAgreed);
    for (binding, verdicts) in [
        (
            Binding::Unavailable,
            [
                Ok(()),
                Ok(()),
                not_agreed,
                not_agreed,
                not_agreed,
                not_agreed,
            ],
        ),
        (
            Binding::Declined,
            [
                Ok(()),
                Err(Downgrade),
                not_agreed,
                not_agreed,
                not_agreed,
                not_agreed,
            ],
        ),
        (
            Binding::Used(&both),
            [
                not_agreed,
                not_agreed,
                Ok(()),
                Ok(()),
                not_agreed,
                not_agreed,
            ],
        ),
        (
            Binding::Used(&old),
            [
                not_agreed,
                not_agreed,
                not_agreed,
                Ok(()),
                not_agreed,
                not_agreed,
            ],
        ),
        (Binding::Used(&none), [not_agreed; 6]),
    ] {
        let verdicts = verdicts.into_iter().chain([Err(Malformed); 2]);
        for (flag, verdict) in flags.into_iter().zip(verdicts) {
            for kind in [ScramKind::Sha1, ScramKind::Sha256] {
                let message = format!("{flag},,n=user,r=abc");
                let read = ClientFirst::parse(kind, message.as_bytes(), binding);
                assert_eq!(read.map(drop), verdict, "{flag} {binding:?}");
            }
        }
    }
}

#[test]
fn both_ends_must_see_the_same_channel() {
    let channel = channel();
    let bent = [EXPORTER.as_slice(), b"x"].concat();
    let mut flipped = EXPORTER;
    flipped[31] ^= 1;
    for (named, seen, fault) in [
        ("tls-exporter", EXPORTER.as_slice(), None),
        ("tls-server-end-point", END_POINT, None),
        // Another channel; none; more; a bit; the data of the other type.
        (
            "tls-exporter",
            b"another channel",
            Some(ScramError::BindingMismatch),
        ),
        ("tls-exporter", b"", Some(ScramError::BindingMismatch)),
        ("tls-exporter", &bent, Some(ScramError::BindingMismatch)),
        ("tls-exporter", &flipped, Some(ScramError::BindingMismatch)),
        ("tls-exporter", END_POINT, Some(ScramError::BindingMismatch)),
        (
            "tls-server-end-point",
            &EXPORTER,
            Some(ScramError::BindingMismatch),
        ),
    ] {
        for vector in [SHA1, SHA256] {
            let bare = "n=user,r=abc";
            let message = format!("p={named},,{bare}");
            let binding = Binding::Used(&channel);
            let first = ClientFirst::parse(vector.kind, message.as_bytes(), binding).unwrap();
            let (scram, server_first) = first.challenge(&vector.credentials(), "xyz").unwrap();
            let header = [format!("p={named},,").as_bytes(), seen].concat();
            let answer = client_final(vector.kind, bare, &header, &server_first);
            assert_eq!(
                scram.finish(answer.as_bytes()).err(),
                fault,
                "{named} {seen:?}"
            );
        }
    }
    assert_eq!(
        ScramError::BindingMismatch.failure(),
        Failure::NotAuthorized
    );
    assert_eq!(ScramError::Downgrade.failure(), Failure::NotAuthorized);
}

/// The client names one type in its first message and the other in `c=`.
#[test]
fn the_type_cannot_change_on_the_way() {
    let channel = channel();
    let bare = "n=user,r=abc";
    let message = format!("p=tls-exporter,,{bare}");
    let first = ClientFirst::parse(SHA1.kind, message.as_bytes(), Binding::Used(&channel)).unwrap();
    let (scram, server_first) = first.challenge(&SHA1.credentials(), "xyz").unwrap();
    let header = [b"p=tls-server-end-point,,".as_slice(), END_POINT].concat();
    let answer = client_final(SHA1.kind, bare, &header, &server_first);
    assert_eq!(
        scram.finish(answer.as_bytes()).err(),
        Some(ScramError::BindingMismatch)
    );
}

#[test]
fn debug_shows_no_secret() {
    let scram = SHA1.challenged();
    let shown = format!("{scram:?}");
    assert!(
        !shown.contains("QSXC") && !shown.contains("fyko"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ClientFirst::parse(ScramKind::Sha1, &message, Binding::Unavailable);
        // Credentials that cost no iterations.
        let parameters = ScramParameters::default();
        let unknown = ScramCredentials::for_unknown(ScramKind::Sha1, &[7; 32], "nobody", parameters);
        let first = ClientFirst::parse(ScramKind::Sha1, b"n,,n=a,r=b", Binding::Unavailable).unwrap();
        prop_assert!(first.challenge(&unknown, "c").unwrap().0.finish(&message).is_err());
    }
}
