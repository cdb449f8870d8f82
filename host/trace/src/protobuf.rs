//! Writing protobuf: the few shapes of fields that OTLP has.

/// A message that is being written.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

/// How a field's value is delimited.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Bytes, or a text.
    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, Wire::Length);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A message within this one.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// An `int64`, a `bool` or a member of an enumeration.
    pub(crate) fn int(&mut self, field: u32, value: i64) {
        self.tag(field, Wire::Varint);
        self.varint(value.cast_unsigned());
    }

    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, Wire::Fixed64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, Wire::Fixed32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn tag(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field << 3 | wire as u32));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the encoding's own documentation, and the bounds.
    #[test]
    fn fields_look_as_they_should() {
        let written = |write: &dyn Fn(&mut Message)| {
            let mut message = Message::default();
            write(&mut message);
            message.into_bytes()
        };
        assert_eq!(written(&|it| it.int(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(
            written(&|it| it.bytes(2, b"testing")),
            [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]
        );
        assert_eq!(
            written(&|it| it.message(3, |it| it.int(1, 150))),
            [0x1a, 0x03, 0x08, 0x96, 0x01]
        );
        assert_eq!(written(&|it| it.int(1, -1)).len(), 11);
        assert_eq!(written(&|it| it.fixed32(16, 1)), [0x85, 1, 1, 0, 0, 0]);
        assert_eq!(
            written(&|it| it.fixed64(1, 1)),
            [0x09, 1, 0, 0, 0, 0, 0, 0, 0]
        );
    }
}
