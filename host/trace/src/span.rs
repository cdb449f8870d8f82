//! A span that has ended, with what it was about.

use std::fmt;
use std::time::SystemTime;

use tracing::field::{Field, Visit};

use crate::context::Context;

/// Bytes of a text that are kept: what a client chooses must not fill the queue.
const TEXT_BYTES: usize = 256;

/// The field that says which side of a request a span is (`server`, `client`).
const KIND: &str = "otel.kind";

/// The field that says that what the span was about has failed.
const FAILED: &str = "failed";

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text, cut to 256 bytes.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
}

/// Which side of a request a span is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Side {
    /// Neither.
    #[default]
    Internal,
    /// It answers.
    Server,
    /// It asks.
    Client,
}

/// What is known of a span: its fields, as they were recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) side: Side,
    pub(crate) failed: bool,
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub(crate) name: &'static str,
    pub(crate) context: Context,
    pub(crate) parent: Option<u64>,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) fields: Fields,
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match (name, &value) {
            (KIND, Value::Text(side)) => {
                self.side = match side.as_str() {
                    "server" => Side::Server,
                    "client" => Side::Client,
                    _ => Side::Internal,
                };
            }
            (FAILED, Value::Bool(failed)) => self.failed = *failed,
            _ => match self.attributes.iter_mut().find(|(it, _)| *it == name) {
                Some((_, old)) => *old = value,
                None => self.attributes.push((name, value)),
            },
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Value::Double(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.set(field, Value::Int(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let end = value.floor_char_boundary(TEXT_BYTES);
        let text = value.get(..end).unwrap_or_default();
        self.set(field, Value::Text(text.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
