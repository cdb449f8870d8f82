//! The body of a request to a collector: an `ExportTraceServiceRequest` of OTLP
//! 1 (`opentelemetry/proto/trace/v1/trace.proto`), whose field numbers are
//! fixed.

use std::time::SystemTime;

use crate::protobuf::Message;
use crate::span::{Finished, Side, Value};

/// The flags of a span in a trace that is kept (W3C Trace Context, level 1).
const SAMPLED: u32 = 1;

/// `STATUS_CODE_ERROR`.
const ERROR: i64 = 2;

/// What the spans have in common: whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Attributes, such as `service.name`.
    pub attributes: Vec<(&'static str, String)>,
    /// The version of what made the spans.
    pub version: &'static str,
}

/// The body of a request that tells of `spans`.
pub fn request(resource: &Resource, spans: &[Finished]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |it| {
            for (name, value) in &resource.attributes {
                it.message(1, |it| key_value(it, name, &Value::Text(value.clone())));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, b"muster");
                scope.bytes(2, resource.version.as_bytes());
            });
            for span in spans {
                scope_spans.message(2, |it| encode(it, span));
            }
        });
    });
    request.into_bytes()
}

fn encode(message: &mut Message, span: &Finished) {
    message.bytes(1, &span.context.trace.to_be_bytes());
    message.bytes(2, &span.context.span.to_be_bytes());
    if let Some(parent) = span.parent {
        message.bytes(4, &parent.to_be_bytes());
    }
    message.bytes(5, span.name.as_bytes());
    message.int(6, kind(span.fields.side));
    message.fixed64(7, nanoseconds(span.began));
    message.fixed64(8, nanoseconds(span.ended));
    for (name, value) in &span.fields.attributes {
        message.message(9, |it| key_value(it, name, value));
    }
    if span.fields.failed {
        message.message(15, |status| status.int(3, ERROR));
    }
    message.fixed32(16, SAMPLED);
}

fn key_value(message: &mut Message, name: &str, value: &Value) {
    message.bytes(1, name.as_bytes());
    message.message(2, |it| match value {
        Value::Text(text) => it.bytes(1, text.as_bytes()),
        Value::Bool(value) => it.int(2, (*value).into()),
        Value::Int(value) => it.int(3, *value),
        Value::Double(value) => it.fixed64(4, value.to_bits()),
    });
}

/// `Span.SpanKind`.
const fn kind(side: Side) -> i64 {
    match side {
        Side::Internal => 1,
        Side::Server => 2,
        Side::Client => 3,
    }
}

fn nanoseconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::context::Context;
    use crate::span::Fields;

    /// What the Python package `opentelemetry-proto` 1.45.2 writes for the same
    /// two spans.
    const EXPECTED: &[&str] = &[
        "0a98020a1a0a180a0c736572766963652e6e616d6512080a066d757374657212",
        "f9010a0f0a066d75737465721205302e312e3012a7010a104bf92f3577b34da6",
        "a3ce929d0e0e4736120800f067aa0ba902b72208000000000000002a2a056665",
        "74636830033901ca9a3b000000004100f90295000000004a0d0a067374617475",
        "73120318f7034a130a046c656674120b18ffffffffffffffffff014a120a0573",
        "68617265120921000000000000e03f4a090a03637574120210014a170a096175",
        "74686f72697479120a0a086170703a383038307a021802850101000000123c0a",
        "104bf92f3577b34da6a3ce929d0e0e47361208000000000000002a2a0463616c",
        "6c30013900ca9a3b0000000041005ed0b200000000850101000000",
    ];

    #[test]
    fn the_bytes_are_those_of_another_implementation() {
        let at = |nanoseconds| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        let context = |span| Context {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span,
            sampled: true,
        };
        let spans = [
            Finished {
                name: "fetch",
                context: context(0x00f0_67aa_0ba9_02b7),
                parent: Some(42),
                began: at(1_000_000_001),
                ended: at(2_500_000_000),
                fields: Fields {
                    attributes: vec![
                        ("status", Value::Int(503)),
                        ("left", Value::Int(-1)),
                        ("share", Value::Double(0.5)),
                        ("cut", Value::Bool(true)),
                        ("authority", Value::Text("app:8080".to_owned())),
                    ],
                    side: Side::Client,
                    failed: true,
                },
            },
            Finished {
                name: "call",
                context: context(42),
                parent: None,
                began: at(1_000_000_000),
                ended: at(3_000_000_000),
                fields: Fields::default(),
            },
        ];
        let resource = Resource {
            attributes: vec![("service.name", "muster".to_owned())],
            version: "0.1.0",
        };
        let written = request(&resource, &spans).into_iter();
        let written: String = written.map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, EXPECTED.concat());
    }
}
