//! Pieces of a first-level element → a stanza, a nonza, or why it is neither.
//!
//! Owns the rules that a stanza meets by itself (RFC 6120 §8, RFC 6121 §4.7 and
//! §5.2): parsed here once, never checked again. Text directly within a stanza
//! and attributes of the stanza that the RFCs do not define are dropped; so is
//! `from`, which the server knows better.

use std::sync::Arc;

use jid::Jid;
use rxml::{NcName, XMLNS_XML};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::payload::PayloadWriter;
use super::{StreamEvent, StreamOpen};
use crate::address;
use crate::encode::FRAMING;
use crate::error::{StanzaError, StreamCondition, StreamError};
use crate::session::{MANAGEMENT, Request};
use crate::stanza::{
    Iq, IqType, JABBER_CLIENT, Message, MessageType, Payload, Presence, PresenceType, Stanza,
    StanzaKind,
};

/// One attribute of a start tag.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) prefix: Option<NcName>,
    /// Of the prefix, once the start tag is complete.
    pub(super) namespace: Option<Arc<str>>,
    pub(super) name: NcName,
    pub(super) value: String,
}

impl Attribute {
    /// Its name, if it is one that XMPP itself uses: unprefixed, or `xml:lang`.
    pub(super) fn known(&self) -> Option<&str> {
        match self.namespace.as_deref() {
            None => Some(&self.name),
            Some(XMLNS_XML) if self.name == "lang" => Some("xml:lang"),
            Some(_) => None,
        }
    }
}

/// A first-level element that is no stanza.
#[derive(Debug)]
pub struct Nonza {
    /// Which one.
    pub kind: NonzaKind,
    /// Its text: credentials, base64.
    pub text: SecretString,
}

/// The first-level elements that are understood beside stanzas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NonzaKind {
    /// `<auth/>` (RFC 6120 §6.4.2) with its mechanism.
    Auth {
        /// Name of the mechanism; empty if there was none.
        mechanism: String,
    },
    /// `<response/>` (RFC 6120 §6.4.3).
    Response,
    /// `<abort/>` (RFC 6120 §6.4.4).
    Abort,
    /// `<starttls/>` (RFC 6120 §5.4.2.1).
    StartTls,
    /// `<compress/>` (XEP-0138).
    Compress,
    /// Stream management (XEP-0198).
    Management(Request),
    /// `<active/>` (XEP-0352 §4.2).
    Active,
    /// `<inactive/>` (XEP-0352 §4.2).
    Inactive,
    /// `<open/>` of a framed stream (RFC 7395 §3.3.2); comes out as
    /// [`StreamEvent::Open`].
    Open(StreamOpen),
    /// `<close/>` of a framed stream; comes out as [`StreamEvent::Close`].
    Close,
}

/// A stanza that breaks the rules of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which kind.
    pub kind: StanzaKind,
    /// Its identifier, if it had one.
    pub id: Option<String>,
    /// Its recipient, if it was a JID.
    pub to: Option<Jid>,
    /// What to answer; nothing if it was an answer itself.
    pub error: Option<StanzaError>,
}

/// The element that is being read.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    element: Element,
    payload: PayloadWriter,
    /// Text of a nonza.
    text: Zeroizing<String>,
    priority: Priority,
}

#[derive(Debug, Default)]
enum Element {
    #[default]
    None,
    Stanza(StanzaKind, Addressing),
    Nonza(NonzaKind),
}

/// Attributes of a stanza, as written.
#[derive(Debug, Default)]
struct Addressing {
    to: Option<String>,
    id: Option<String>,
    type_: Option<String>,
    lang: Option<String>,
}

/// The first `<priority/>` of a presence.
#[derive(Debug, Default)]
enum Priority {
    #[default]
    None,
    Reading(String),
    Read(String),
}

impl Assembly {
    /// Bytes held for the element.
    pub(super) fn retained(&self) -> usize {
        self.payload.len() + self.text.len()
    }

    /// The start tag of the element is complete.
    pub(super) fn begin(
        &mut self,
        namespace: &str,
        name: &str,
        attributes: &mut Vec<Attribute>,
    ) -> Result<(), StreamError> {
        self.element = match (namespace, name) {
            (JABBER_CLIENT, "message") => stanza(StanzaKind::Message, attributes),
            (JABBER_CLIENT, "presence") => stanza(StanzaKind::Presence, attributes),
            (JABBER_CLIENT, "iq") => stanza(StanzaKind::Iq, attributes),
            _ => match nonza(namespace, name, attributes) {
                Some(kind) => Element::Nonza(kind),
                None => return Err(StreamCondition::UnsupportedStanzaType.into()),
            },
        };
        Ok(())
    }

