//! Stanzas as types: what the decoder yields and the encoder writes.
//!
//! Owns the shape of message, presence and IQ (RFC 6120 §8) and the form in
//! which their children travel ([`Payload`]): canonical text, never a tree for
//! what is only forwarded. There is no `from` here: the shell stamps it when it
//! encodes (RFC 6120 §8.1.2.1), so a forged one cannot survive.

mod children;

pub use children::{Child, Children};

use std::borrow::Cow;

use jid::Jid;
use xmpp_parsers::minidom::Element;

/// Namespace of stanzas between client and server.
pub const JABBER_CLIENT: &str = "jabber:client";

/// One stanza, without its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stanza {
    /// A `<message/>`.
    Message(Message),
    /// A `<presence/>`.
    Presence(Presence),
    /// An `<iq/>`.
    Iq(Iq),
}

impl Stanza {
    /// The recipient, if one was named.
    pub fn to(&self) -> Option<&Jid> {
        match self {
            Self::Message(message) => message.to.as_ref(),
            Self::Presence(presence) => presence.to.as_ref(),
            Self::Iq(iq) => iq.to.as_ref(),
        }
    }

    /// The identifier, if there is one.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Message(message) => message.id.as_deref(),
            Self::Presence(presence) => presence.id.as_deref(),
            Self::Iq(iq) => Some(&iq.id),
        }
    }

    /// Which of the three it is.
    pub fn kind(&self) -> StanzaKind {
        match self {
            Self::Message(_) => StanzaKind::Message,
            Self::Presence(_) => StanzaKind::Presence,
            Self::Iq(_) => StanzaKind::Iq,
        }
    }
}

/// The three kinds of stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StanzaKind {
    /// `<message/>`: push.
    Message,
    /// `<presence/>`: publish and subscribe.
    Presence,
    /// `<iq/>`: request and response.
    Iq,
}

impl StanzaKind {
    /// Name of its element.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }
}

/// A `<message/>` (RFC 6121 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The recipient; none means the sender's own account.
    pub to: Option<Jid>,
    /// The identifier that the sender chose.
    pub id: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
    /// The type; an unknown one counts as normal (RFC 6121 §5.2.2).
    pub type_: MessageType,
    /// The children.
    pub payload: Payload,
}

/// Types of message (RFC 6121 §5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// A message on its own.
    #[default]
    Normal,
    /// Part of a conversation.
    Chat,
    /// Part of a room.
    Groupchat,
    /// News; no reply is expected.
    Headline,
    /// The answer to a message that could not be delivered.
    Error,
}

impl MessageType {
    /// Value of the `type` attribute; normal is written by leaving it out.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Chat => "chat",
            Self::Groupchat => "groupchat",
            Self::Headline => "headline",
            Self::Error => "error",
        }
    }
}

/// A `<presence/>` (RFC 6121 §4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The recipient; none means everybody who is entitled to it.
    pub to: Option<Jid>,
    /// The identifier that the sender chose.
    pub id: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
    /// The type.
    pub type_: PresenceType,
    /// The value of `<priority/>`, 0 without one (RFC 6121 §4.7.2.3). The
    /// element itself is still among the children.
    pub priority: i8,
    /// The children.
    pub payload: Payload,
}

impl Presence {
    /// Unavailable presence to nobody in particular, as the server says it for
    /// a resource that cannot (RFC 6121 §4.5.2).
    pub fn unavailable() -> Self {
        Self {
            to: None,
            id: None,
            lang: None,
            type_: PresenceType::Unavailable,
            priority: 0,
            payload: Payload::empty(),
        }
    }
}

/// Types of presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// The resource is there; written by leaving the attribute out.
    #[default]
    Available,
    /// The resource is gone.
    Unavailable,
    /// A wish to see the recipient's presence.
    Subscribe,
    /// Such a wish granted.
    Subscribed,
    /// Such a wish withdrawn.
    Unsubscribe,
    /// Such a wish refused.
    Unsubscribed,
    /// A question for the current presence; only servers send it.
    Probe,
    /// The answer to a presence that could not be delivered.
    Error,
}

