//! Frames as a client sends them, cut anywhere.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1_000;

/// A frame as a client writes it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

/// The last frame of a message, or the only one.
const TEXT: u8 = 0x81;
const TEXT_BEGINS: u8 = 0x01;
const CONTINUES: u8 = 0x00;
const ENDS: u8 = 0x80;

fn all(receiver: &mut Receiver) -> Result<Vec<Event>, Fault> {
    std::iter::from_fn(|| receiver.next(LIMIT).transpose()).collect()
}

fn events(bytes: &[u8]) -> Result<Vec<Event>, Fault> {
    let mut receiver = Receiver::default();
    receiver.receive(bytes);
    all(&mut receiver)
}

fn text(text: &'static str) -> Event {
    Event::Text(Bytes::from_static(text.as_bytes()))
}

#[test]
fn the_example_of_the_rfc() {
    // RFC 6455 §5.7.
    let masked = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(events(&masked), Ok(vec![text("Hello")]));
    let mut out = BytesMut::new();
    push_text(&mut out, b"Hello");
    assert_eq!(out[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
}

#[test]
fn a_message_may_come_in_pieces_with_pings_between() {
    let bytes = [
        frame(TEXT_BEGINS, b"<message>"),
        frame(0x89, b"there?"),
        frame(CONTINUES, "grün".as_bytes().split_at(3).0),
        frame(0x8A, b""),
        frame(ENDS, b"\xBCn</message>"),
        frame(TEXT, b""),
    ]
    .concat();
    let expected = vec![
        Event::Ping(Bytes::from_static(b"there?")),
        Event::Pong,
        text("<message>grün</message>"),
        text(""),
    ];
    assert_eq!(events(&bytes), Ok(expected));
}

#[test]
fn nothing_follows_the_end() {
    let bytes = [frame(0x88, &[3, 232]), frame(TEXT, b"late")].concat();
    let mut receiver = Receiver::default();
    receiver.receive(&bytes);
    assert_eq!(receiver.next(LIMIT), Ok(Some(Event::Close)));
    receiver.receive(&frame(TEXT, b"later"));
    assert_eq!(receiver.next(LIMIT), Ok(None));
    assert_eq!(events(&frame(0x88, b"")), Ok(vec![Event::Close]));
}

#[test]
fn what_breaks_the_protocol_has_its_code() {
    let nine = [
        vec![frame(TEXT_BEGINS, b"<")],
        vec![frame(CONTINUES, b"a"); 8],
    ]
    .concat();
    let mut unmasked = frame(TEXT, b"");
    unmasked[1] &= 0x7F;
    for (bytes, fault, code) in [
        (unmasked, Fault::Protocol, 1002),
        (frame(0xC1, b"compressed"), Fault::Protocol, 1002),
        (frame(0x83, b"reserved"), Fault::Protocol, 1002),
        (frame(ENDS, b"of nothing"), Fault::Protocol, 1002),
        (
            [frame(TEXT_BEGINS, b"a"), frame(TEXT, b"b")].concat(),
            Fault::Protocol,
            1002,
        ),
        (frame(0x09, b"a ping in pieces"), Fault::Protocol, 1002),
        (frame(0x89, &[0; 126]), Fault::Protocol, 1002),
        (frame(0x88, &[3]), Fault::Protocol, 1002),
        (frame(0x82, b"\x00"), Fault::Binary, 1003),
        (frame(TEXT, b"\xFF"), Fault::NotUtf8, 1007),
        (nine.concat(), Fault::TooManyFragments, 1008),
        (frame(TEXT, &[b'x'; LIMIT + 1]), Fault::TooBig, 1009),
        (
            [frame(TEXT_BEGINS, &[b'x'; LIMIT]), frame(ENDS, b"x")].concat(),
            Fault::TooBig,
            1009,
        ),
    ] {
        assert_eq!(events(&bytes), Err(fault), "{bytes:?}");
        assert_eq!(fault.code(), code);
    }
    let eight = [
        vec![frame(TEXT_BEGINS, b"<")],
        vec![frame(CONTINUES, b"a"); 6],
        vec![frame(ENDS, b">")],
    ]
    .concat();
    assert_eq!(events(&eight.concat()), Ok(vec![text("<aaaaaa>")]));
}

#[test]
fn a_budget_is_exceeded_by_the_head_alone() {
    let mut receiver = Receiver::default();
    let huge = [
        0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0,
    ];
    receiver.receive(&huge);
    assert_eq!(receiver.next(usize::MAX - 1), Err(Fault::TooBig));
}

#[test]
fn an_idle_client_holds_no_buffer() {
    let mut receiver = Receiver::default();
    receiver.receive(&frame(TEXT, &[b'x'; LIMIT]));
    assert_eq!(all(&mut receiver).map(|events| events.len()), Ok(1));
    let held =
        receiver.input.capacity() + receiver.message.capacity() + receiver.control.capacity();
    assert_eq!(held, 0);
}

fn messages() -> impl Strategy<Value = Vec<(String, usize)>> {
    prop::collection::vec((".{0,300}", 1..=FRAGMENTS), 0..6)
}

proptest! {
    #[test]
    fn how_messages_are_cut_changes_nothing(messages in messages(), chunk in 1_usize..70) {
        let mut bytes = Vec::new();
        for (message, pieces) in &messages {
            let size = message.len().div_ceil(*pieces).max(1);
            let mut pieces: Vec<&[u8]> = message.as_bytes().chunks(size).collect();
            let last = pieces.pop().unwrap_or_default();
            let mut opcode = TEXT_BEGINS;
            for piece in pieces {
                bytes.extend(frame(opcode, piece));
                bytes.extend(frame(0x8A, b"pong"));
                opcode = CONTINUES;
            }
            bytes.extend(frame(0x80 | opcode, last));
        }
        let mut receiver = Receiver::default();
        let mut heard = Vec::new();
        for chunk in bytes.chunks(chunk) {
            receiver.receive(chunk);
            while let Some(event) = receiver.next(4 * 300).unwrap() {
                heard.push(event);
            }
        }
        heard.retain(|event| *event != Event::Pong);
        let said: Vec<_> = messages
            .iter()
            .map(|(message, _)| Event::Text(Bytes::from(message.clone())))
            .collect();
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn whatever_comes_stays_within_its_bound(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut receiver = Receiver::default();
        for chunk in bytes.chunks(50) {
            receiver.receive(chunk);
            while let Ok(Some(_)) = receiver.next(LIMIT) {}
            prop_assert!(receiver.message.len() <= LIMIT && receiver.input.len() < 64 + 14);
        }
    }
}
