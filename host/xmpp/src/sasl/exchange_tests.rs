//! What may be chosen, in which order messages come, and what they lead to.

use secrecy::ExposeSecret as _;

use super::super::{MAX_PASSWORD_BYTES, ScramParameters};
use super::*;

const RANDOM: [u8; 18] = [1; 18];

/// A stream, as far as SASL sees it.
struct Stream {
    domain: DomainPart,
    mechanisms: Vec<Mechanism>,
    bindings: ChannelBindings,
}

impl Stream {
    fn new(mechanisms: &[Mechanism], bindings: ChannelBindings) -> Self {
        Self {
            domain: DomainPart::new("example.test").unwrap().into_owned(),
            mechanisms: mechanisms.to_vec(),
            bindings,
        }
    }

    fn for_passwords(bindings: ChannelBindings) -> Self {
        Self::new(&Mechanism::FOR_PASSWORDS, bindings)
    }

    fn for_tokens() -> Self {
        Self::new(&Mechanism::FOR_TOKENS, both())
    }

    fn offer(&self) -> Offer<'_> {
        Offer {
            domain: &self.domain,
            mechanisms: &self.mechanisms,
            bindings: &self.bindings,
            secret_bytes: MAX_PASSWORD_BYTES,
        }
    }

    fn begin(&self, mechanism: &str, message: &str) -> Result<Step, Failure> {
        Exchange::begin(self.offer(), mechanism, Some(message.as_bytes()))
    }

    /// Begins with a message that makes the mechanism ask the shell.
    fn ask(&self, mechanism: &str, message: &str) -> (Question, Exchange) {
        match self.begin(mechanism, message) {
            Ok(Step::Ask(question, then)) => (question, then),
            other => panic!("{mechanism} {message:?}: {other:?}"),
        }
    }
}

fn both() -> ChannelBindings {
    ChannelBindings {
        exporter: Some(Box::new([7; 32].into())),
        end_point: Some(Box::from([1, 2, 3])),
    }
}

fn john() -> BareJid {
    BareJid::new("john@example.test").unwrap()
}

#[test]
fn what_binds_is_offered_where_there_is_something_to_bind_to() {
    let names = |stream: &Stream| -> Vec<_> {
        let offered = stream.offer().mechanisms();
        offered.map(Mechanism::name).collect()
    };
    let types = |stream: &Stream| -> Vec<_> { stream.offer().binding_types().collect() };
    let unbound = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];

    let plain = Stream::for_passwords(ChannelBindings::default());
    assert_eq!((names(&plain), types(&plain)), (unbound.into(), vec![]));

    let tls = Stream::for_passwords(both());
    let bound = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"];
    assert_eq!(names(&tls), [bound.as_slice(), &unbound].concat());
    assert_eq!(types(&tls), ["tls-exporter", "tls-server-end-point"]);

    let old = Stream::for_passwords(ChannelBindings {
        exporter: None,
        ..both()
    });
    assert_eq!(names(&old).len(), 5);
    assert_eq!(types(&old), ["tls-server-end-point"]);

    // Nothing that is offered could be bound.
    let tokens = Stream::for_tokens();
    assert_eq!(
        (names(&tokens), types(&tokens)),
        (vec!["OAUTHBEARER", "PLAIN"], vec![])
    );
}

#[test]
fn what_is_not_offered_cannot_be_chosen() {
    for (stream, names) in [
        (
            Stream::for_passwords(ChannelBindings::default()),
            [
                "SCRAM-SHA-256-PLUS",
                "SCRAM-SHA-1-PLUS",
                "OAUTHBEARER",
                "scram-sha-1",
                "",
            ],
        ),
        (
            Stream::for_tokens(),
            [
                "SCRAM-SHA-256-PLUS",
                "SCRAM-SHA-256",
                "SCRAM-SHA-1",
                "plain",
                "EXTERNAL",
            ],
        ),
    ] {
        for name in names {
            for initial in [None, Some(b"n,,n=john,r=x".as_slice())] {
                let begun = Exchange::begin(stream.offer(), name, initial);
                assert_eq!(begun.err(), Some(Failure::InvalidMechanism), "{name}");
            }
        }
    }
}

