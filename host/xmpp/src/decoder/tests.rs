//! Events, budgets and faults, and that chunking changes none of them.

use std::time::{Duration, Instant};

use jid::Jid;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;
use crate::encode;
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
fn a_stanza_may_be_as_large_as_its_budget_and_no_larger() {
    let limits = Limits::default();
    let frame = "<message><body></body></message>";
    for size in [limits.before_auth.bytes, limits.after_auth.bytes] {
        let mut decoder = open();
        decoder.set_limits(StanzaLimits {
            bytes: size,
            ..limits.after_auth
        });
        let xml = frame.replace("></b", &format!(">{}</b", "x".repeat(size - frame.len())));
        assert_eq!(xml.len(), size);
        decoder.receive(xml.as_bytes());
        assert!(matches!(decoder.next(), Ok(Some(StreamEvent::Stanza(_)))));
        let larger = xml.replacen('x', "xx", 1);
        assert!(is_too_big(&fault(&mut decoder, larger.as_bytes())));
    }
}

#[test]
fn exactly_the_elements_depth_and_attributes_allowed_pass() {
    let nested = |depth: usize| {
        format!(
            "<message>{}{}</message>",
            "<a>".repeat(depth - 1),
            "</a>".repeat(depth - 1)
        )
    };
    let wide = |elements: usize| format!("<message>{}</message>", "<a/>".repeat(elements - 1));
    let spread = |attributes: usize| {
        let attributes: String = (0..attributes)
            .map(|n| match n % 2 {
                0 => format!(" a{n}=''"),
                _ => format!(" xmlns:a{n}='u'"),
            })
            .collect();
        format!("<message><a{attributes}/></message>")
    };
    for (allowed, refused) in [
        (nested(64), nested(65)),
        (wide(2_000), wide(2_001)),
        (spread(64), spread(65)),
    ] {
        stanza(&allowed);
        assert!(is_too_big(&fault(&mut open(), refused.as_bytes())));
    }
}

/// An attack is refused at its start: fast, and without keeping it.
#[test]
fn floods_stop_while_they_arrive() {
    let attributes: String = (0..20_000).map(|n| format!(" a{n}='x'")).collect();
    let namespaces: String = (0..10_000).map(|n| format!(" xmlns:a{n}='x'")).collect();
    let deep_namespaces: String = (0..60)
        .map(|n| {
            format!(
                "<a{}>",
                (0..60)
                    .map(|m| format!(" xmlns:a{n}-{m}='x'"))
                    .collect::<String>()
            )
        })
        .collect();
    for (name, flood) in [
        ("nested", "<a>".repeat(37_000)),
        ("attributes", format!("<a{attributes}")),
        ("namespaces", format!("<a{namespaces}")),
        ("namespaces in scope", deep_namespaces),
        ("long name", "a".repeat(20_000).replacen('a', "<a", 1)),
        ("long value", format!("<a b='{}", "x".repeat(20_000))),
        (
            "growing text",
            format!("<a><![CDATA[{}", "<".repeat(250_000)),
        ),
        ("never closed", "x".repeat(300_000)),
    ] {
        let mut decoder = open();
        let started = Instant::now();
        let error = fault(&mut decoder, format!("<message>{flood}").as_bytes());
        let took = started.elapsed();
        assert!(is_too_big(&error), "{name}: {error:?}");
        // 5 ms where it matters; slack for an unoptimised build.
        assert!(took < Duration::from_millis(100), "{name} took {took:?}");
    }
    let mut decoder = Decoder::new(&Limits::default());
    let mut header = HEADER.to_owned();
    header.push_str("<message>");
    header.push_str(&"<a>".repeat(87_000));
    assert!(is_too_big(&fault(&mut decoder, header.as_bytes())));
}

#[test]
fn what_is_kept_is_bounded_however_it_drips() {
    for drip in ["<", "x", "<a>", "<a b='", " c='d'", "&lt;", "<![CDATA[<"] {
        let mut decoder = open();
        decoder.receive(b"<message><body>");
        let limit = Limits::default().after_auth.bytes;
        let mut sent = 0;
        while let Ok(event) = decoder.next() {
            assert!(event.is_none());
            assert!(decoder.buffered() <= drip.len());
            assert!(decoder.retained() <= 3 * limit + drip.len());
            assert!(sent <= limit + drip.len(), "{drip}");
            sent += drip.len();
            decoder.receive(drip.as_bytes());
        }
    }
}

#[test]
fn whitespace_between_stanzas_costs_nothing() {
    let mut decoder = open();
    for _ in 0..20_000 {
        decoder.receive(b" \r\n\t             ");
        assert!(matches!(decoder.next(), Ok(None)));
        assert_eq!(decoder.buffered() + decoder.retained(), 0);
    }
    decoder.receive(b"<message/>");
    assert!(matches!(decoder.next(), Ok(Some(StreamEvent::Stanza(_)))));
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

/// A piece of a stream: sound, broken or hostile.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(" \n".to_owned()),
        Just("<message to='marie@example.test' type='chat' id='a1'><body>hi &amp; ho</body></message>".to_owned()),
        Just("<presence><show>away</show><priority>5</priority></presence>".to_owned()),
        Just("<iq type='get' id='&#x41;'><query xmlns='jabber:iq:roster' ver=''/></iq>".to_owned()),
        Just("<iq type='get'/>".to_owned()),
        Just("<message><p:x xmlns:p='u' p:a='ä'><![CDATA[]]&gt;]]></p:x>\r\n</message>".to_owned()),
        Just("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGE=</response>".to_owned()),
        "[<>/a='&;#x! \\[\\]?-]{0,12}",
        "\\PC{0,8}",
        Just("</stream:stream>".to_owned()),
    ]
}

