//! Spans as a collector gets them: OTLP's protobuf, read by the numbers of its
//! fields (`opentelemetry/proto/trace/v1/trace.proto`).

use std::collections::BTreeMap;

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Itself.
    pub id: String,
    /// Its parent; empty if it has none.
    pub parent: String,
    /// What it is called.
    pub name: String,
    /// Which side of a request: 1 neither, 2 server, 3 client.
    pub kind: u64,
    /// Its attributes, numbers as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether its status is an error.
    pub failed: bool,
}

/// The spans of one request's body.
///
/// # Panics
/// If it is no `ExportTraceServiceRequest`.
pub fn spans(body: &[u8]) -> Vec<Span> {
    let resource_spans = fields(body).into_iter().filter(|field| field.number == 1);
    let scope_spans = resource_spans
        .flat_map(|it| fields(it.bytes))
        .filter(|it| it.number == 2);
    let spans = scope_spans
        .flat_map(|it| fields(it.bytes))
        .filter(|it| it.number == 2);
    spans.map(|it| span(it.bytes)).collect()
}

fn span(bytes: &[u8]) -> Span {
    let fields = fields(bytes);
    let first = |number| fields.iter().find(|field| field.number == number);
    let hex = |number| {
        let bytes = first(number).map_or(&[][..], |field| field.bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let attributes = fields.iter().filter(|field| field.number == 9);
    Span {
        trace: hex(1),
        id: hex(2),
        parent: hex(4),
        name: text(first(5).expect("a name").bytes),
        kind: first(6).expect("a kind").value,
        attributes: attributes.map(|it| attribute(it.bytes)).collect(),
        failed: first(15).is_some_and(|status| {
            let code = self::fields(status.bytes)
                .into_iter()
                .find(|it| it.number == 3);
            code.is_some_and(|code| code.value == 2)
        }),
    }
}

fn attribute(bytes: &[u8]) -> (String, String) {
    let fields = fields(bytes);
    let [name, value] = &*fields else {
        panic!("not a key and a value")
    };
    let value = &self::fields(value.bytes)[0];
    let value = match value.number {
        1 => text(value.bytes),
        4 => f64::from_bits(value.value).to_string(),
        _ => value.value.cast_signed().to_string(),
    };
    (text(name.bytes), value)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("a text is UTF-8")
}

/// A field of a message: a number, or bytes.
struct Field<'a> {
    number: u64,
    value: u64,
    bytes: &'a [u8],
}

fn fields(mut rest: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let (mut value, mut bytes) = (0, &[][..]);
        match tag & 7 {
            0 => value = varint(&mut rest),
            1 => {
                let (number, after) = rest.split_at(8);
                value = u64::from_le_bytes(number.try_into().expect("eight bytes"));
                rest = after;
            }
            2 => {
                let length = usize::try_from(varint(&mut rest)).expect("a length");
                (bytes, rest) = rest.split_at(length);
            }
            5 => rest = &rest[4..],
            wire => panic!("no such wire type: {wire}"),
        }
        fields.push(Field {
            number: tag >> 3,
            value,
            bytes,
        });
    }
    fields
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().expect("another byte");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number without an end")
}