    /// The start tag of a descendant is complete; a child has `depth` 2.
    pub(super) fn start_child(
        &mut self,
        depth: usize,
        parent: &str,
        namespace: &str,
        name: &str,
        attributes: &[Attribute],
    ) {
        let Element::Stanza(kind, _) = self.element else {
            return;
        };
        if depth == 2 {
            self.payload.count_child();
            if kind == StanzaKind::Presence
                && (namespace, name) == (JABBER_CLIENT, "priority")
                && matches!(self.priority, Priority::None)
            {
                self.priority = Priority::Reading(String::new());
            }
        }
        self.payload.start(parent, namespace, name, attributes);
    }

    /// Text within an element whose depth is `depth - 1`.
    pub(super) fn text(&mut self, depth: usize, text: &str) {
        match &self.element {
            Element::Stanza(..) if depth > 2 => {
                if let Priority::Reading(priority) = &mut self.priority {
                    priority.push_str(text);
                }
                self.payload.text(text);
            }
            Element::Nonza(_) if depth == 2 => self.text.push_str(text),
            _ => {}
        }
    }

    /// The end tag of a descendant.
    pub(super) fn end_child(&mut self, depth: usize, name: &str) {
        if !matches!(self.element, Element::Stanza(..)) {
            return;
        }
        if let Priority::Reading(text) = &mut self.priority
            && depth == 2
        {
            self.priority = Priority::Read(std::mem::take(text));
        }
        self.payload.end(name);
    }

    /// The end tag of the element itself.
    pub(super) fn finish(&mut self) -> Option<StreamEvent> {
        let priority = std::mem::take(&mut self.priority);
        match std::mem::take(&mut self.element) {
            Element::None => None,
            Element::Nonza(NonzaKind::Open(open)) => Some(StreamEvent::Open(open)),
            Element::Nonza(NonzaKind::Close) => Some(StreamEvent::Close),
            Element::Nonza(kind) => {
                let text = std::mem::take(&mut *self.text);
                Some(StreamEvent::Nonza(Nonza {
                    kind,
                    text: SecretString::from(text),
                }))
            }
            Element::Stanza(kind, addressing) => {
                let payload = self.payload.finish();
                Some(assemble(kind, addressing, priority, payload))
            }
        }
    }
}

fn stanza(kind: StanzaKind, attributes: &mut Vec<Attribute>) -> Element {
    let mut addressing = Addressing::default();
    for attribute in attributes.drain(..) {
        match attribute.known() {
            Some("to") => addressing.to = Some(attribute.value),
            Some("id") => addressing.id = Some(attribute.value),
            Some("type") => addressing.type_ = Some(attribute.value),
            Some("xml:lang") => addressing.lang = Some(attribute.value),
            _ => {}
        }
    }
    Element::Stanza(kind, addressing)
}

fn nonza(namespace: &str, name: &str, attributes: &mut Vec<Attribute>) -> Option<NonzaKind> {
    match (namespace, name) {
        ("urn:ietf:params:xml:ns:xmpp-sasl", "auth") => {
            let mut attributes = attributes.drain(..);
            let mechanism = attributes.find(|attribute| attribute.known() == Some("mechanism"));
            Some(NonzaKind::Auth {
                mechanism: mechanism.map(|it| it.value).unwrap_or_default(),
            })
        }
        ("urn:ietf:params:xml:ns:xmpp-sasl", "response") => Some(NonzaKind::Response),
        ("urn:ietf:params:xml:ns:xmpp-sasl", "abort") => Some(NonzaKind::Abort),
        ("urn:ietf:params:xml:ns:xmpp-tls", "starttls") => Some(NonzaKind::StartTls),
        ("http://jabber.org/protocol/compress", "compress") => Some(NonzaKind::Compress),
        (MANAGEMENT, name) => management(name, attributes).map(NonzaKind::Management),
        ("urn:xmpp:csi:0", "active") => Some(NonzaKind::Active),
        ("urn:xmpp:csi:0", "inactive") => Some(NonzaKind::Inactive),
        (FRAMING, "open") => Some(NonzaKind::Open(StreamOpen::of(attributes))),
        (FRAMING, "close") => Some(NonzaKind::Close),
        _ => None,
    }
}

/// Numbers that are none stay out: what that means depends on the element.
fn management(name: &str, attributes: &[Attribute]) -> Option<Request> {
    let value = |name: &str| {
        let mut named = attributes.iter().filter(|it| it.known() == Some(name));
        named.next().map(|it| it.value.as_str())
    };
    let number = |name: &str| value(name).and_then(|value| value.trim().parse().ok());
    Some(match name {
        "enable" => Request::Enable {
            resume: matches!(value("resume"), Some("true" | "1")),
            max: number("max"),
        },
        "resume" => Request::Resume {
            previd: value("previd").unwrap_or_default().to_owned(),
            handled: number("h"),
        },
        "r" => Request::Ask,
        "a" => Request::Acknowledge {
            handled: number("h"),
        },
        _ => return None,
    })
}

