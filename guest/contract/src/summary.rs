//! What the app gets back from a refresh: the summary of the reference.
//!
//! Owns the four keys `status`, `message`, `updated` and `errors`, in that
//! order, and the words of the message. The bodies of refused requests have
//! the same shape, so that an app needs one way to read an answer.

use std::fmt::Write as _;

use serde::Serialize;

/// Why an entry counts as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The entry is not a username.
    InvalidUsername,
    /// The app does not know the user.
    NotFound,
    /// The app could not be reached.
    Unavailable,
    /// The app did not answer in time.
    Timeout,
    /// The app answered with another HTTP status.
    Status,
    /// The app's answer is not the agreed document.
    Malformed,
    /// The app's answer is too large.
    TooLarge,
    /// The request to the app was refused by the sandbox.
    Denied,
    /// The plugin failed.
    Plugin,
    /// The server is overloaded or shutting down.
    Overloaded,
}

impl Reason {
    const ALL: [Self; 10] = [
        Self::InvalidUsername,
        Self::NotFound,
        Self::Unavailable,
        Self::Timeout,
        Self::Status,
        Self::Malformed,
        Self::TooLarge,
        Self::Denied,
        Self::Plugin,
        Self::Overloaded,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::InvalidUsername => "invalid username",
            Self::NotFound => "not known to the app",
            Self::Unavailable => "app unavailable",
            Self::Timeout => "app too slow",
            Self::Status => "unexpected status from the app",
            Self::Malformed => "malformed answer from the app",
            Self::TooLarge => "answer from the app too large",
            Self::Denied => "request to the app not allowed",
            Self::Plugin => "plugin failed",
            Self::Overloaded => "server overloaded",
        }
    }
}

/// The count of a refresh.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    updated: u32,
    failed: [u32; Reason::ALL.len()],
}

impl Summary {
    /// A summary of nothing: what `[]` is answered with.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an entry whose roster is what the app says.
    pub fn count_updated(&mut self) {
        self.updated += 1;
    }

    /// Counts an entry whose roster stays as it was.
    pub fn count_failed(&mut self, reason: Reason) {
        if let Some(count) = self.failed.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// How many entries failed.
    #[must_use]
    pub fn errors(&self) -> u32 {
        self.failed.iter().sum()
    }

    /// The JSON of the answer; `status` is `error` when every entry failed and
    /// there was at least one.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let errors = self.errors();
        let failed = self.updated == 0 && errors > 0;
        let mut message = String::from(if failed {
            "roster update failed"
        } else {
            "roster update complete"
        });
        let counts = Reason::ALL
            .iter()
            .zip(&self.failed)
            .filter(|(_, count)| **count > 0);
        for (index, (reason, count)) in counts.enumerate() {
            let separator = if index == 0 { "; errors: " } else { ", " };
            // Writing into a String cannot fail.
            let _ = write!(message, "{separator}{count} {}", reason.text());
        }
        body(&Body {
            status: if failed { "error" } else { "ok" },
            message: &message,
            updated: self.updated,
            errors,
        })
    }
}

/// The JSON of a refused request: nothing was refreshed.
#[must_use]
pub fn error_body(message: &str) -> Vec<u8> {
    body(&Body {
        status: "error",
        message,
        updated: 0,
        errors: 0,
    })
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'a str,
    message: &'a str,
    updated: u32,
    errors: u32,
}

fn body(body: &Body<'_>) -> Vec<u8> {
    // Strings and numbers are always JSON; there is no error to report.
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(updated: u32, failed: &[Reason], expected: &str) {
        let mut summary = Summary::new();
        (0..updated).for_each(|_| summary.count_updated());
        failed
            .iter()
            .for_each(|&reason| summary.count_failed(reason));
        assert_eq!(String::from_utf8_lossy(&summary.to_json()), expected);
    }

    #[test]
    fn the_summary_is_the_one_of_the_reference() {
        check(
            2,
            &[],
            r#"{"status":"ok","message":"roster update complete","updated":2,"errors":0}"#,
        );
        check(
            0,
            &[],
            r#"{"status":"ok","message":"roster update complete","updated":0,"errors":0}"#,
        );
    }

    #[test]
    fn errors_are_counted_and_named() {
        check(
            1,
            &[Reason::Timeout, Reason::NotFound, Reason::Timeout],
            r#"{"status":"ok","message":"roster update complete; errors: 1 not known to the app, 2 app too slow","updated":1,"errors":3}"#,
        );
    }

    #[test]
    fn it_is_an_error_when_every_entry_failed() {
        check(
            0,
            &[Reason::InvalidUsername],
            r#"{"status":"error","message":"roster update failed; errors: 1 invalid username","updated":0,"errors":1}"#,
        );
    }

    #[test]
    fn every_reason_is_counted_under_its_own_text() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            let mut summary = Summary::new();
            summary.count_failed(reason);
            assert_eq!(summary.errors(), 1);
            let json = String::from_utf8(summary.to_json()).expect("UTF-8");
            assert!(json.contains(&format!("1 {}\"", reason.text())), "{json}");
        }
    }

    #[test]
    fn refusals_have_the_same_shape() {
        assert_eq!(
            String::from_utf8_lossy(&error_body("not \"JSON\"\n")),
            r#"{"status":"error","message":"not \"JSON\"\n","updated":0,"errors":0}"#
        );
    }
}