impl PresenceType {
    /// Value of the `type` attribute, none for available.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Available => None,
            Self::Unavailable => Some("unavailable"),
            Self::Subscribe => Some("subscribe"),
            Self::Subscribed => Some("subscribed"),
            Self::Unsubscribe => Some("unsubscribe"),
            Self::Unsubscribed => Some("unsubscribed"),
            Self::Probe => Some("probe"),
            Self::Error => Some("error"),
        }
    }
}

/// An `<iq/>` (RFC 6120 §8.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iq {
    /// The recipient; none means the sender's own account.
    pub to: Option<Jid>,
    /// The identifier; the answer repeats it.
    pub id: String,
    /// `xml:lang`.
    pub lang: Option<String>,
    /// The type.
    pub type_: IqType,
    /// The children: exactly one for get and set, at most one for result.
    pub payload: Payload,
}

/// Types of IQ (RFC 6120 §8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IqType {
    /// A question.
    Get,
    /// An order.
    Set,
    /// The answer.
    Result,
    /// The answer that it could not be done.
    Error,
}

impl IqType {
    /// Value of the `type` attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Result => "result",
            Self::Error => "error",
        }
    }

    /// Whether an answer is due.
    pub const fn is_request(self) -> bool {
        matches!(self, Self::Get | Self::Set)
    }
}

/// The children of a stanza as canonical XML text.
///
/// Canonical means: no prefixed element names; `xmlns` comes first in a start
/// tag and only where the namespace differs from the parent's (from
/// `jabber:client` at the top); attributes of other namespaces carry their own
/// declaration; empty elements are self-closed; no text at the top. So the text
/// can stand in any stanza of a `jabber:client` stream.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload {
    xml: Box<str>,
    children: usize,
}

impl Payload {
    /// No children.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Wraps text that is canonical already, made by this crate's writers.
    ///
    /// `children` is the number of top-level elements in `xml`.
    pub(crate) fn from_canonical(xml: &str, children: usize) -> Self {
        Self {
            xml: xml.into(),
            children,
        }
    }

    /// The children as text.
    pub fn as_str(&self) -> &str {
        &self.xml
    }

    /// The number of top-level elements.
    pub fn children(&self) -> usize {
        self.children
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.children == 0
    }

    /// The children, one after the other, without parsing what is in them.
    pub fn iter(&self) -> Children<'_> {
        Children::of(&self.xml, JABBER_CLIENT)
    }

    /// Namespace and name of the first child, without parsing the others.
    pub fn first(&self) -> Option<(Cow<'_, str>, &str)> {
        let first = self.iter().next()?;
        Some((first.namespace(), first.name()))
    }

    /// The same without the children `name` in `namespace`.
    pub fn without(&self, namespace: &str, name: &str) -> Self {
        let (mut xml, mut children) = (String::new(), 0);
        for child in self.iter().filter(|child| !child.is(namespace, name)) {
            xml.push_str(child.xml());
            children += 1;
        }
        Self::from_canonical(&xml, children)
    }

    /// Whether there is a child `name` in `namespace`.
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        self.iter().any(|child| child.is(namespace, name))
    }

    /// Whether the first child is `name` in `namespace`.
    pub fn first_is(&self, namespace: &str, name: &str) -> bool {
        self.first()
            .is_some_and(|first| first.0 == namespace && first.1 == name)
    }

    /// The first child as a tree, for what is handled and not forwarded.
    ///
    /// The budgets of the decoder bound its depth and size. Feed it to the
    /// `TryFrom<Element>` of the types in `xmpp_parsers`.
    ///
    /// # Errors
    ///
    /// [`NoElement`] if there is no child.
    pub fn to_element(&self) -> Result<Element, NoElement> {
        Element::from_reader_with_prefixes(self.xml.as_bytes(), JABBER_CLIENT.to_owned())
            .map_err(|_| NoElement)
    }
}

impl<'a> IntoIterator for &'a Payload {
    type Item = Child<'a>;
    type IntoIter = Children<'a>;

    fn into_iter(self) -> Children<'a> {
        self.iter()
    }
}

impl std::fmt::Debug for Payload {
    // Bodies stay out of logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Payload")
            .field("bytes", &self.xml.len())
            .field("children", &self.children)
            .finish()
    }
}

/// A stanza has no child to look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stanza has no child element")]
pub struct NoElement;