fn assemble(
    kind: StanzaKind,
    addressing: Addressing,
    priority: Priority,
    payload: Payload,
) -> StreamEvent {
    let Addressing {
        to,
        id,
        type_,
        lang,
    } = addressing;
    let type_ = type_.as_deref();
    let typed = classify(kind, type_, id.is_some(), &priority, &payload);
    // An empty `to` is malformed, not absent.
    let to = to.map(|to| address::parse(&to)).transpose();
    let to = to.map_err(|_| StanzaError::JID_MALFORMED);
    let (to, typed) = match (to, typed) {
        (Ok(to), Ok(typed)) => (to, typed),
        (to, typed) => {
            let is_answer =
                type_ == Some("error") || (kind, type_) == (StanzaKind::Iq, Some("result"));
            let error = to.as_ref().err().cloned().or(typed.err());
            return StreamEvent::Rejected(Rejection {
                kind,
                id,
                to: to.unwrap_or_default(),
                error: error.filter(|_| !is_answer),
            });
        }
    };
    StreamEvent::Stanza(match typed {
        Typed::Message(type_) => Stanza::Message(Message {
            to,
            id,
            lang,
            type_,
            payload,
        }),
        Typed::Presence(type_, priority) => Stanza::Presence(Presence {
            to,
            id,
            lang,
            type_,
            priority,
            payload,
        }),
        Typed::Iq(type_) => Stanza::Iq(Iq {
            to,
            id: id.unwrap_or_default(),
            lang,
            type_,
            payload,
        }),
    })
}

/// A stanza's type, the rules of its kind met.
enum Typed {
    Message(MessageType),
    Presence(PresenceType, i8),
    Iq(IqType),
}

fn classify(
    kind: StanzaKind,
    type_: Option<&str>,
    has_id: bool,
    priority: &Priority,
    payload: &Payload,
) -> Result<Typed, StanzaError> {
    match kind {
        StanzaKind::Message => Ok(Typed::Message(message_type(type_))),
        StanzaKind::Presence => {
            let type_ = presence_type(type_).ok_or(StanzaError::BAD_REQUEST)?;
            Ok(Typed::Presence(type_, priority.value()?))
        }
        StanzaKind::Iq => {
            let type_ = iq_type(type_).ok_or(StanzaError::BAD_REQUEST)?;
            let sound = match type_ {
                IqType::Get | IqType::Set => payload.children() == 1,
                IqType::Result => payload.children() <= 1,
                IqType::Error => true,
            };
            match has_id && sound {
                true => Ok(Typed::Iq(type_)),
                false => Err(StanzaError::BAD_REQUEST),
            }
        }
    }
}

/// An unknown type of message counts as normal (RFC 6121 §5.2.2).
fn message_type(type_: Option<&str>) -> MessageType {
    match type_ {
        Some("chat") => MessageType::Chat,
        Some("groupchat") => MessageType::Groupchat,
        Some("headline") => MessageType::Headline,
        Some("error") => MessageType::Error,
        Some(_) | None => MessageType::Normal,
    }
}

/// An unknown type of presence is a fault (RFC 6121 §4.7.1).
fn presence_type(type_: Option<&str>) -> Option<PresenceType> {
    match type_ {
        None => Some(PresenceType::Available),
        Some("unavailable") => Some(PresenceType::Unavailable),
        Some("subscribe") => Some(PresenceType::Subscribe),
        Some("subscribed") => Some(PresenceType::Subscribed),
        Some("unsubscribe") => Some(PresenceType::Unsubscribe),
        Some("unsubscribed") => Some(PresenceType::Unsubscribed),
        Some("probe") => Some(PresenceType::Probe),
        Some("error") => Some(PresenceType::Error),
        Some(_) => None,
    }
}

/// A type is required (RFC 6120 §8.2.3).
fn iq_type(type_: Option<&str>) -> Option<IqType> {
    match type_ {
        Some("get") => Some(IqType::Get),
        Some("set") => Some(IqType::Set),
        Some("result") => Some(IqType::Result),
        Some("error") => Some(IqType::Error),
        Some(_) | None => None,
    }
}

impl Priority {
    /// An integer from -128 to 127 (RFC 6121 §4.7.2.3); anything else would be
    /// guessed differently by everyone, so it is refused.
    fn value(&self) -> Result<i8, StanzaError> {
        match self {
            Self::None => Ok(0),
            Self::Reading(text) | Self::Read(text) => {
                text.trim().parse().map_err(|_| StanzaError::BAD_REQUEST)
            }
        }
    }
}
