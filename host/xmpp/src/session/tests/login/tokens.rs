//! Logins by a token (RFC 7628).

use super::*;

fn for_tokens() -> Stream {
    let mut config = config();
    for host in config.hosts.values_mut() {
        host.mechanisms = Mechanism::FOR_TOKENS.to_vec();
    }
    let mut stream = Stream::new(config);
    let features = stream.ask(HEADER);
    assert!(features.contains("<mechanism>OAUTHBEARER</mechanism><mechanism>PLAIN</mechanism>"));
    stream
}

pub(super) const TOKEN: &[u8] = b"n,,\x01auth=Bearer abc\x01\x01";

#[test]
fn a_token_lets_its_account_in() {
    let mut stream = for_tokens();
    match stream.say(&auth("OAUTHBEARER", TOKEN)).as_slice() {
        [Action::VerifyToken { domain, token }] => {
            assert_eq!(domain.as_str(), "example.test");
            assert_eq!(token.expose_secret(), "abc");
        }
        other => panic!("{other:?}"),
    }
    let john = BareJid::new("john@example.test").unwrap();
    stream.session.token_verified(TokenVerdict::Accepted(john));
    assert_eq!(
        stream.heard(),
        "<success xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"/>"
    );
    assert!(stream.ask(HEADER).contains("<bind"));
    match stream.say(BIND).as_slice() {
        [Action::Bind { account, .. }] => assert_eq!(account.as_str(), "john@example.test"),
        other => panic!("{other:?}"),
    }
}

/// Whoever guesses tokens and does not wait for the failure is counted.
#[test]
fn a_refused_token_counts_once_and_at_once() {
    let mut stream = for_tokens();
    for attempt in 1..=6 {
        assert_eq!(stream.say(&auth("OAUTHBEARER", TOKEN)).len(), 1);
        stream.session.token_verified(TokenVerdict::Rejected);
        assert_eq!(message(&stream.heard()), "{\"status\":\"invalid_token\"}");
        let told = stream.session.take_login();
        assert_eq!(told, Some(Err(Failure::NotAuthorized)));
        let answer = response("\x01");
        let heard = match attempt {
            1..6 => stream.ask(&answer),
            _ => stream.last(&answer),
        };
        assert!(heard.contains("<not-authorized/></failure>"), "{heard}");
        assert_eq!(stream.session.take_login(), None);
        assert_eq!(has_error(&heard, "policy-violation"), attempt == 6);
    }
}

#[test]
fn a_refused_token_leaves_room_for_another_attempt() {
    let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    for (answer, condition) in [
        (format!("<abort {sasl}/>"), "aborted"),
        (format!("<response {sasl}/>"), "not-authorized"),
        (
            format!("<response {sasl}>!</response>"),
            "incorrect-encoding",
        ),
        (auth("OAUTHBEARER", TOKEN), "malformed-request"),
    ] {
        let mut stream = for_tokens();
        stream.say(&auth("OAUTHBEARER", TOKEN));
        stream.session.token_verified(TokenVerdict::Rejected);
        stream.heard();
        assert!(has_failure(&stream.ask(&answer), condition), "{answer}");
        assert_eq!(stream.say(&auth("OAUTHBEARER", TOKEN)).len(), 1);
    }
}
