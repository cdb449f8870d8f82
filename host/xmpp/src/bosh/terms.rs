//! The bounds of a session, and what both sides agree on within them
//! (XEP-0124 §7).

use std::time::Duration;

use super::body::{Body, Offer};

/// Version of XEP-0124 that this is.
const VERSION: (u32, u32) = (1, 11);
/// The bounds of BOSH sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a request may stay unanswered; a client may want less. Whole
    /// seconds.
    pub wait: Duration,
    /// How long a client may be without an unanswered request. Whole seconds.
    pub inactivity: Duration,
    /// How long it may be if it says so before. Whole seconds.
    pub longest_pause: Duration,
    /// How often a client may ask for nothing but news while it need not.
    /// Whole seconds.
    pub polling: Duration,
    /// Bytes of content that wait for the session.
    pub input_bytes: usize,
    /// Bytes of stanzas after which an answer takes no further one.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(60),
            inactivity: Duration::from_secs(45),
            longest_pause: Duration::from_secs(120),
            polling: Duration::from_secs(2),
            input_bytes: 512 * 1024,
            answer_bytes: 64 * 1024,
        }
    }
}

/// What both sides agreed on when the session began.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) sid: String,
    pub(super) from: Option<String>,
    pub(super) secure: bool,
    pub(super) ver: (u32, u32),
    pub(super) wait: Duration,
    /// 1, or 0 for a client that polls.
    pub(super) hold: usize,
    pub(super) inactivity: Duration,
    pub(super) longest_pause: Duration,
    pub(super) polling: Duration,
}

/// How a session begins, beside the request that asks for it.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Name of the session, unguessable.
    pub sid: String,
    /// Whether it goes over TLS.
    pub secure: bool,
}

impl Terms {
    /// What comes of a client's offer and our bounds.
    pub(super) fn agreed(limits: &Limits, beginning: Beginning, request: &Body) -> Terms {
        let Offer { wait, hold, ver } = request.offer;
        let wait = wait.map_or(limits.wait, Duration::from_secs);
        Terms {
            sid: beginning.sid,
            from: request.open.to.clone(),
            secure: beginning.secure,
            ver: ver.map_or(VERSION, |ver| ver.min(VERSION)),
            wait: wait.min(limits.wait),
            // A request that may not wait is answered as if none may be held.
            hold: usize::from(hold != Some(0) && !wait.is_zero()),
            inactivity: limits.inactivity,
            longest_pause: limits.longest_pause,
            polling: limits.polling,
        }
    }
}
