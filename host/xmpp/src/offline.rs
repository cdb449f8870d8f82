//! Which messages are kept for an account of which nobody is there, and how
//! they are marked (XEP-0160 1.0.1, XEP-0203, XEP-0334).
//!
//! Owns the rules. Does not own the store, nor when a kept message is handed
//! over.

use std::time::Duration;

use bytes::Bytes;
use jid::DomainRef;

use crate::datetime;
use crate::encode::push_attribute;
use crate::stanza::{JABBER_CLIENT, Message, MessageType};

/// Namespace of delayed delivery.
const DELAY: &str = "urn:xmpp:delay";
/// Namespace of message processing hints.
const HINTS: &str = "urn:xmpp:hints";
/// Namespace of chat states.
const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";

/// What is to be done with a message that nobody is there to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it.
    Keep,
    /// Tell its sender that it did not arrive.
    Refuse,
    /// It is of no use later, and nobody would miss it.
    Drop,
}

/// XEP-0160 §3: messages of type normal and chat are kept, but for those that
/// hold nothing but a chat state (XEP-0085), and those that are not to be
/// stored (`<no-store/>`, XEP-0334 §4.2; `<no-permanent-store/>` speaks of
/// archives, not of this).
pub fn verdict(message: &Message) -> Verdict {
    match message.type_ {
        MessageType::Normal | MessageType::Chat => {}
        MessageType::Groupchat => return Verdict::Refuse,
        MessageType::Headline | MessageType::Error => return Verdict::Drop,
    }
    let (mut lasting, mut chat_state) = (false, false);
    for child in &message.payload {
        match (&*child.namespace(), child.name()) {
            (HINTS, "no-store") => return Verdict::Refuse,
            (HINTS, "store") => lasting = true,
            // They accompany others.
            (HINTS, _) | (JABBER_CLIENT, "thread") => {}
            (CHAT_STATES, _) => chat_state = true,
            _ => lasting = true,
        }
    }
    match (lasting, chat_state) {
        (true, _) => Verdict::Keep,
        (false, true) => Verdict::Drop,
        (false, false) => Verdict::Refuse,
    }
}

const END: &[u8] = b"</message>";

/// `stanza`, a message as [`encode::message`](crate::encode::message) writes
/// it, with a note of `domain` that it was kept at that time, counted from the
/// beginning of 1970 (XEP-0203 §2). A message without children stays as it is.
pub fn delayed(stanza: &Bytes, domain: &DomainRef, since_1970: Duration) -> Bytes {
    let Some(message) = stanza.strip_suffix(END) else {
        return stanza.clone();
    };
    let mut delay = String::from("<delay");
    push_attribute(&mut delay, "xmlns", DELAY);
    push_attribute(&mut delay, "from", domain.as_str());
    push_attribute(&mut delay, "stamp", &datetime::utc(since_1970));
    delay.push_str("/>");
    [message, delay.as_bytes(), END].concat().into()
}

/// Whether `domain` has noted on `stanza` that it was kept.
pub fn is_delayed(stanza: &[u8], domain: &DomainRef) -> bool {
    let mut note = String::from("<delay");
    push_attribute(&mut note, "xmlns", DELAY);
    push_attribute(&mut note, "from", domain.as_str());
    let note = note.as_bytes();
    stanza.windows(note.len()).any(|window| window == note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::{Payload, Stanza};

    fn message(type_: MessageType, payload: &str) -> Message {
        Message {
            type_,
            payload: Payload::from_canonical(payload, payload.matches('<').count()),
            ..Message::default()
        }
    }

    #[test]
    fn the_rules_of_section_3() {
        const BODY: &str = "<body>hi</body>";
        const TYPING: &str = "<composing xmlns=\"http://jabber.org/protocol/chatstates\"/>";
        const ACTIVE: &str = "<active xmlns=\"http://jabber.org/protocol/chatstates\"/>";
        const THREAD: &str = "<thread>1</thread>";
        const RECEIPT: &str = "<received xmlns=\"urn:xmpp:receipts\" id=\"1\"/>";
        const NO_STORE: &str = "<no-store xmlns=\"urn:xmpp:hints\"/>";
        const NO_PERMANENT_STORE: &str = "<no-permanent-store xmlns=\"urn:xmpp:hints\"/>";
        const STORE: &str = "<store xmlns=\"urn:xmpp:hints\"/>";
        use Verdict::{Drop, Keep, Refuse};
        for (payload, expected) in [
            (BODY.to_owned(), Keep),
            ([BODY, ACTIVE].concat(), Keep),
            (TYPING.to_owned(), Drop),
            ([TYPING, THREAD, NO_PERMANENT_STORE].concat(), Drop),
            ([TYPING, STORE].concat(), Keep),
            (RECEIPT.to_owned(), Keep),
            ([BODY, NO_STORE].concat(), Refuse),
            ([NO_STORE, STORE].concat(), Refuse),
            ([BODY, NO_PERMANENT_STORE].concat(), Keep),
            (THREAD.to_owned(), Refuse),
            (String::new(), Refuse),
        ] {
            for type_ in [MessageType::Normal, MessageType::Chat] {
                assert_eq!(verdict(&message(type_, &payload)), expected, "{payload}");
            }
            for (type_, never) in [
                (MessageType::Groupchat, Refuse),
                (MessageType::Headline, Drop),
                (MessageType::Error, Drop),
            ] {
                assert_eq!(verdict(&message(type_, &payload)), never, "{payload}");
            }
        }
    }

    #[test]
    fn the_note_is_the_last_child() {
        let domain = jid::DomainPart::new("example.test").unwrap();
        let (from, to) = (
            jid::Jid::new("romeo@example.test/x").unwrap(),
            jid::Jid::new("juliet@example.test").unwrap(),
        );
        let message = Stanza::Message(message(MessageType::Normal, "<body>hi</body>"));
        let stanza = crate::encode::stanza(&message, &from, &to);
        assert!(!is_delayed(&stanza, &domain));
        let kept = delayed(&stanza, &domain, Duration::from_secs(951_782_400));
        let expected = "<body>hi</body><delay xmlns=\"urn:xmpp:delay\" from=\"example.test\" \
                        stamp=\"2000-02-29T00:00:00Z\"/></message>";
        assert!(kept.ends_with(expected.as_bytes()), "{kept:?}");
        assert!(is_delayed(&kept, &domain));
    }
}