/// The list of mechanisms was stripped of `-PLUS` on its way to the client.
#[test]
fn a_client_that_did_not_see_the_offer_fails() {
    let (plain, tls) = (
        Stream::for_passwords(ChannelBindings::default()),
        Stream::for_passwords(both()),
    );
    for name in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
        plain.ask(name, "y,,n=john,r=x");
        plain.ask(name, "n,,n=john,r=x");
        tls.ask(name, "n,,n=john,r=x");
        let stripped = tls.begin(name, "y,,n=john,r=x");
        assert_eq!(stripped.err(), Some(Failure::NotAuthorized));
        for stream in [&plain, &tls] {
            let begun = stream.begin(name, "p=tls-exporter,,n=john,r=x");
            assert_eq!(begun.err(), Some(Failure::MalformedRequest));
        }
        let plus = format!("{name}-PLUS");
        tls.ask(&plus, "p=tls-exporter,,n=john,r=x");
        tls.ask(&plus, "p=tls-server-end-point,,n=john,r=x");
        for flag in ["n", "y", "p=tls-unique", "p=tls-exporter2"] {
            let begun = tls.begin(&plus, &format!("{flag},,n=john,r=x"));
            assert_eq!(begun.err(), Some(Failure::MalformedRequest), "{flag}");
        }
    }
    // Without a -PLUS on offer the flag says nothing of an attack.
    Stream::for_tokens().ask("OAUTHBEARER", "y,,\x01auth=Bearer abc\x01\x01");
}

#[test]
fn a_password_is_asked_about_and_answered() {
    let stream = Stream::for_passwords(both());
    for (verdict, failure) in [
        (Verdict::Rejected, Failure::NotAuthorized),
        (
            Verdict::TemporarilyUnavailable,
            Failure::TemporaryAuthFailure,
        ),
    ] {
        let (_, exchange) = stream.ask("PLAIN", "\0john\0secret");
        let step = exchange.answer(Answer::Password(verdict), RANDOM);
        assert_eq!(step.err(), Some(failure));
    }
    let (question, exchange) = stream.ask("PLAIN", "john@example.test\0john\0secret");
    match question {
        Question::Password { account, password } => {
            assert_eq!((account, password.expose_secret()), (john(), "secret"));
        }
        other => panic!("{other:?}"),
    }
    match exchange.answer(Answer::Password(Verdict::Accepted), RANDOM) {
        Ok(Step::Accept(account, None)) => assert_eq!(account, john()),
        other => panic!("{other:?}"),
    }
    let long = format!("\0john\0{}", "x".repeat(MAX_PASSWORD_BYTES + 1));
    assert_eq!(
        stream.begin("PLAIN", &long).err(),
        Some(Failure::MalformedRequest)
    );
}

#[test]
fn a_token_is_asked_about_and_tells_the_account() {
    let stream = Stream::for_tokens();
    for (header, account, failure) in [
        ("n,,", "john@example.test", None),
        ("y,a=john@example.test,", "john@example.test", None),
        ("n,a=John@EXAMPLE.test,", "john@example.test", None),
        (
            "n,a=john@example.test,",
            "marie@example.test",
            Some(Failure::InvalidAuthzid),
        ),
        (
            "n,a=john,",
            "john@example.test",
            Some(Failure::InvalidAuthzid),
        ),
    ] {
        let message = format!("{header}\x01host=example.test\x01auth=Bearer abc\x01\x01");
        let (question, exchange) = stream.ask("OAUTHBEARER", &message);
        match question {
            Question::Token { domain, token } => {
                assert_eq!(
                    (domain.as_str(), token.expose_secret()),
                    ("example.test", "abc")
                );
            }
            other => panic!("{other:?}"),
        }
        let account = BareJid::new(account).unwrap();
        let verdict = TokenVerdict::Accepted(account.clone());
        match (exchange.answer(Answer::Token(verdict), RANDOM), failure) {
            (Ok(Step::Accept(accepted, None)), None) => assert_eq!(accepted, account),
            (Err(told), Some(failure)) => assert_eq!(told, failure),
            (other, _) => panic!("{header}: {other:?}"),
        }
    }
    let (_, exchange) = stream.ask("OAUTHBEARER", "n,,\x01auth=Bearer abc\x01\x01");
    let step = exchange.answer(Answer::Token(TokenVerdict::TemporarilyUnavailable), RANDOM);
    assert_eq!(step.err(), Some(Failure::TemporaryAuthFailure));
}