proptest! {
    #[test]
    fn chunking_changes_nothing(pieces in proptest::collection::vec(piece(), 1..6), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let bytes = format!("{HEADER}{}", pieces.concat()).into_bytes();
        let fresh = || Decoder::new(&Limits::default());
        let whole = events(&mut fresh(), &[&bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&events(&mut fresh(), &single), &whole);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&events(&mut fresh(), &chunks), &whole);
    }

    #[test]
    fn no_bytes_panic_or_outgrow_their_bound(bytes in proptest::collection::vec(prop_oneof![3 => prop::sample::select(b"<>/a='\" &;#x![]?-:".to_vec()), 1 => any::<u8>()], 0..400)) {
        let mut decoder = open();
        events(&mut decoder, &[&bytes]);
        prop_assert!(decoder.buffered() + decoder.retained() <= 8 * bytes.len() + 64);
    }

    #[test]
    fn decode_undoes_encode(original in any_stanza(), from in jid()) {
        let to = original.to().cloned().unwrap_or_else(|| from.clone());
        let bytes = encode::stanza(&original, &from, &to);
        let mut decoder = open();
        decoder.receive(&bytes);
        match decoder.next() {
            Ok(Some(StreamEvent::Stanza(decoded))) => prop_assert_eq!(decoded, with_to(original, to)),
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert!(matches!(decoder.next(), Ok(None)));
        let name = String::from_utf8_lossy(&bytes[1..3]).into_owned();
        prop_assert!(["me", "pr", "iq"].contains(&name.as_str()));
    }
}

fn with_to(mut stanza: Stanza, to: Jid) -> Stanza {
    match &mut stanza {
        Stanza::Message(it) => it.to = Some(to),
        Stanza::Presence(it) => it.to = Some(to),
        Stanza::Iq(it) => it.to = Some(to),
    }
    stanza
}

fn jid() -> impl Strategy<Value = Jid> {
    ("[a-z]{1,5}", "(/[a-z<&'\"]{1,5})?").prop_filter_map("jid", |(node, resource)| {
        Jid::new(&format!("{node}@example.test{resource}")).ok()
    })
}

/// XML-legal text, with what needs escaping.
fn text() -> impl Strategy<Value = String> {
    "[ a-z<>&'\"\t\n\rä😀\u{FFFD}\\]]{0,12}"
}

/// An element with its descendants, as text in no particular form.
fn element() -> impl Strategy<Value = String> {
    let leaf = (0..4usize, text(), text()).prop_map(|(shape, one, other)| {
        let mut attribute = String::new();
        encode::push_attribute(&mut attribute, "a", &one);
        let mut body = String::new();
        encode::push_text(&mut body, &other);
        match shape {
            0 => format!("<a{attribute}>{body}</a>"),
            1 => format!("<p:a xmlns:p='urn:p'{attribute}>{body}</p:a>"),
            2 => format!("<b xmlns='urn:b' xml:lang='de'{attribute}/>"),
            _ => format!("<c xmlns='' xmlns:q='urn:q&amp;' q{}='1'>{body}</c>", ":x"),
        }
    });
    leaf.prop_recursive(4, 12, 3, |inner| {
        (proptest::collection::vec(inner, 0..3), text()).prop_map(|(children, text)| {
            let mut body = String::new();
            encode::push_text(&mut body, &text);
            format!("<d xmlns='urn:d'>{body}{}</d>", children.concat())
        })
    })
}

fn any_stanza() -> impl Strategy<Value = Stanza> {
    let kind = prop::sample::select(vec![
        StanzaKind::Message,
        StanzaKind::Presence,
        StanzaKind::Iq,
    ]);
    (
        kind,
        element(),
        proptest::option::of(jid()),
        text(),
        proptest::option::of("[a-z]{2}"),
    )
        .prop_map(|(kind, xml, to, id, lang)| {
            let payload = payload(&xml);
            match kind {
                StanzaKind::Message => Stanza::Message(Message {
                    to,
                    id: Some(id),
                    lang,
                    type_: MessageType::Headline,
                    payload,
                }),
                StanzaKind::Presence => Stanza::Presence(Presence {
                    to,
                    id: None,
                    lang,
                    type_: PresenceType::Unavailable,
                    priority: 0,
                    payload,
                }),
                StanzaKind::Iq => Stanza::Iq(Iq {
                    to,
                    id,
                    lang,
                    type_: IqType::Set,
                    payload,
                }),
            }
        })
}
