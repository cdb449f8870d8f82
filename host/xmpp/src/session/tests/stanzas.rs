//! What a bound client gets answered, and what goes to the shell.

use super::*;
use crate::stanza::{MessageType, Stanza};

const OFFERED: &str = "to=\"john@example.test/phone\" id=\"1\" type=\"result\"";

fn iq(type_: &str, to: &str, payload: &str) -> String {
    let to = match to {
        "" => String::new(),
        to => format!("to='{to}'"),
    };
    format!("<iq id='1' type='{type_}' {to} from='marie@example.test/forged'>{payload}</iq>")
}

#[test]
fn services_answer_at_the_server_and_the_own_account() {
    for to in ["", "john@example.test", "example.test"] {
        let own = to != "example.test";
        let from = match to {
            "" => String::new(),
            to => format!("from=\"{to}\" "),
        };
        for (type_, payload, answer) in [
            ("get", "<ping xmlns='urn:xmpp:ping'/>", "/>"),
            (
                "set",
                "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>",
                "/>",
            ),
            (
                "get",
                "<query xmlns='http://jabber.org/protocol/disco#items'/>",
                "><query xmlns=\"http://jabber.org/protocol/disco#items\"/></iq>",
            ),
        ] {
            let heard = Stream::bound().ask(&iq(type_, to, payload));
            assert_eq!(heard, format!("<iq {from}{OFFERED}{answer}"));
        }
        let heard = Stream::bound().ask(&iq(
            "get",
            to,
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        ));
        assert!(
            heard.starts_with(&format!("<iq {from}{OFFERED}")),
            "{heard}"
        );
        assert_eq!(heard.contains("category=\"account\""), own);
        assert_eq!(heard.contains("var=\"jabber:iq:version\""), !own);
        let node = iq(
            "get",
            to,
            "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>",
        );
        assert!(Stream::bound().ask(&node).contains("<item-not-found "));
    }
    let version = iq("get", "example.test", "<query xmlns='jabber:iq:version'/>");
    assert!(
        Stream::bound()
            .ask(&version)
            .contains("<version>0 &amp; &lt;1&gt;</version>")
    );
}

#[test]
fn every_other_request_is_refused_and_never_ignored() {
    for to in [
        "",
        "john@example.test",
        "example.test",
        "other.test",
        "example.test/x",
    ] {
        for type_ in ["get", "set"] {
            let heard = Stream::bound().ask(&iq(type_, to, "<x xmlns='urn:x'/>"));
            assert!(
                heard.contains("<error type=\"cancel\"><service-unavailable "),
                "{heard}"
            );
            assert!(heard.contains(" id=\"1\" type=\"error\">") && !heard.contains("urn:x'"));
        }
        for type_ in ["result", "error"] {
            assert_eq!(
                Stream::bound().ask(&iq(type_, to, "<x xmlns='urn:x'/>")),
                ""
            );
        }
    }
    assert!(Stream::bound().ask(BIND).contains("<not-allowed "));
}

