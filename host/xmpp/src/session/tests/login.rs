//! SASL.

mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use self::tokens::TOKEN;
use super::*;
use crate::sasl::{MIN_ITERATIONS, ScramCredentials, ScramKind, ScramParameters};

fn auth(mechanism: &str, message: &[u8]) -> String {
    format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{}</auth>",
        STANDARD.encode(message)
    )
}

fn response(message: &str) -> String {
    format!(
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
        STANDARD.encode(message)
    )
}

pub(super) fn has_failure(heard: &str, condition: &str) -> bool {
    heard == format!("<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><{condition}/></failure>")
}

/// The decoded text of a `<challenge/>` or `<success/>`.
fn message(heard: &str) -> String {
    let text = heard.split(['<', '>']).nth(2).unwrap();
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// What a client with `password` answers to a challenge of SCRAM-SHA-256.
fn proof(password: &str, header: &[u8], bare: &str, challenge: &str) -> String {
    let field = |name: &str| {
        let mut fields = challenge.split(',');
        fields.find_map(|field| field.strip_prefix(name)).unwrap()
    };
    let salt = STANDARD.decode(field("s=")).unwrap();
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(
        password.as_bytes(),
        &salt,
        field("i=").parse().unwrap(),
        &mut salted,
    );
    let client_key = hmac(&salted, b"Client Key");
    let unproven = format!("c={},r={}", STANDARD.encode(header), field("r="));
    let signed = format!("{bare},{challenge},{unproven}");
    let signature = hmac(&Sha256::digest(&client_key), signed.as_bytes());
    let proof: Vec<u8> = client_key
        .iter()
        .zip(signature)
        .map(|(a, b)| a ^ b)
        .collect();
    format!("{unproven},p={}", STANDARD.encode(proof))
}

fn credentials() -> CredentialsAnswer {
    CredentialsAnswer::Found(
        ScramCredentials::from_password(
            ScramKind::Sha256,
            "secret",
            b"0123456789abcdef",
            MIN_ITERATIONS,
        )
        .unwrap(),
    )
}

/// Runs SCRAM-SHA-256 to its end; returns what was written last.
fn scram(header: &str, user: &str, password: &str, found: CredentialsAnswer) -> (Stream, String) {
    let mut stream = Stream::opened();
    let bare = format!("n={user},r=clientnonce");
    let actions = stream.say(&auth("SCRAM-SHA-256", format!("{header}{bare}").as_bytes()));
    match actions.as_slice() {
        [
            Action::Credentials {
                account,
                kind: ScramKind::Sha256,
            },
        ] => {
            assert_eq!(account.as_str(), format!("{user}@example.test"));
        }
        other => panic!("{other:?}"),
    }
    stream.session.credentials(found);
    let challenge = message(&stream.heard());
    let heard = stream.ask(&response(&proof(
        password,
        header.as_bytes(),
        &bare,
        &challenge,
    )));
    (stream, heard)
}

#[test]
fn scram_succeeds_with_the_right_password_alone() {
    for header in ["n,,", "y,,", "n,a=john@example.test,"] {
        let (mut stream, heard) = scram(header, "john", "secret", credentials());
        assert!(heard.starts_with("<success"), "{heard}");
        assert!(message(&heard).starts_with("v="));
        assert!(stream.ask(HEADER).contains("<bind"));
    }
    let (_, wrong) = scram("n,,", "john", "Secret", credentials());
    assert!(has_failure(&wrong, "not-authorized"));
}

#[test]
fn an_unknown_account_looks_like_a_wrong_password() {
    let fake = ScramCredentials::for_unknown(
        ScramKind::Sha256,
        &[7; 32],
        "nobody@example.test",
        ScramParameters::default(),
    );
    let (_, heard) = scram("n,,", "nobody", "secret", CredentialsAnswer::Found(fake));
    assert!(has_failure(&heard, "not-authorized"));
}

fn over_tls(bindings: ChannelBindings) -> Stream {
    let config = SessionConfig {
        encryption_required: true,
        ..config()
    };
    let channel = Channel {
        framing: Framing::Stream,
        encryption: Encryption::Tls(bindings),
    };
    Stream::over(config, channel)
}

#[test]
fn a_login_is_bound_to_the_channel() {
    let bindings = || ChannelBindings {
        exporter: Some(Box::new([7; 32].into())),
        end_point: Some(Box::from([3; 32])),
    };
    let features = over_tls(bindings()).ask(HEADER);
    let offered = "<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>\
        <mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism>\
        <mechanism>PLAIN</mechanism></mechanisms>\
        <sasl-channel-binding xmlns=\"urn:xmpp:sasl-cb:0\">\
        <channel-binding type=\"tls-exporter\"/>\
        <channel-binding type=\"tls-server-end-point\"/></sasl-channel-binding>";
    assert!(features.contains(offered), "{features}");
    for (name, data, accepted) in [
        ("tls-exporter", [7; 32], true),
        ("tls-server-end-point", [3; 32], true),
        // What somebody in between would see of its own connection.
        ("tls-exporter", [8; 32], false),
        ("tls-server-end-point", [8; 32], false),
        ("tls-server-end-point", [7; 32], false),
    ] {
        let mut stream = over_tls(bindings());
        stream.ask(HEADER);
        let (header, bare) = (format!("p={name},,"), "n=john,r=clientnonce");
        let actions = stream.say(&auth(
            "SCRAM-SHA-256-PLUS",
            format!("{header}{bare}").as_bytes(),
        ));
        assert!(matches!(actions.as_slice(), [Action::Credentials { .. }]));
        stream.session.credentials(credentials());
        let challenge = message(&stream.heard());
        let header = [header.as_bytes(), &data].concat();
        let heard = stream.ask(&response(&proof("secret", &header, bare, &challenge)));
        assert_eq!(heard.starts_with("<success"), accepted, "{name}: {heard}");
        assert!(accepted || has_failure(&heard, "not-authorized"));
    }
}

#[test]
fn tls_that_ends_elsewhere_has_nothing_to_bind_to() {
    let mut stream = over_tls(ChannelBindings::default());
    let features = stream.ask(HEADER);
    assert!(features.contains("SCRAM-SHA-256<") && features.contains("PLAIN"));
    assert!(!features.contains("PLUS") && !features.contains("channel-binding"));
    // It could bind and was offered nothing: that is what `y` is for.
    assert_eq!(
        stream.say(&auth("SCRAM-SHA-256", b"y,,n=john,r=x")).len(),
        1
    );
}

#[test]
fn a_stripped_offer_ends_the_attempt() {
    let mut stream = over_tls(ChannelBindings {
        exporter: None,
        end_point: Some(Box::from([3; 32])),
    });
    stream.ask(HEADER);
    let heard = stream.ask(&auth("SCRAM-SHA-256", b"y,,n=john,r=x"));
    assert!(has_failure(&heard, "not-authorized"), "{heard}");
}

#[test]
fn plain_hands_the_password_to_the_shell() {
    for (verdict, condition) in [
        (Verdict::Rejected, "not-authorized"),
        (Verdict::TemporarilyUnavailable, "temporary-auth-failure"),
    ] {
        let mut stream = Stream::opened();
        match stream.say(PLAIN).as_slice() {
            [Action::VerifyPassword { account, password }] => {
                assert_eq!(account.as_str(), "john@example.test");
                assert_eq!(password.expose_secret(), "secret");
            }
            other => panic!("{other:?}"),
        }
        stream.session.password_verified(verdict);
        assert!(has_failure(&stream.heard(), condition));
        // Another attempt may follow.
        assert_eq!(stream.say(PLAIN).len(), 1);
    }
    let mut stream = Stream::opened();
    stream.say(&auth("SCRAM-SHA-256", b"n,,n=john,r=x"));
    stream
        .session
        .credentials(CredentialsAnswer::TemporarilyUnavailable);
    assert!(has_failure(&stream.heard(), "temporary-auth-failure"));
}

#[test]
fn the_first_message_may_come_after_auth() {
    let mut stream = Stream::opened();
    let heard = stream.ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>");
    assert_eq!(
        heard,
        "<challenge xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"/>"
    );
    let actions = stream.say(&response("\0john\0secret"));
    assert!(matches!(
        actions.as_slice(),
        [Action::VerifyPassword { .. }]
    ));
}

#[test]
fn faults_of_sasl_have_their_conditions() {
    let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    for (xml, condition) in [
        (
            auth("PLAIN", b"marie@example.test\0john\0secret"),
            "invalid-authzid",
        ),
        (
            auth("SCRAM-SHA-1", b"n,a=marie@example.test,n=john,r=x"),
            "invalid-authzid",
        ),
        (auth("PLAIN", b"john"), "malformed-request"),
        (auth("SCRAM-SHA-256", b"john"), "malformed-request"),
        // Channel binding was not offered.
        (
            auth("SCRAM-SHA-256", b"p=tls-exporter,,n=john,r=x"),
            "malformed-request",
        ),
        (
            auth("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,n=john,r=x"),
            "invalid-mechanism",
        ),
        (auth("DIGEST-MD5", b""), "invalid-mechanism"),
        (format!("<auth {sasl}>AA==</auth>"), "invalid-mechanism"),
        (
            format!("<auth {sasl} mechanism='PLAIN'>!</auth>"),
            "incorrect-encoding",
        ),
        (
            format!("<auth {sasl} mechanism='PLAIN'>=</auth>"),
            "malformed-request",
        ),
        (
            format!("<response {sasl}>AA==</response>"),
            "malformed-request",
        ),
        (format!("<abort {sasl}/>"), "aborted"),
        // Names that no account can have.
        (auth("PLAIN", b"\0jo hn\0secret"), "not-authorized"),
        (
            auth("PLAIN", b"\0john@example.test\0secret"),
            "not-authorized",
        ),
        (auth("SCRAM-SHA-256", b"n,,n=jo/hn,r=x"), "not-authorized"),
        // Not a mechanism of this host, whatever comes with it.
        (auth("OAUTHBEARER", TOKEN), "invalid-mechanism"),
        (
            format!("<auth {sasl} mechanism='OAUTHBEARER'>!</auth>"),
            "invalid-mechanism",
        ),
    ] {
        let heard = Stream::opened().ask(&xml);
        assert!(has_failure(&heard, condition), "{xml}: {heard}");
    }
    // In the middle of an exchange.
    for (xml, condition) in [
        (format!("<abort {sasl}/>"), "aborted"),
        (
            format!("<response {sasl}>!</response>"),
            "incorrect-encoding",
        ),
        (response("c=biws"), "malformed-request"),
        (response("c=biws,r=clientnonce,p=AAAA"), "malformed-request"),
        (PLAIN.to_owned(), "malformed-request"),
    ] {
        let mut stream = Stream::opened();
        stream.say(&auth("SCRAM-SHA-256", b"n,,n=john,r=clientnonce"));
        stream.session.credentials(credentials());
        stream.heard();
        assert!(has_failure(&stream.ask(&xml), condition), "{xml}");
    }
}

#[test]
fn plain_needs_a_stream_that_nobody_can_listen_to() {
    let mut stream = Stream::new(SessionConfig {
        encryption_required: true,
        ..config()
    });
    assert!(!stream.ask(HEADER).contains("mechanism"));
    assert!(has_failure(&stream.ask(PLAIN), "encryption-required"));
    let mut only_plain = config();
    for host in only_plain.hosts.values_mut() {
        host.mechanisms = vec![Mechanism::Plain];
    }
    let mut stream = Stream::new(only_plain);
    assert!(!stream.ask(HEADER).contains("SCRAM"));
    let heard = stream.ask(&auth("SCRAM-SHA-1", b"n,,n=john,r=x"));
    assert!(has_failure(&heard, "invalid-mechanism"));
}

#[test]
fn the_sixth_failure_ends_the_stream() {
    let mut stream = Stream::opened();
    for _ in 0..5 {
        stream.say(PLAIN);
        stream.session.password_verified(Verdict::Rejected);
    }
    assert!(!stream.session.is_closed());
    stream.heard();
    stream.say(PLAIN);
    stream.session.password_verified(Verdict::Rejected);
    assert!(has_error(&stream.last(PLAIN), "policy-violation"));
}

#[test]
fn a_huge_first_message_ends_the_stream() {
    let heard = Stream::opened().last(&auth("PLAIN", &[b'a'; 1024 * 1024]));
    assert!(has_error(&heard, "policy-violation"));
}

#[test]
fn neither_tls_nor_compression_is_there() {
    let heard =
        Stream::opened().last("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message/>");
    assert_eq!(
        heard,
        "<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/></stream:stream>"
    );
    let compress =
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
    assert!(
        Stream::restarted()
            .ask(compress)
            .contains("<unsupported-method/>")
    );
}
