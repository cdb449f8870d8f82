//! How an answer goes wrong whose truth goes on changing meanwhile.

use super::Answer;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// What becomes of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status in its place.
    Status(u16),
    /// 429, and the wish to be asked after so many seconds.
    TooMany(u8),
    /// A TCP reset in its place.
    Reset,
    /// A TCP reset in the midst of it.
    ResetInBody,
    /// Nothing, and the connection stays open.
    Hang,
    /// The truth, byte by byte, too slow to end in time.
    Drip,
    /// A page that asks to sign in.
    Html,
    /// The first half of the truth, as if that were all.
    Truncated,
    /// The truth, of which more is announced than comes.
    TooLong,
    /// The truth, of which less is announced than there is.
    TooShort,
    /// The truth, so many milliseconds late.
    Late(u16),
}

impl Fault {
    pub(super) fn bend(self, truth: Answer) -> Answer {
        let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let text = match &truth {
            Answer::Contacts(contacts) => contacts.to_string(),
            _ => String::from("{}"),
        };
        let half = text.len() / 2;
        match self {
            Fault::Status(status) => Answer::Status(status),
            Fault::TooMany(seconds) => Answer::Verbatim(
                format!(
                    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {seconds}\r\n\
                     Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
                .into_bytes(),
            ),
            Fault::Reset => Answer::Reset(Vec::new()),
            Fault::ResetInBody => {
                let length = text.len();
                let head = format!("{ok}Content-Length: {length}\r\n\r\n{}", cut(&text, half));
                Answer::Reset(head.into_bytes())
            }
            Fault::Hang => Answer::Silence,
            Fault::Drip => {
                let contacts = serde_json::from_str(&text).unwrap_or(Value::Null);
                Answer::Drip(contacts, Duration::from_millis(100))
            }
            Fault::Html => Answer::Body(b"<html><body>Sign in</body></html>".to_vec()),
            Fault::Truncated => Answer::Body(cut(&text, half).as_bytes().to_vec()),
            Fault::TooLong => Answer::wrong_length(&text, text.len() + 10),
            Fault::TooShort => Answer::wrong_length(&text, text.len().saturating_sub(1)),
            Fault::Late(time) => Answer::Late(Duration::from_millis(time.into()), Box::new(truth)),
        }
    }
}

/// So many bytes of it, or one or two less.
fn cut(text: &str, bytes: usize) -> &str {
    let at = (0..=bytes).rev().find(|at| text.is_char_boundary(*at));
    &text[..at.unwrap_or(0)]
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Status(status) => write!(f, "{status}"),
            Fault::TooMany(seconds) => write!(f, "429 for {seconds} s"),
            Fault::Reset => f.write_str("reset"),
            Fault::ResetInBody => f.write_str("reset in the body"),
            Fault::Hang => f.write_str("hang"),
            Fault::Drip => f.write_str("drip"),
            Fault::Html => f.write_str("HTML"),
            Fault::Truncated => f.write_str("truncated"),
            Fault::TooLong => f.write_str("a length too long"),
            Fault::TooShort => f.write_str("a length too short"),
            Fault::Late(time) => write!(f, "{time} ms late"),
        }
    }
}
