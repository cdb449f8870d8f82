//! What the app answers to one request: the truth, or one of the faults.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

/// An answer to a request for somebody's contacts.
#[derive(Debug, Clone)]
pub enum Answer {
    /// 200 with the JSON and an `ETag`, or 304 when the request names it.
    Contacts(Value),
    /// 200 with these bytes as the body, whatever they are.
    Body(Vec<u8>),
    /// This status with a short plain-text body (none for 204 and 304).
    Status(u16),
    /// 302 to this URL.
    Redirect(String),
    /// 200 with the JSON and as many header fields of `X-Fill` besides.
    Headers(usize, Value),
    /// These bytes as they are in place of a reply, then the end of the
    /// connection: for wrong lengths and broken framing.
    Verbatim(Vec<u8>),
    /// These bytes, then a TCP reset.
    Reset(Vec<u8>),
    /// Nothing, and the connection stays open.
    Silence,
    /// A proper head, then the body one byte at a time with this pause between.
    Drip(Value, Duration),
    /// A proper head, then this many bytes of white space, which is valid at
    /// the start of any JSON document.
    Flood(u64),
    /// The same without a length and without an end.
    Endless,
    /// This answer, so much later.
    Late(Duration, Box<Answer>),
}

impl Answer {
    /// The answer for a user who has no contacts.
    pub fn no_contacts() -> Answer {
        Answer::Contacts(json!({}))
    }

    /// 200 and a body whose `Content-Length` is `claimed`, not its own.
    pub fn wrong_length(body: &str, claimed: usize) -> Answer {
        Answer::Verbatim(
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {claimed}\r\n\r\n{body}")
                .into_bytes(),
        )
    }
}

/// Something that a test opens when it is time.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub(super) fn closed() -> Gate {
        Gate(watch::Sender::new(false))
    }

    /// Lets everything through that waits, and everything that comes later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn opened(&self) {
        // The sender is held by `self`: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}
