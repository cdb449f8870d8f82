//! Which resource a client gets (RFC 6120, section 7).

use super::*;

fn bind(children: &str) -> String {
    format!(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{children}</bind></iq>"
    )
}

#[test]
fn resources_are_the_clients_or_made() {
    for (children, asked) in [
        ("<resource>phone</resource>", Some("phone")),
        ("<required/><resource>a b&amp;c</resource>", Some("a b&c")),
        ("", None),
        ("<required/>", None),
        ("<resource/>", None),
    ] {
        match Stream::restarted().say(&bind(children)).as_slice() {
            [
                Action::Bind {
                    account,
                    resource,
                    origin,
                },
            ] => {
                assert_eq!(account.as_str(), "john@example.test");
                match asked {
                    Some(asked) => assert_eq!(
                        (resource.as_str(), *origin),
                        (asked, ResourceOrigin::Client)
                    ),
                    None => assert_eq!(
                        (resource.as_str().len(), *origin),
                        (24, ResourceOrigin::Server)
                    ),
                }
            }
            other => panic!("{children}: {other:?}"),
        }
    }
}

#[test]
fn resources_that_are_none_are_refused() {
    for resource in [
        "r".repeat(1_024),
        "\u{202E}r".to_owned(),
        "\u{0378}".to_owned(),
    ] {
        let mut stream = Stream::restarted();
        let heard = stream.ask(&bind(&format!("<resource>{resource}</resource>")));
        assert!(
            heard.contains("<error type=\"modify\"><bad-request"),
            "{resource}: {heard}"
        );
        assert_eq!(stream.say(BIND).len(), 1);
    }
}

#[test]
fn refusals_to_bind_have_their_conditions() {
    for (refusal, error) in [
        (BindRefusal::Conflict, "<error type=\"cancel\"><conflict "),
        (
            BindRefusal::Malformed,
            "<error type=\"modify\"><bad-request ",
        ),
        (
            BindRefusal::TooManyResources,
            "<error type=\"wait\"><resource-constraint ",
        ),
    ] {
        let mut stream = Stream::restarted();
        stream.say(BIND);
        stream.session.bound(Err(refusal));
        let heard = stream.heard();
        assert!(heard.contains(error), "{heard}");
        let limit = heard.contains("<resource-limit-exceeded xmlns=\"urn:xmpp:errors\"/>");
        assert_eq!(limit, refusal == BindRefusal::TooManyResources);
        assert!(stream.session.jid().is_none() && stream.session.deadline().is_some());
        assert_eq!(stream.say(BIND).len(), 1);
    }
}
