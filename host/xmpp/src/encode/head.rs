//! The start tag of a stanza that this crate has encoded, read back: for those
//! who hold a stanza as bytes and have to decide what becomes of it.
//!
//! Owns the reading of what `start` and `end` write (double quotes, escaped
//! values, no `>` within them), and of nothing else: what comes from a client is the
//! decoder's.

use std::borrow::Cow;

use jid::Jid;

use super::unescape;
use crate::stanza::{Children, JABBER_CLIENT, Message, MessageType, Payload, StanzaKind};

/// The start tag of an encoded stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Which of the three it is.
    pub kind: StanzaKind,
    /// Who sent it.
    pub from: Option<Cow<'a, str>>,
    /// Whom it is for.
    pub to: Option<Cow<'a, str>>,
    /// The identifier.
    pub id: Option<Cow<'a, str>>,
    /// The type, as it is written.
    pub type_: Option<Cow<'a, str>>,
    /// The children, as text; empty without.
    pub payload: &'a str,
}

impl<'a> Head<'a> {
    /// Reads the start tag. `None` if `stanza` is not of this crate's making.
    pub fn of(stanza: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(stanza).ok()?.strip_prefix('<')?;
        let (tag, rest) = text.split_once('>')?;
        let kinds = [StanzaKind::Message, StanzaKind::Presence, StanzaKind::Iq];
        let name = tag.split([' ', '/']).next()?;
        let kind = kinds.into_iter().find(|kind| kind.name() == name)?;
        let payload = match tag.ends_with('/') {
            true => "",
            false => rest
                .strip_suffix('>')?
                .strip_suffix(name)?
                .strip_suffix("</")?,
        };
        let mut head = Self {
            kind,
            from: None,
            to: None,
            id: None,
            type_: None,
            payload,
        };
        let mut attributes = tag.get(name.len()..)?;
        while let Some((name, after)) = attributes.split_once("=\"") {
            let (value, rest) = after.split_once('"')?;
            let value = Some(unescape(value));
            match name.trim_start() {
                "from" => head.from = value,
                "to" => head.to = value,
                "id" => head.id = value,
                "type" => head.type_ = value,
                _ => {}
            }
            attributes = rest;
        }
        Some(head)
    }
}

impl Head<'_> {
    /// The whole of it, if it is a message of a type that is known.
    pub fn message(&self) -> Option<Message> {
        let types = [
            MessageType::Chat,
            MessageType::Groupchat,
            MessageType::Headline,
            MessageType::Error,
        ];
        let type_ = match self.type_.as_deref() {
            None => MessageType::Normal,
            Some(name) => types.into_iter().find(|it| it.name() == name)?,
        };
        let children = Children::of(self.payload, JABBER_CLIENT).count();
        (self.kind == StanzaKind::Message).then(|| Message {
            to: self.to.as_deref().and_then(|to| Jid::new(to).ok()),
            id: self.id.as_deref().map(str::to_owned),
            lang: None,
            type_,
            payload: Payload::from_canonical(self.payload, children),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;
    use crate::stanza::{Presence, Stanza};

    #[test]
    fn what_was_written_is_read_back() {
        let from = Jid::new("john@example.test/a \"b\" <c>").unwrap();
        let to = Jid::new("marie@example.test").unwrap();
        let message = Stanza::Message(Message {
            to: None,
            id: Some("1&2".to_owned()),
            lang: None,
            type_: MessageType::Chat,
            payload: Payload::from_canonical("<body>x</body>", 1),
        });
        let encoded = encode::stanza(&message, &from, &to);
        let head = Head::of(&encoded).unwrap();
        assert_eq!(head.kind, StanzaKind::Message);
        assert_eq!(head.from.as_deref(), Some(from.as_str()));
        assert_eq!(head.to.as_deref(), Some("marie@example.test"));
        assert_eq!(head.id.as_deref(), Some("1&2"));
        assert_eq!(head.type_.as_deref(), Some("chat"));
        assert_eq!(head.payload, "<body>x</body>");
        let Stanza::Message(message) = message else {
            unreachable!()
        };
        let read = head.message().unwrap();
        assert_eq!((read.type_, read.payload), (message.type_, message.payload));
        let encoded = encode::presence(&Presence::unavailable(), &from, &to);
        let head = Head::of(&encoded).unwrap();
        assert_eq!(head.kind, StanzaKind::Presence);
        assert_eq!((head.id, head.payload), (None, ""));
    }

    #[test]
    fn anything_else_is_none_of_ours() {
        for other in [
            "",
            "<",
            "<iqq>",
            "<r xmlns=\"urn:xmpp:sm:3\"/>",
            "<iq><a/>",
            "text",
        ] {
            assert_eq!(Head::of(other.as_bytes()), None, "{other}");
        }
    }
}
