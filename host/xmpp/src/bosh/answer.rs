//! What is answered: `<body/>` elements with stanzas, with the terms of a new
//! session, or with its end.
//!
//! Answers are always `text/xml`; a client's wish for another content type
//! (`content`, XEP-0124 §7.1) is not followed: answers carry what others wrote,
//! and must not become pages of our origin.
//!
//! XEP-0124 §7.2 and §17; XEP-0206 §6.

use bytes::Bytes;

use super::terms::Terms;
use super::{HTTPBIND, REQUESTS, XBOSH};
use crate::encode;
use crate::error::{StreamCondition, StreamError};

/// Why a session ends (XEP-0124 §17.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Orderly: the client asked for it, or its stream is over.
    Orderly,
    /// A fault of the binding.
    Binding(Condition),
    /// A stream error, which the client is told.
    Stream(StreamError),
}

/// The faults of the binding that this side finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The request is none.
    BadRequest,
    /// A fault of ours.
    InternalServerError,
    /// There is no such session, or no such place in it: one answer for both,
    /// so that nobody can find out.
    ItemNotFound,
    /// Too many requests, or too many sessions.
    PolicyViolation,
    /// The server goes down.
    SystemShutdown,
}

impl Condition {
    /// Value of the `condition` attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::InternalServerError => "internal-server-error",
            Self::ItemNotFound => "item-not-found",
            Self::PolicyViolation => "policy-violation",
            Self::SystemShutdown => "system-shutdown",
        }
    }
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        match error.condition {
            StreamCondition::SystemShutdown => Self::Binding(Condition::SystemShutdown),
            _ => Self::Stream(error),
        }
    }
}

impl End {
    /// Value of the `condition` attribute, if there is one.
    pub fn condition(&self) -> Option<&'static str> {
        match self {
            Self::Orderly => None,
            Self::Binding(condition) => Some(condition.name()),
            Self::Stream(error) => Some(match error.condition {
                // The binding has conditions of the same names.
                StreamCondition::HostGone
                | StreamCondition::HostUnknown
                | StreamCondition::ImproperAddressing => error.condition.name(),
                _ => "remote-stream-error",
            }),
        }
    }
}

/// The answer to a request that belongs to no session.
pub fn refusal(condition: Condition) -> Bytes {
    let end = End::Binding(condition);
    Bytes::from(Answer::default().with_end(Some(&end)).finish())
}

/// The answer to the older of two copies of a request: the client may ask again
/// (XEP-0124 §17.3).
pub(super) fn repeated() -> Bytes {
    let mut answer = Answer::default();
    answer.attribute("type", "error");
    Bytes::from(answer.finish())
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answer {
    head: String,
    content: Vec<Bytes>,
    /// What stands in for content at the end of a session.
    details: String,
}

impl Default for Answer {
    fn default() -> Self {
        let mut head = String::from("<body");
        encode::push_attribute(&mut head, "xmlns", HTTPBIND);
        Self {
            head,
            content: Vec::new(),
            details: String::new(),
        }
    }
}

impl Answer {
    /// One more element.
    pub(super) fn push(&mut self, element: Bytes) {
        self.content.push(element);
    }

    /// The terms of a session that begins.
    pub(super) fn with_terms(mut self, terms: Option<&Terms>) -> Self {
        let Some(terms) = terms else { return self };
        self.attribute("sid", &terms.sid);
        for (name, number) in [
            ("wait", terms.wait.as_secs()),
            ("hold", terms.hold as u64),
            ("requests", REQUESTS as u64),
            ("inactivity", terms.inactivity.as_secs()),
            ("polling", terms.polling.as_secs()),
            ("maxpause", terms.longest_pause.as_secs()),
        ] {
            self.attribute(name, &number.to_string());
        }
        let (major, minor) = terms.ver;
        self.attribute("ver", &format!("{major}.{minor}"));
        if let Some(from) = &terms.from {
            self.attribute("from", from);
        }
        if terms.secure {
            self.attribute("secure", "true");
        }
        self.attribute("xmlns:xmpp", XBOSH);
        self.attribute("xmpp:version", "1.0");
        self.attribute("xmpp:restartlogic", "true");
        self
    }

    /// The end of the session, if it has come.
    pub(super) fn with_end(mut self, end: Option<&End>) -> Self {
        let Some(end) = end else { return self };
        self.attribute("type", "terminate");
        if let Some(condition) = end.condition() {
            self.attribute("condition", condition);
        }
        if let End::Stream(error) = end {
            encode::push_stream_error_content(&mut self.details, error);
        }
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let content: usize = self.content.iter().map(Bytes::len).sum();
        let length = self.head.len() + content + self.details.len() + "></body>".len();
        let mut answer = Vec::with_capacity(length);
        answer.extend_from_slice(self.head.as_bytes());
        if content == 0 && self.details.is_empty() {
            answer.extend_from_slice(b"/>");
            return answer;
        }
        answer.push(b'>');
        for element in &self.content {
            answer.extend_from_slice(element);
        }
        answer.extend_from_slice(self.details.as_bytes());
        answer.extend_from_slice(b"</body>");
        answer
    }

    fn attribute(&mut self, name: &str, value: &str) {
        encode::push_attribute(&mut self.head, name, value);
    }
}