/// RFC 7628 §3.2.2 and §3.2.3: an error in a challenge, whatever the client
/// says to it, and then the failure.
#[test]
fn a_refused_token_is_told_before_the_failure() {
    let stream = Stream::for_tokens();
    let (_, asked) = stream.ask("OAUTHBEARER", "n,,\x01auth=Bearer abc\x01\x01");
    let refused = asked.answer(Answer::Token(TokenVerdict::Rejected), RANDOM);
    let without = stream.begin("OAUTHBEARER", "n,,\x01auth=\x01\x01");
    for (step, said) in [(refused, b"\x01".as_slice()), (without, b"anything")] {
        match step {
            Ok(Step::Challenge(Some(message), then)) => {
                assert_eq!(message, b"{\"status\":\"invalid_token\"}");
                assert!(!then.awaits_shell());
                let ended = then.respond(stream.offer(), said);
                assert_eq!(ended.err(), Some(Failure::NotAuthorized));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_first_message_may_come_in_the_answer_to_an_empty_challenge() {
    let passwords = Stream::for_passwords(both());
    let tokens = Stream::for_tokens();
    for (stream, name, message) in [
        (
            &passwords,
            "SCRAM-SHA-256-PLUS",
            "p=tls-exporter,,n=john,r=x",
        ),
        (&passwords, "SCRAM-SHA-1", "n,,n=john,r=x"),
        (&passwords, "PLAIN", "\0john\0secret"),
        (&tokens, "OAUTHBEARER", "n,,\x01auth=Bearer abc\x01\x01"),
    ] {
        match Exchange::begin(stream.offer(), name, None) {
            Ok(Step::Challenge(None, then)) => {
                let step = then.respond(stream.offer(), message.as_bytes());
                assert!(matches!(step, Ok(Step::Ask(..))), "{name}: {step:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
        let empty = Exchange::begin(stream.offer(), name, Some(b""));
        assert_eq!(empty.err(), Some(Failure::MalformedRequest), "{name}");
    }
}

#[test]
fn only_the_answer_that_is_owed_counts() {
    let (passwords, tokens) = (Stream::for_passwords(both()), Stream::for_tokens());
    let answers = || {
        let parameters = ScramParameters::default();
        let fake = ScramCredentials::for_unknown(ScramKind::Sha1, &[7; 32], "john", parameters);
        [
            Answer::Credentials(CredentialsAnswer::Found(fake)),
            Answer::Password(Verdict::Accepted),
            Answer::Token(TokenVerdict::Accepted(john())),
        ]
    };
    let exchanges = || {
        [
            passwords.ask("SCRAM-SHA-1", "n,,n=john,r=x").1,
            passwords.ask("PLAIN", "\0john\0secret").1,
            tokens
                .ask("OAUTHBEARER", "n,,\x01auth=Bearer abc\x01\x01")
                .1,
        ]
    };
    for asked in 0..3 {
        for (answered, answer) in answers().into_iter().enumerate() {
            let exchange = exchanges().into_iter().nth(asked).unwrap();
            assert!(exchange.awaits_shell());
            assert_eq!(exchange.awaits(&answer), asked == answered);
            let step = exchange.answer(answer, RANDOM);
            assert_eq!(step.is_ok(), asked == answered, "{step:?}");
        }
    }
    for exchange in exchanges() {
        let early = exchange.respond(passwords.offer(), b"early");
        assert_eq!(early.err(), Some(Failure::MalformedRequest));
    }
}
