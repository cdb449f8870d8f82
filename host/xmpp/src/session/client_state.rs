//! Client State Indication (XEP-0352): what waits while nobody looks at the
//! client.
//!
//! Owns the choice of what can wait (presence, chat states) and what waits:
//! the last word of each sender, in order. Anything else is important: it takes
//! what waits along, so nothing is overtaken.

use bytes::Bytes;

use super::{Reached, Session, Worth};
use crate::encode::Head;
use crate::stanza::{Payload, StanzaKind};

/// Namespace of chat states (XEP-0085).
const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";

/// What may stand beside a chat state without making the message one that
/// somebody wants to read: hints (XEP-0334) and identifiers (XEP-0359).
const BESIDE_CHAT_STATES: [&str; 2] = ["urn:xmpp:hints", "urn:xmpp:sid:0"];

/// What waits for an inactive client.
#[derive(Debug, Default)]
pub(super) struct Held {
    stanzas: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    kind: StanzaKind,
    from: Box<str>,
    stanza: Bytes,
}

impl Session {
    /// Nobody looks at the client.
    pub(super) fn inactive(&mut self) {
        if self.is_bound() && self.held.is_none() {
            self.held = Some(Box::default());
        }
    }

    /// Somebody looks at the client again.
    pub(super) fn active(&mut self) {
        self.release_held();
        self.held = None;
    }

    /// Keeps `stanza` back if it can wait; otherwise says what waits, and
    /// gives it back to be said.
    pub(super) fn hold(&mut self, stanza: Bytes) -> Option<Bytes> {
        let waits = self.held.is_some().then(|| can_wait(&stanza)).flatten();
        let (Some(held), Some((kind, from))) = (&mut self.held, waits) else {
            self.release_held();
            return Some(stanza);
        };
        let earlier = held
            .stanzas
            .iter_mut()
            .find(|it| it.kind == kind && it.from == from);
        match earlier {
            Some(earlier) => earlier.stanza = stanza,
            None => held.stanzas.push(Waiting { kind, from, stanza }),
        }
        if held.stanzas.len() > self.config.limits.held_stanzas {
            self.intake.reached(Reached::HeldStanzas);
            self.release_held();
        }
        None
    }

    /// Says what waits.
    pub(super) fn release_held(&mut self) {
        if let Some(held) = &mut self.held {
            for waiting in std::mem::take(&mut held.stanzas) {
                self.transmit(waiting.stanza, Worth::Passing);
            }
        }
    }
}

/// Whose last word makes the earlier ones pointless, if `stanza` is such a
/// word.
fn can_wait(stanza: &[u8]) -> Option<(StanzaKind, Box<str>)> {
    let head = Head::of(stanza)?;
    let waits = match (head.kind, head.type_.as_deref()) {
        (StanzaKind::Presence, None | Some("unavailable")) => true,
        (StanzaKind::Message, None | Some("chat" | "groupchat")) => is_chat_state(head.payload),
        _ => false,
    };
    let from = head.from.filter(|_| waits)?;
    Some((head.kind, from.into()))
}

/// Whether a message says no more than that its sender is typing, or is not.
fn is_chat_state(payload: &str) -> bool {
    // Most messages say more, and end here.
    if !payload.contains(CHAT_STATES) || payload.contains("<body") {
        return false;
    }
    let wrapped = format!("<message>{payload}</message>");
    let Ok(message) = Payload::from_canonical(&wrapped, 1).to_element() else {
        return false;
    };
    message.children().all(|child| {
        let namespace = child.ns();
        namespace == CHAT_STATES
            || BESIDE_CHAT_STATES.contains(&namespace.as_str())
            || child.name() == "thread"
    })
}
