//! Cuts what the host sends into a stream header, top-level elements and the
//! footer, and parses each element strictly: a host that sends XML which is not
//! well-formed fails the test that sees it.

use std::collections::VecDeque;
use xmpp_parsers::minidom::Element;

/// One thing that came.
#[derive(Debug)]
pub enum Received {
    /// A stream header, as text.
    Open(String),
    /// A child of the stream.
    Element(Box<Element>),
    /// The end of the stream.
    Close,
    /// The end of the TCP connection, orderly or not.
    End,
}

#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: Vec<u8>,
    /// Everything before this is scanned.
    scanned: usize,
    /// How many elements are open, the stream's own included.
    depth: usize,
    ready: VecDeque<Received>,
}

impl Framer {
    /// A new stream follows on the same connection.
    pub(super) fn restart(&mut self) {
        self.depth = 0;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(super) fn next(&mut self) -> Option<Received> {
        while self.ready.is_empty() && self.step() {}
        self.ready.pop_front()
    }

    /// Takes one tag off the unscanned bytes; false when there is none whole.
    fn step(&mut self) -> bool {
        let Some(offset) = self.buffer[self.scanned..]
            .iter()
            .position(|byte| *byte == b'<')
        else {
            return false;
        };
        let start = self.scanned + offset;
        let Some(length) = tag_length(&self.buffer[start..]) else {
            return false;
        };
        let end = start + length;
        let tag = &self.buffer[start..end];
        self.scanned = end;
        let (closes, empty) = (tag.starts_with(b"</"), tag.ends_with(b"/>"));
        if tag.starts_with(b"<?") {
            self.take(end);
            return true;
        }
        self.depth = match (closes, empty) {
            (true, _) => self
                .depth
                .checked_sub(1)
                .expect("an end tag has a start tag"),
            (false, true) => self.depth,
            (false, false) => self.depth + 1,
        };
        if closes && self.depth == 0 {
            self.take(end);
            self.ready.push_back(Received::Close);
        } else if !closes && !empty && self.depth == 1 {
            let header = self.take(end);
            self.ready.push_back(Received::Open(header));
        } else if self.depth == 1 {
            let text = self.take(end);
            self.ready
                .push_back(Received::Element(Box::new(parse(&text))));
        }
        true
    }

    /// Takes everything up to `end` out of the buffer.
    fn take(&mut self, end: usize) -> String {
        let bytes: Vec<u8> = self.buffer.drain(..end).collect();
        self.scanned = 0;
        String::from_utf8(bytes).expect("UTF-8 from the host")
    }
}

/// Parses a child of the stream, with the declarations that the stream makes.
pub(super) fn parse(text: &str) -> Element {
    let document = format!(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{text}</stream:stream>"
    );
    let root: Element = document
        .parse()
        .unwrap_or_else(|error| panic!("not XML: {error}: {text}"));
    let first = root.children().next();
    first
        .unwrap_or_else(|| panic!("no element in {text:?}"))
        .clone()
}

/// The length of the tag at the start of `bytes`; `None` if it is not all here.
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}
