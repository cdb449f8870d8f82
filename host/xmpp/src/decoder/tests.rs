//! Events and faults.

mod budgets;
mod properties;

use std::time::{Duration, Instant};

use jid::Jid;
use secrecy::ExposeSecret as _;

use super::*;
use crate::error::{ApplicationCondition, StanzaError};
use crate::stanza::{
    Iq, IqType, Message, MessageType, Payload, Presence, PresenceType, StanzaKind,
};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.test' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// A decoder after the stream header, with the bounds after SASL.
fn open() -> Decoder {
    let limits = Limits::default();
    let mut decoder = Decoder::new(&limits);
    decoder.receive(HEADER.as_bytes());
    assert!(matches!(decoder.next(), Ok(Some(StreamEvent::Open(_)))));
    decoder.set_limits(limits.after_auth);
    decoder
}

/// Everything that comes of `bytes`, one line an event, the error last.
fn events(decoder: &mut Decoder, chunks: &[&[u8]]) -> Vec<String> {
    let mut out = Vec::new();
    for chunk in chunks {
        decoder.receive(chunk);
        loop {
            match decoder.next() {
                Ok(Some(StreamEvent::Stanza(stanza))) => {
                    let payload = match &stanza {
                        Stanza::Message(it) => &it.payload,
                        Stanza::Presence(it) => &it.payload,
                        Stanza::Iq(it) => &it.payload,
                    };
                    out.push(format!("{stanza:?} {}", payload.as_str()));
                }
                Ok(Some(StreamEvent::Nonza(nonza))) => {
                    out.push(format!("{:?} {}", nonza.kind, nonza.text.expose_secret()));
                }
                Ok(Some(event)) => out.push(format!("{event:?}")),
                Ok(None) => break,
                Err(error) => {
                    out.push(format!("{error:?}"));
                    break;
                }
            }
        }
    }
    out
}

/// The stanza that `xml` is.
fn stanza(xml: &str) -> Stanza {
    let mut decoder = open();
    decoder.receive(xml.as_bytes());
    match decoder.next() {
        Ok(Some(StreamEvent::Stanza(stanza))) => stanza,
        other => panic!("{xml}: {other:?}"),
    }
}

fn payload(children: &str) -> Payload {
    match stanza(&format!("<message>{children}</message>")) {
        Stanza::Message(message) => message.payload,
        other => panic!("{other:?}"),
    }
}

/// The error that `bytes` end a stream with.
fn fault(decoder: &mut Decoder, bytes: &[u8]) -> StreamError {
    decoder.receive(bytes);
    loop {
        match decoder.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no fault in {}", String::from_utf8_lossy(bytes)),
            Err(error) => {
                // Nothing comes after a fault, and nothing is kept.
                decoder.receive(b"<message/>");
                assert!(matches!(decoder.next(), Ok(None)));
                assert_eq!(decoder.buffered() + decoder.retained(), 0);
                return error;
            }
        }
    }
}

fn is_too_big(error: &StreamError) -> bool {
    error.condition == StreamCondition::PolicyViolation
        && error.application == Some(ApplicationCondition::StanzaTooBig)
}

#[test]
fn attributes_become_fields() {
    let message = stanza(
        "<message from='forged@example.test' to='Marie@Example.test/x' id='1' type='chat' \
         xml:lang='de' other='y'>text<body>hi</body>text</message>",
    );
    assert_eq!(
        message,
        Stanza::Message(Message {
            to: Some(Jid::new("marie@example.test/x").unwrap()),
            id: Some("1".to_owned()),
            lang: Some("de".to_owned()),
            type_: MessageType::Chat,
            payload: Payload::from_canonical("<body>hi</body>", 1),
        })
    );
}

