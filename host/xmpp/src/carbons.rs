//! Message Carbons (XEP-0280): which messages are copied to an account's other
//! resources, and how a copy is written.
//!
//! Owns the rules (§6, `urn:xmpp:carbons:rules:0`). Does not own who has
//! turned copies on, or who got the message itself: that is the router's.

use bytes::Bytes;
use jid::{BareJid, FullJid, Jid};

use crate::encode::push_attribute;
use crate::stanza::{JABBER_CLIENT, Message, MessageType, Payload};

/// Namespace of the extension.
pub const CARBONS: &str = "urn:xmpp:carbons:2";

/// Whose copy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Of the account that sent the message.
    Sent,
    /// Of the account that received it.
    Received,
}

/// What the children of a message say about copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `<private/>`: no copies (§9); not to be shown to the recipient.
    pub private: bool,
    /// `<no-copy/>` (XEP-0334 §4.3).
    no_copy: bool,
    body: bool,
    /// Receipts (XEP-0184), chat states (XEP-0085), markers (XEP-0333), direct
    /// invitations (XEP-0249).
    chatting: bool,
    /// From or about a room (XEP-0045), and no invitation to it.
    room: bool,
    /// An invitation that a room passes on (XEP-0045 §7.8.2).
    invitation: bool,
}

impl Marks {
    /// Reads the children of a message.
    pub fn of(payload: &Payload) -> Self {
        let mut marks = Self::default();
        for child in payload {
            match (&*child.namespace(), child.name()) {
                (CARBONS, "private") => marks.private = true,
                ("urn:xmpp:hints", "no-copy") => marks.no_copy = true,
                (JABBER_CLIENT, "body") => marks.body = true,
                (
                    "urn:xmpp:receipts"
                    | "http://jabber.org/protocol/chatstates"
                    | "urn:xmpp:chat-markers:0"
                    | "jabber:x:conference",
                    _,
                ) => marks.chatting = true,
                (room @ "http://jabber.org/protocol/muc#user", "x") => {
                    let invites = child.children().any(|it| it.is(room, "invite"));
                    marks.invitation |= invites;
                    marks.room |= !invites;
                }
                _ => {}
            }
        }
        marks
    }

    /// Whether a message of `type_` to `to` with these marks is copied.
    ///
    /// An error is a copy's affair when it repeats what it answers: then it
    /// shows that the message was (§6.1).
    pub fn allow(self, direction: Direction, type_: MessageType, to: &Jid) -> bool {
        // A room sends private messages to the resource that is in it.
        let from_room = self.room && direction == Direction::Received && to.is_full();
        if self.private || self.no_copy || from_room {
            return false;
        }
        let chatting = self.chatting || self.invitation;
        match type_ {
            MessageType::Groupchat => false,
            MessageType::Chat => true,
            MessageType::Normal | MessageType::Error => self.body || chatting,
            MessageType::Headline => chatting,
        }
    }
}

/// The message as its recipients get it: what concerns the sender's server
/// alone is taken out (§9).
pub fn delivered(message: &Message) -> Message {
    Message {
        payload: message.payload.without(CARBONS, "private"),
        ..message.clone()
    }
}

/// A copy, written but for its recipient.
#[derive(Clone, Debug)]
pub struct Copy(String);

const START: &str = "<message";

impl Copy {
    /// A copy for resources of `account` of `stanza`, a message of `type_` as
    /// [`encode::message`](crate::encode::message) writes it.
    pub fn new(
        direction: Direction,
        account: &BareJid,
        type_: MessageType,
        stanza: &[u8],
    ) -> Option<Self> {
        let stanza = std::str::from_utf8(stanza).ok()?;
        let message = stanza.strip_prefix(START)?;
        let direction = match direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
        };
        let mut out = String::with_capacity(stanza.len() + 256);
        push_attribute(&mut out, "from", account.as_str());
        if type_ != MessageType::Normal {
            push_attribute(&mut out, "type", type_.name());
        }
        for piece in [
            "><",
            direction,
            " xmlns=\"urn:xmpp:carbons:2\"><forwarded xmlns=\"urn:xmpp:forward:0\">\
             <message xmlns=\"jabber:client\"",
            message,
            "</forwarded></",
            direction,
            "></message>",
        ] {
            out.push_str(piece);
        }
        Some(Self(out))
    }

    /// The copy for one resource.
    pub fn to(&self, resource: &FullJid) -> Bytes {
        let mut out = String::with_capacity(self.0.len() + resource.as_str().len() + 20);
        out.push_str(START);
        push_attribute(&mut out, "to", resource.as_str());
        out.push_str(&self.0);
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests;
