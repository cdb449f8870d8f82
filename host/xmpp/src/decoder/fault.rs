//! Which stream error a fault of the tokeniser is.

use rxml::Error;

use crate::error::{StreamCondition, StreamError};

/// The stream error for `error` (RFC 6120 §4.9.3.13, .18, .22).
///
/// `before_root` tells that the fault lies before the stream's start tag was
/// read, `used_bytes` how many bytes into it.
pub(super) fn of(error: Error, before_root: bool, used_bytes: usize) -> StreamError {
    let condition = match error {
        // A `<` followed by NUL: UTF-16 without a byte order mark.
        Error::UnexpectedByte(_, 0, _) if before_root && used_bytes == 2 => {
            StreamCondition::UnsupportedEncoding
        }
        Error::UndeclaredEntity => StreamCondition::RestrictedXml,
        // The tokeniser has one variant for these and tells them apart by text
        // only; tests pin the texts to its version.
        Error::RestrictedXml("long name or reference") => {
            return StreamError::too_big("a name or attribute value is too long");
        }
        Error::RestrictedXml("only utf-8 encoding is allowed") => {
            StreamCondition::UnsupportedEncoding
        }
        Error::RestrictedXml(_) => StreamCondition::RestrictedXml,
        // `<!` that starts neither a comment nor CDATA: a DTD.
        Error::InvalidSyntax("malformed cdata or comment section start") => {
            StreamCondition::RestrictedXml
        }
        _ => StreamCondition::NotWellFormed,
    };
    StreamError::new(condition)
}
