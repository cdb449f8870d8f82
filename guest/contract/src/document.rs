//! What the app's answer and the app's request have in common: both are one
//! JSON text (RFC 8259) in UTF-8.
//!
//! Owns the faults that come before the content. The texts name the fault and
//! its place and never quote the document: it may hold names of contacts.

use std::fmt;

mod value;

pub(crate) use value::{Text, Value};

/// Why a document cannot be read at all. Reach: the call.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// No bytes, or nothing but white space.
    #[error("the document is empty")]
    Empty,
    /// U+FEFF before the JSON (RFC 8259, section 8.1 forbids to send it).
    #[error("the document starts with a byte order mark; send UTF-8 without one")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("the document is not UTF-8 (byte {offset})")]
    NotUtf8 {
        /// Where the first wrong byte is, from 0.
        offset: usize,
    },
    /// Not JSON, cut short, or JSON and something more.
    #[error("the document is not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
}

/// What a JSON value is, for messages that must not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `1`, `-1.5e3`
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
    /// Starts with `<`: an error page, most likely.
    Markup,
    /// None of these, and so no JSON.
    Unknown,
}

impl Found {
    /// Judges by the first byte that is not white space.
    fn of(text: &str) -> Self {
        let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        match text.bytes().find(|b| !is_space(b)) {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b'-' | b'0'..=b'9') => Self::Number,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            Some(b'<') => Self::Markup,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
            Self::Markup => "HTML or XML",
            Self::Unknown => "something else",
        })
    }
}

/// The document as text, and what it starts as.
pub(crate) fn open(bytes: &[u8]) -> Result<(&str, Found), Unreadable> {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(Unreadable::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Unreadable::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    if text.bytes().all(|b| b.is_ascii_whitespace()) {
        return Err(Unreadable::Empty);
    }
    Ok((text, Found::of(text)))
}
