//! Throughput of the decoder and the encoder, in bytes of XML.
//!
//! Owns its inputs: a short chat message, a roster result of 100 contacts, one
//! large message. Each is decoded from one read and from reads of 512 bytes.

// A broken input ends a bench; there is nobody to report an error to.
#![allow(clippy::unwrap_used, clippy::panic)]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use muster_xmpp::decoder::{Decoder, StreamEvent};
use muster_xmpp::encode;
use muster_xmpp::jid::Jid;
use muster_xmpp::limits::Limits;
use muster_xmpp::stanza::Stanza;

fn main() {
    divan::main();
}

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.test' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

#[derive(Clone, Copy, Debug)]
enum Input {
    Chat,
    Roster,
    Large,
}

impl Input {
    const ALL: [Self; 3] = [Self::Chat, Self::Roster, Self::Large];

    fn xml(self) -> String {
        match self {
            Self::Chat => "<message to='marie@example.test/phone' id='a7f3c1' type='chat'>\
                <body>Are you coming to the meeting?</body>\
                <active xmlns='http://jabber.org/protocol/chatstates'/></message>"
                .to_owned(),
            Self::Roster => {
                let items: String = (0..100)
                    .map(|n| {
                        format!(
                            "<item jid='user{n}@example.test' name='User {n}' subscription='both'>\
                             <group>Friends &amp; family</group></item>"
                        )
                    })
                    .collect();
                format!(
                    "<iq type='result' id='r1'><query xmlns='jabber:iq:roster' ver='v1'>{items}</query></iq>"
                )
            }
            Self::Large => {
                let body = "All work and no play makes a dull <![CDATA[day]]>. ".repeat(4_000);
                format!("<message to='marie@example.test'><body>{body}</body></message>")
            }
        }
    }
}

fn decoder() -> Decoder {
    let limits = Limits::default();
    let mut decoder = Decoder::new(&limits);
    decoder.receive(HEADER.as_bytes());
    assert!(matches!(decoder.next(), Ok(Some(StreamEvent::Open(_)))));
    decoder.set_limits(limits.after_auth);
    decoder
}

fn stanza(decoder: &mut Decoder) -> Option<Stanza> {
    match decoder.next().unwrap() {
        Some(StreamEvent::Stanza(stanza)) => Some(stanza),
        Some(other) => panic!("{other:?}"),
        None => None,
    }
}

#[divan::bench(args = Input::ALL)]
fn decode(bencher: Bencher<'_, '_>, input: Input) {
    let xml = input.xml();
    let mut decoder = decoder();
    bencher.counter(BytesCount::of_str(&xml)).bench_local(|| {
        decoder.receive(black_box(xml.as_bytes()));
        stanza(&mut decoder).unwrap()
    });
}

#[divan::bench(args = Input::ALL)]
fn decode_in_pieces(bencher: Bencher<'_, '_>, input: Input) {
    let xml = input.xml();
    let mut decoder = decoder();
    bencher.counter(BytesCount::of_str(&xml)).bench_local(|| {
        let pieces = black_box(xml.as_bytes()).chunks(512);
        let last = pieces.map(|piece| {
            decoder.receive(piece);
            stanza(&mut decoder)
        });
        last.last().flatten().unwrap()
    });
}

#[divan::bench(args = Input::ALL)]
fn encode_for_delivery(bencher: Bencher<'_, '_>, input: Input) {
    let mut decoder = decoder();
    decoder.receive(input.xml().as_bytes());
    let stanza = stanza(&mut decoder).unwrap();
    let from = Jid::new("john@example.test/laptop").unwrap();
    let to = Jid::new("marie@example.test/phone").unwrap();
    let bytes = encode::stanza(&stanza, &from, &to).len();
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| encode::stanza(black_box(&stanza), &from, &to));
}