#[test]
fn rosters_are_read_by_their_owner_alone() {
    for to in ["", "john@example.test"] {
        for (ver, expected) in [
            ("", None),
            ("ver=''", Some("")),
            ("ver='a&amp;b'", Some("a&b")),
        ] {
            let get = iq(
                "get",
                to,
                &format!("<query xmlns='jabber:iq:roster' {ver}/>"),
            );
            match Stream::bound().say(&get).as_slice() {
                [Action::RosterGet { id, ver }] => {
                    assert_eq!((id.as_str(), ver.as_deref()), ("1", expected));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let item = "<query xmlns='jabber:iq:roster'><item jid='marie@example.test'/></query>";
    for (type_, to, error) in [
        ("set", "", "<error type=\"cancel\"><service-unavailable "),
        (
            "set",
            "john@example.test",
            "<error type=\"cancel\"><service-unavailable ",
        ),
        (
            "set",
            "example.test",
            "<error type=\"cancel\"><service-unavailable ",
        ),
        (
            "set",
            "john@example.test/laptop",
            "<error type=\"cancel\"><service-unavailable ",
        ),
        (
            "set",
            "marie@example.test",
            "<error type=\"auth\"><forbidden ",
        ),
        (
            "get",
            "marie@example.test",
            "<error type=\"auth\"><forbidden ",
        ),
        // A forged push.
        (
            "set",
            "marie@example.test/x",
            "<error type=\"auth\"><forbidden ",
        ),
    ] {
        let mut stream = Stream::bound();
        let heard = stream.ask(&iq(type_, to, item));
        assert!(heard.contains(error), "{type_} {to}: {heard}");
        assert!(!stream.session.is_closed());
    }
}

#[test]
fn the_rest_is_routed() {
    for to in [
        "marie@example.test",
        "marie@example.test/x",
        "john@example.test/phone",
        "john@example.test/laptop",
        "marie@elsewhere.test",
        "elsewhere.test",
    ] {
        for xml in [
            iq("get", to, "<ping xmlns='urn:xmpp:ping'/>"),
            iq("result", to, ""),
            format!("<message to='{to}' from='marie@example.test'/>"),
        ] {
            match Stream::bound().say(&xml).as_slice() {
                [Action::Route(stanza)] => assert_eq!(stanza.to().map(|to| to.as_str()), Some(to)),
                other => panic!("{xml}: {other:?}"),
            }
        }
    }
    match Stream::bound().say("<message type='chat'/>").as_slice() {
        [Action::Route(Stanza::Message(message))] => {
            assert_eq!(
                message.to.as_ref().map(|to| to.as_str()),
                Some("john@example.test")
            );
            assert_eq!(message.type_, MessageType::Chat);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_and_presence_to_the_server() {
    let heard = Stream::bound().ask("<message id='m' to='example.test'><body>hi</body></message>");
    assert!(heard.starts_with(
        "<message from=\"example.test\" to=\"john@example.test/phone\" id=\"m\" type=\"error\">"
    ));
    assert!(heard.contains("<service-unavailable ") && !heard.contains("hi"));
    assert_eq!(
        Stream::bound().ask("<message to='example.test' type='error'/>"),
        ""
    );
    assert_eq!(Stream::bound().ask("<presence to='example.test'/>"), "");
    for xml in [
        "<presence/>",
        "<presence type='unavailable'/>",
        "<presence to='marie@example.test' type='subscribe'/>",
        "<presence to='john@example.test'/>",
    ] {
        assert!(
            matches!(Stream::bound().say(xml).as_slice(), [Action::Presence(_)]),
            "{xml}"
        );
    }
}

#[test]
fn faulty_stanzas_are_answered_and_the_stream_goes_on() {
    let mut stream = Stream::bound();
    for (xml, error) in [
        (
            "<iq type='get' to='marie@example.test'><a/></iq>",
            "<iq from=\"marie@example.test\" to=\"john@example.test/phone\" type=\"error\"><error type=\"modify\"><bad-request ",
        ),
        (
            "<iq id='1' type='get'/>",
            "<error type=\"modify\"><bad-request ",
        ),
        (
            "<message id='1' to='@@'/>",
            "<message to=\"john@example.test/phone\" id=\"1\" type=\"error\"><error type=\"modify\"><jid-malformed ",
        ),
        (
            "<presence type='none'/>",
            "<presence to=\"john@example.test/phone\" type=\"error\"><error type=\"modify\"><bad-request ",
        ),
    ] {
        let heard = stream.ask(xml);
        assert!(heard.contains(error), "{heard}");
    }
    assert_eq!(
        stream.ask("<message to='@' type='error'/><iq id='1' type='result' to='@'/>"),
        ""
    );
}

#[test]
fn a_stanza_without_a_language_has_that_of_its_stream() {
    let mut stream = Stream::authenticated();
    stream.ask(&HEADER.replace(" version='1.0' ", " version='1.0' xml:lang='de' "));
    stream.say(BIND);
    stream
        .session
        .bound(Ok(FullJid::new("john@example.test/phone").unwrap()));
    let lang = |stream: &mut Stream, xml: &str| match stream.say(xml).pop() {
        Some(Action::Route(Stanza::Message(message))) => message.lang,
        other => panic!("{other:?}"),
    };
    assert_eq!(lang(&mut stream, "<message/>").as_deref(), Some("de"));
    assert_eq!(
        lang(&mut stream, "<message xml:lang='fr'/>").as_deref(),
        Some("fr")
    );
}
