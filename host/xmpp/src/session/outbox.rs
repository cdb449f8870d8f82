//! What a session has written and its transport has not taken yet.
//!
//! Owns the form in which elements leave: as one run of bytes, or each on its
//! own with the namespaces that a stream header would have declared. Does not
//! own their content.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::Framing;
use crate::encode::STREAMS;
use crate::stanza::JABBER_CLIENT;

/// What a session has written and its transport has not taken yet.
#[derive(Debug)]
pub struct Outbox {
    bytes: BytesMut,
    framing: Framing,
    /// Lengths of the elements in `bytes`, for the framings that keep them
    /// apart.
    frames: VecDeque<usize>,
}

impl Outbox {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            bytes: BytesMut::new(),
            framing,
            frames: VecDeque::new(),
        }
    }

    /// How elements are kept apart.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What waits, for [`Framing::Stream`]: to be written from the front.
    pub fn stream(&mut self) -> &mut BytesMut {
        debug_assert_eq!(self.framing, Framing::Stream);
        &mut self.bytes
    }

    /// The next element, for the other framings.
    pub fn frame(&mut self) -> Option<Bytes> {
        let length = self.frames.pop_front()?;
        let frame = self.bytes.split_to(length).freeze();
        if self.bytes.is_empty() {
            // An idle stream keeps no buffer.
            self.bytes = BytesMut::new();
        }
        Some(frame)
    }

    /// Forgets what waits: nobody will take it.
    pub(super) fn clear(&mut self) {
        self.bytes = BytesMut::new();
        self.frames = VecDeque::new();
    }

    /// Appends one element. One that relies on the namespaces of the stream
    /// header starts with the name of a stanza or with the prefix `stream`.
    pub(super) fn push(&mut self, element: &[u8]) {
        if self.framing == Framing::Stream {
            return self.bytes.extend_from_slice(element);
        }
        let before = self.bytes.len();
        let (name, namespace) = inherited(element);
        let (head, rest) = element.split_at(name);
        self.bytes.reserve(element.len() + 64);
        self.bytes.extend_from_slice(head);
        if let Some((attribute, namespace)) = namespace {
            for piece in [" ", attribute, "=\"", namespace, "\""] {
                self.bytes.extend_from_slice(piece.as_bytes());
            }
        }
        self.bytes.extend_from_slice(rest);
        self.frames.push_back(self.bytes.len() - before);
    }
}

/// The length of `<` and the element's name, and what it would inherit from a
/// stream header: the attribute and its value.
fn inherited(element: &[u8]) -> (usize, Option<(&'static str, &'static str)>) {
    const STANZAS: [&[u8]; 3] = [b"<message", b"<presence", b"<iq"];
    if let Some(stanza) = STANZAS.iter().find(|it| element.starts_with(it)) {
        return (stanza.len(), Some(("xmlns", JABBER_CLIENT)));
    }
    if element.starts_with(b"<stream:") {
        let ends = |byte: &u8| matches!(byte, b' ' | b'>' | b'/');
        let name = element.iter().position(ends).unwrap_or(element.len());
        return (name, Some(("xmlns:stream", STREAMS)));
    }
    (0, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELEMENTS: [&str; 4] = [
        "<message to=\"a@b\"><body>x</body></message>",
        "<iq/>",
        "<stream:features><bind/></stream:features>",
        "<success xmlns=\"s\"/>",
    ];

    #[test]
    fn a_stream_is_one_run_of_bytes() {
        let mut outbox = Outbox::new(Framing::Stream);
        for element in ELEMENTS {
            outbox.push(element.as_bytes());
        }
        assert_eq!(outbox.stream(), ELEMENTS.concat().as_bytes());
    }

    #[test]
    fn frames_stand_alone() {
        let mut outbox = Outbox::new(Framing::WebSocket);
        for element in ELEMENTS {
            outbox.push(element.as_bytes());
        }
        let frames: Vec<_> = std::iter::from_fn(|| outbox.frame()).collect();
        let expected = [
            "<message xmlns=\"jabber:client\" to=\"a@b\"><body>x</body></message>",
            "<iq xmlns=\"jabber:client\"/>",
            "<stream:features xmlns:stream=\"http://etherx.jabber.org/streams\"><bind/></stream:features>",
            "<success xmlns=\"s\"/>",
        ];
        assert_eq!(frames, expected);
        assert!(outbox.is_empty());
    }
}
