//! Chunking changes nothing, no bytes do harm, and what was encoded is decoded.

use jid::Jid;
use proptest::prelude::*;

use super::*;
use crate::encode;

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