#[test]
fn payloads_are_canonical_and_self_contained() {
    for (children, canonical) in [
        ("", ""),
        ("<a></a>", "<a/>"),
        ("<a  b = 'c'\n/>", "<a b=\"c\"/>"),
        ("<x xmlns='u'><y/></x>", "<x xmlns=\"u\"><y/></x>"),
        (
            "<p:x xmlns:p='u'><p:y/><z/></p:x>",
            "<x xmlns=\"u\"><y/><z xmlns=\"jabber:client\"/></x>",
        ),
        (
            "<x xmlns=''><y xmlns='jabber:client'/></x>",
            "<x xmlns=\"\"><y xmlns=\"jabber:client\"/></x>",
        ),
        // A prefix that only the stream declares.
        (
            "<stream:x stream:a='1'/>",
            "<x xmlns=\"http://etherx.jabber.org/streams\" xmlns:a0=\"http://etherx.jabber.org/streams\" a0:a=\"1\"/>",
        ),
        (
            "<body xml:lang='de'>&lt;&#228;<![CDATA[<&]]></body>",
            "<body xml:lang=\"de\">&lt;ä&lt;&amp;</body>",
        ),
        (
            "<a b='&#9;&#10;&quot;&apos;&lt;'/>",
            "<a b=\"&#9;&#10;&quot;'&lt;\"/>",
        ),
        ("<a>x\r\ny</a>", "<a>x\ny</a>"),
        ("<a>&#13;</a>", "<a>&#13;</a>"),
    ] {
        assert_eq!(payload(children).as_str(), canonical, "{children}");
        // What was written is read as the same.
        assert_eq!(payload(canonical).as_str(), canonical);
    }
}

#[test]
fn the_first_child_is_known_without_a_tree() {
    let none = payload("");
    assert_eq!((none.children(), none.first()), (0, None));
    assert_eq!(
        payload("<body>a</body>").first(),
        Some(("jabber:client".into(), "body"))
    );
    let two = payload("<q a='/' xmlns='u&amp;v'/><body/>");
    assert_eq!(
        (two.children(), two.first()),
        (2, Some(("u&v".into(), "q")))
    );
    assert!(two.first_is("u&v", "q"));
    let element = two.to_element().unwrap();
    assert_eq!(
        (element.ns().as_str(), element.attr("a")),
        ("u&v", Some("/"))
    );
    assert!(
        payload("<body/>")
            .to_element()
            .unwrap()
            .is("body", JABBER_CLIENT)
    );
}

