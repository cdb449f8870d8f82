//! Heads of frames (RFC 6455 §5.2).

use bytes::{BufMut as _, BytesMut};

use super::Fault;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// Payload that a control frame may have (RFC 6455 §5.5).
const CONTROL_BYTES: usize = 125;

impl Opcode {
    const ALL: [(Self, u8); 6] = [
        (Self::Continuation, 0),
        (Self::Text, 1),
        (Self::Binary, 2),
        (Self::Close, 8),
        (Self::Ping, 9),
        (Self::Pong, 10),
    ];

    fn of(bits: u8) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(_, other)| *other == bits).map(|(code, _)| *code)
    }

    fn bits(self) -> u8 {
        let mut all = Self::ALL.iter();
        all.find(|(other, _)| *other == self)
            .map_or(0, |(_, bits)| *bits)
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The head of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) opcode: Opcode,
    /// Nothing of the message follows.
    pub(super) last: bool,
    pub(super) payload_bytes: usize,
    mask: [u8; 4],
}

impl Head {
    /// The head at the start of `input` and its length; `None` when more bytes
    /// are needed.
    pub(super) fn parse(input: &[u8]) -> Result<Option<(Head, usize)>, Fault> {
        let [first, second, rest @ ..] = input else {
            return Ok(None);
        };
        // Reserved bits belong to extensions; clients mask (RFC 6455 §5.1).
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(Fault::Protocol);
        }
        let opcode = Opcode::of(first & 0x0F).ok_or(Fault::Protocol)?;
        let last = first & 0x80 != 0;
        let (payload_bytes, rest) = match (second & 0x7F, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
            }
            (126 | 127, _) => return Ok(None),
            (length, rest) => (u64::from(length), rest),
        };
        let payload_bytes = usize::try_from(payload_bytes).unwrap_or(usize::MAX);
        if opcode.is_control() && (!last || payload_bytes > CONTROL_BYTES) {
            return Err(Fault::Protocol);
        }
        let [m0, m1, m2, m3, rest @ ..] = rest else {
            return Ok(None);
        };
        let head = Head {
            opcode,
            last,
            payload_bytes,
            mask: [*m0, *m1, *m2, *m3],
        };
        Ok(Some((head, input.len() - rest.len())))
    }

    /// Unmasks a piece of the payload that starts at byte `offset` of it
    /// (RFC 6455 §5.3).
    pub(super) fn unmask(&self, piece: &mut [u8], offset: usize) {
        let mask = self.mask.iter().cycle().skip(offset % 4);
        for (byte, mask) in piece.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

/// Writes a frame of the server: the last of its message, not masked.
pub(super) fn push(out: &mut BytesMut, opcode: Opcode, payload: &[u8]) {
    out.reserve(payload.len() + 10);
    out.put_u8(0x80 | opcode.bits());
    match payload.len() {
        length @ 0..=125 => out.put_u8(length as u8),
        length @ 126..=0xFFFF => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.extend_from_slice(payload);
}
