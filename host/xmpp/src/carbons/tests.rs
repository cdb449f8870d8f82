//! The rules of carbons as a table, and the form of a copy.

use super::Direction::{Received, Sent};
use super::*;
use crate::encode;
use crate::stanza::MessageType::{Chat, Error, Groupchat, Headline, Normal};

const BODY: &str = "<body>hi</body>";
const RECEIPT: &str = "<received xmlns=\"urn:xmpp:receipts\" id=\"1\"/>";
const STATE: &str = "<active xmlns=\"http://jabber.org/protocol/chatstates\"/>";
const MARKER: &str = "<displayed xmlns=\"urn:xmpp:chat-markers:0\" id=\"1\"/>";
const INVITED: &str = "<x xmlns=\"jabber:x:conference\" jid=\"room@conference.test\"/>";
const MEDIATED: &str =
    "<x xmlns=\"http://jabber.org/protocol/muc#user\"><invite from=\"a@b\"/></x>";
const IN_ROOM: &str = "<body>hi</body><x xmlns=\"http://jabber.org/protocol/muc#user\"/>";
const PRIVATE: &str = "<body>hi</body><private xmlns=\"urn:xmpp:carbons:2\"/>";
const NO_COPY: &str = "<no-copy xmlns=\"urn:xmpp:hints\"/><body>hi</body>";
const OTHER: &str = "<x xmlns=\"urn:x\"><body xmlns=\"jabber:client\"/></x>";

fn payload(xml: &str) -> Payload {
    Payload::from_canonical(xml, 1)
}

#[test]
fn messages_are_copied_by_their_type_and_content() {
    // Content; is it copied as normal, chat, groupchat, headline, error?
    for (content, copied) in [
        ("", [false, true, false, false, false]),
        (OTHER, [false, true, false, false, false]),
        (BODY, [true, true, false, false, true]),
        (RECEIPT, [true, true, false, true, true]),
        (STATE, [true, true, false, true, true]),
        (MARKER, [true, true, false, true, true]),
        (INVITED, [true, true, false, true, true]),
        (MEDIATED, [true, true, false, true, true]),
        (PRIVATE, [false; 5]),
        (NO_COPY, [false; 5]),
    ] {
        let marks = Marks::of(&payload(content));
        for (type_, copied) in [Normal, Chat, Groupchat, Headline, Error]
            .into_iter()
            .zip(copied)
        {
            for to in ["marie@x.test", "marie@x.test/a"] {
                let to = Jid::new(to).unwrap();
                for direction in [Sent, Received] {
                    let allowed = marks.allow(direction, type_, &to);
                    assert_eq!(allowed, copied, "{direction:?} {type_:?} {content}");
                }
            }
        }
    }
}

#[test]
fn private_messages_of_a_room_are_for_the_resource_in_it() {
    let marks = Marks::of(&payload(IN_ROOM));
    for (direction, to, copied) in [
        (Received, "john@x.test/phone", false),
        (Received, "john@x.test", true),
        (Sent, "room@conference.test/marie", true),
    ] {
        assert_eq!(marks.allow(direction, Chat, &Jid::new(to).unwrap()), copied);
    }
}

#[test]
fn a_copy_holds_the_whole_message() {
    let message = Message {
        id: Some("1".to_owned()),
        type_: Chat,
        payload: payload(BODY),
        ..Message::default()
    };
    let (from, to) = (
        Jid::new("john@x.test/phone").unwrap(),
        Jid::new("marie@x.test").unwrap(),
    );
    let stanza = encode::message(&message, &from, &to);
    let account = BareJid::new("john@x.test").unwrap();
    let copy = Copy::new(Sent, &account, Chat, &stanza).unwrap();
    assert_eq!(
        copy.to(&FullJid::new("john@x.test/desk").unwrap()),
        "<message to=\"john@x.test/desk\" from=\"john@x.test\" type=\"chat\">\
         <sent xmlns=\"urn:xmpp:carbons:2\"><forwarded xmlns=\"urn:xmpp:forward:0\">\
         <message xmlns=\"jabber:client\" from=\"john@x.test/phone\" to=\"marie@x.test\" id=\"1\" type=\"chat\">\
         <body>hi</body></message></forwarded></sent></message>"
    );
}

#[test]
fn the_wish_for_privacy_is_not_passed_on() {
    let message = Message {
        payload: payload(PRIVATE),
        ..Message::default()
    };
    assert_eq!(delivered(&message).payload.as_str(), BODY);
}