#[test]
fn priority_is_read_and_kept() {
    for (priority, value) in [
        ("", 0),
        ("<priority>5</priority>", 5),
        ("<priority> -128\n</priority>", -128),
        ("<priority>1</priority><priority>2</priority>", 1),
        ("<priority xmlns='u'>x</priority>", 0),
        ("<c><priority>x</priority></c>", 0),
    ] {
        match stanza(&format!("<presence>{priority}</presence>")) {
            Stanza::Presence(presence) => assert_eq!(presence.priority, value, "{priority}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn stanzas_that_break_their_rules_are_rejected() {
    let bad = Some(StanzaError::BAD_REQUEST);
    let malformed = Some(StanzaError::JID_MALFORMED);
    let long = format!("<message id='1' to='a@example.test/{}'/>", "r".repeat(1024));
    for (xml, error) in [
        ("<iq type='get'><a/></iq>", bad.clone()),
        ("<iq id='1'><a/></iq>", bad.clone()),
        ("<iq id='1' type='none'><a/></iq>", bad.clone()),
        ("<iq id='1' type='get'/>", bad.clone()),
        ("<iq id='1' type='set'><a/><b/></iq>", bad.clone()),
        ("<iq id='1' type='result'><a/><b/></iq>", None),
        ("<iq type='error'/>", None),
        ("<presence type='none'/>", bad.clone()),
        ("<presence><priority>128</priority></presence>", bad.clone()),
        ("<presence><priority/></presence>", bad.clone()),
        ("<message to='@'/>", malformed.clone()),
        ("<message to=''/>", malformed.clone()),
        ("<message to='a@b@c' type='error'/>", None),
        ("<message to='a b@example.test'/>", malformed.clone()),
        // Private use is unassigned to stringprep's tables.
        (
            "<message to='a@example.test/x&#x202E;y'/>",
            malformed.clone(),
        ),
        (long.as_str(), malformed.clone()),
    ] {
        let mut decoder = open();
        decoder.receive(xml.as_bytes());
        match decoder.next() {
            Ok(Some(StreamEvent::Rejected(rejection))) => {
                assert_eq!(rejection.error, error, "{xml}")
            }
            other => panic!("{xml}: {other:?}"),
        }
        // The stream goes on.
        decoder.receive(b"<message/>");
        assert!(matches!(decoder.next(), Ok(Some(StreamEvent::Stanza(_)))));
    }
}

#[test]
fn forbidden_and_malformed_xml_ends_the_stream() {
    use StreamCondition::{
        BadFormat, InvalidNamespace, NotWellFormed, RestrictedXml, UnsupportedEncoding,
        UnsupportedStanzaType,
    };
    let utf16: Vec<u8> = HEADER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16be: Vec<u8> = HEADER.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = [b"\xff\xfe", utf16.as_slice()].concat();
    for (bytes, condition) in [
        (&b"<?xml version='1.1'?>"[..], RestrictedXml),
        (
            b"<?xml version='1.0' encoding='latin-1'?>",
            UnsupportedEncoding,
        ),
        (&utf16, UnsupportedEncoding),
        (&utf16be, UnsupportedEncoding),
        (&marked, UnsupportedEncoding),
        (b"\xef\xbb\xbf<a/>", NotWellFormed),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>", RestrictedXml),
        (b"<?xml version='1.0'?><!DOCTYPE a>", RestrictedXml),
        (b"<?xml version='1.0'?><?xml version='1.0'?>", RestrictedXml),
        (b"<stream:stream>", NotWellFormed),
        (b"<a xmlns='jabber:client'>", BadFormat),
        (b"<stream xmlns='u'>", InvalidNamespace),
        (
            b"<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams'>",
            InvalidNamespace,
        ),
        (
            b"<s:stream xmlns:s='http://etherx.jabber.org/streams'>",
            InvalidNamespace,
        ),
    ] {
        let error = fault(&mut Decoder::new(&Limits::default()), bytes);
        assert_eq!(
            error.condition,
            condition,
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
    for (bytes, condition) in [
        (&b"<!-- x --><message/>"[..], RestrictedXml),
        (b"<message><!-- x --></message>", RestrictedXml),
        (b"<?pi x?>", RestrictedXml),
        (b"<message><?pi x?></message>", RestrictedXml),
        (b"<?xml version='1.0'?>", RestrictedXml),
        (b"<!DOCTYPE a>", RestrictedXml),
        (b"<message>&lol;</message>", RestrictedXml),
        (b"<message>&#0;</message>", NotWellFormed),
        (b"<message>&#xFFFE;</message>", NotWellFormed),
        (b"<message>\x01</message>", NotWellFormed),
        (b"<message>\xc3\x28</message>", NotWellFormed),
        (b"<message a='<'/>", NotWellFormed),
        (b"<message a='1' a='2'/>", NotWellFormed),
        (b"<message xmlns:a='u' xmlns:a='v'/>", NotWellFormed),
        (
            b"<message xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>",
            NotWellFormed,
        ),
        (
            b"<message xmlns:a='http://www.w3.org/2000/xmlns/'/>",
            NotWellFormed,
        ),
        (b"<message><p:a/></message>", NotWellFormed),
        (b"<message p:a='1'/>", NotWellFormed),
        (b"<message><a></message>", NotWellFormed),
        (b"<message>]]></message>", NotWellFormed),
        (b"hello", BadFormat),
        (b"<![CDATA[hello]]><message/>", BadFormat),
        (b"<unknown/>", UnsupportedStanzaType),
        (b"<message xmlns='jabber:server'/>", UnsupportedStanzaType),
        (
            HEADER
                .trim_start_matches("<?xml version='1.0'?>")
                .as_bytes(),
            UnsupportedStanzaType,
        ),
    ] {
        let error = fault(&mut open(), bytes);
        assert_eq!(
            error.condition,
            condition,
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn a_stream_ends_and_restarts() {
    let mut decoder = open();
    assert_eq!(
        events(
            &mut decoder,
            &[b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth>"]
        ),
        ["Auth { mechanism: \"PLAIN\" } AGE="]
    );
    decoder.restart();
    decoder.receive(HEADER.as_bytes());
    let open = StreamOpen {
        to: Some("example.test".into()),
        from: None,
        version: Some("1.0".into()),
        lang: None,
    };
    match decoder.next() {
        Ok(Some(StreamEvent::Open(event))) => assert_eq!(event, open),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        events(&mut decoder, &[b"</stream:stream><message/>"]),
        ["Close"]
    );
}
