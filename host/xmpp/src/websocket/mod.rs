//! WebSocket without I/O: frames of the client → messages; messages → frames
//! for the client (RFC 6455, as RFC 7395 uses it).
//!
//! Owns the budgets of a message (bytes and fragments, checked when a frame's
//! head is there, before its payload is), the rules of frames, and unmasking.
//! Does not own the opening handshake, what messages mean, nor the socket.
//! Extensions (compression among them) are not negotiated, so reserved bits are
//! faults.

mod frame;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::error::{StreamCondition, StreamError};
use frame::{Head, Opcode};

/// Frames of one message. Browsers send one; some proxies cut large messages.
const FRAGMENTS: usize = 8;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A complete message of valid UTF-8.
    Text(Bytes),
    /// To be answered by a pong with the same content.
    Ping(Bytes),
    /// Proof of life.
    Pong,
    /// The client closes, or agrees to. Nothing follows.
    Close,
}

/// What is wrong with what a client sends. Reach: the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Frames that break RFC 6455.
    #[error("the frames break the protocol")]
    Protocol,
    /// A binary message: XMPP is text (RFC 7395 §3.2).
    #[error("binary messages are not accepted")]
    Binary,
    /// Text that is not UTF-8.
    #[error("a message is not UTF-8")]
    NotUtf8,
    /// More bytes than a stanza may have.
    #[error("a message is larger than a stanza may be")]
    TooBig,
    /// More frames than a message may have.
    #[error("a message is cut into too many frames")]
    TooManyFragments,
}

impl Fault {
    /// The status code with which the connection closes (RFC 6455 §7.4.1).
    pub const fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Binary => 1003,
            Self::NotUtf8 => 1007,
            Self::TooManyFragments => 1008,
            Self::TooBig => 1009,
        }
    }
}

impl From<Fault> for StreamError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol => Self::new(StreamCondition::BadFormat),
            Fault::Binary => {
                Self::new(StreamCondition::BadFormat).with_text("binary messages are not XMPP")
            }
            Fault::NotUtf8 => Self::new(StreamCondition::UnsupportedEncoding),
            Fault::TooBig => Self::too_big("more bytes than a stanza may have"),
            Fault::TooManyFragments => Self::new(StreamCondition::PolicyViolation)
                .with_text("a message is cut into too many frames"),
        }
    }
}

/// The frames of one client, as they arrive.
#[derive(Debug, Default)]
pub struct Receiver {
    input: BytesMut,
    /// The frame whose payload is arriving, and how much of it has.
    frame: Option<(Head, usize)>,
    /// The text message that is arriving.
    message: BytesMut,
    /// Its frames so far; 0 between messages.
    fragments: usize,
    control: BytesMut,
    closed: bool,
}

impl Receiver {
    /// Takes bytes from the client.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.input.extend_from_slice(bytes);
        }
    }

    /// The next event; `None` when more bytes are needed. A message may have up
    /// to `message_bytes`.
    ///
    /// # Errors
    ///
    /// [`Fault`]; everything that follows is ignored.
    pub fn next(&mut self, message_bytes: usize) -> Result<Option<Event>, Fault> {
        let outcome = self.advance(message_bytes);
        if matches!(outcome, Err(_) | Ok(Some(Event::Close))) {
            *self = Self {
                closed: true,
                ..Self::default()
            };
        }
        outcome
    }

    fn advance(&mut self, message_bytes: usize) -> Result<Option<Event>, Fault> {
        loop {
            let (head, read) = match self.frame.take() {
                Some(frame) => frame,
                None => match Head::parse(&self.input)? {
                    Some((head, length)) => {
                        self.input.advance(length);
                        self.admit(&head, message_bytes)?;
                        (head, 0)
                    }
                    None => return Ok(None),
                },
            };
            let read = self.read_payload(&head, read);
            if read < head.payload_bytes {
                self.frame = Some((head, read));
                return Ok(None);
            }
            if let Some(event) = self.finish(&head)? {
                return Ok(Some(event));
            }
        }
    }

    /// Whether a frame may come here, by its head alone.
    fn admit(&mut self, head: &Head, message_bytes: usize) -> Result<(), Fault> {
        match head.opcode {
            Opcode::Binary => return Err(Fault::Binary),
            Opcode::Text if self.fragments > 0 => return Err(Fault::Protocol),
            Opcode::Continuation if self.fragments == 0 => return Err(Fault::Protocol),
            Opcode::Text | Opcode::Continuation => {}
            Opcode::Close | Opcode::Ping | Opcode::Pong => return Ok(()),
        }
        self.fragments += 1;
        if self.fragments > FRAGMENTS {
            return Err(Fault::TooManyFragments);
        }
        match message_bytes.checked_sub(self.message.len()) {
            Some(left) if head.payload_bytes <= left => Ok(()),
            _ => Err(Fault::TooBig),
        }
    }

    /// Moves what is there of the payload to where it belongs.
    fn read_payload(&mut self, head: &Head, read: usize) -> usize {
        let length = self.input.len().min(head.payload_bytes - read);
        let mut payload = self.input.split_to(length);
        if self.input.is_empty() {
            // An idle client holds no buffer.
            self.input = BytesMut::new();
        }
        head.unmask(&mut payload, read);
        let into = match head.opcode.is_control() {
            true => &mut self.control,
            false => &mut self.message,
        };
        match into.is_empty() {
            true => *into = payload,
            false => into.extend_from_slice(&payload),
        }
        read + length
    }

    fn finish(&mut self, head: &Head) -> Result<Option<Event>, Fault> {
        match head.opcode {
            Opcode::Close => {
                let payload = std::mem::take(&mut self.control);
                // RFC 6455 §5.5.1: a code of two bytes, if there is anything.
                match payload.len() {
                    1 => Err(Fault::Protocol),
                    _ => Ok(Some(Event::Close)),
                }
            }
            Opcode::Ping => Ok(Some(Event::Ping(
                std::mem::take(&mut self.control).freeze(),
            ))),
            Opcode::Pong => {
                self.control = BytesMut::new();
                Ok(Some(Event::Pong))
            }
            Opcode::Text | Opcode::Continuation | Opcode::Binary if head.last => {
                self.fragments = 0;
                let message = std::mem::take(&mut self.message).freeze();
                match std::str::from_utf8(&message) {
                    Ok(_) => Ok(Some(Event::Text(message))),
                    Err(_) => Err(Fault::NotUtf8),
                }
            }
            Opcode::Text | Opcode::Continuation | Opcode::Binary => Ok(None),
        }
    }
}

/// Writes a text message as one frame.
pub fn push_text(out: &mut BytesMut, text: &[u8]) {
    frame::push(out, Opcode::Text, text);
}

/// Writes the answer to a ping.
pub fn push_pong(out: &mut BytesMut, content: &[u8]) {
    frame::push(out, Opcode::Pong, content);
}

/// Writes the end of the connection, with its status code.
pub fn push_close(out: &mut BytesMut, code: u16) {
    frame::push(out, Opcode::Close, &code.to_be_bytes());
}

#[cfg(test)]
mod tests;
