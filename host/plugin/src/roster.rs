//! What a fetch answers, in the host's own types.
//!
//! Nothing here comes from the generated bindings: the server sees these
//! types only, whichever version of the contract a plugin speaks. What the
//! plugin returned is validated again in [`crate::accept`] before it becomes
//! one of these.

use std::time::Duration;

/// Whose presence reaches whom (RFC 6121, section 2.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// Neither sees the other's presence.
    None,
    /// The user sees the contact's presence.
    To,
    /// The contact sees the user's presence.
    From,
    /// Both see each other's presence.
    Both,
}

/// One contact as the plugin stated it.
///
/// Lengths are bounded and code points that XML cannot carry are gone;
/// whether `jid` is a JID is for the owner of rosters to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The contact's bare JID, 1 to 3,071 bytes.
    pub jid: String,
    /// The name that the user gave the contact, at most 1,023 bytes.
    pub name: Option<String>,
    /// The groups that the contact is in, each 1 to 1,023 bytes, no
    /// duplicates, at most [`crate::Limits::groups`].
    pub groups: Vec<String>,
    /// Whose presence reaches whom.
    pub subscription: Subscription,
}

/// What a successful fetch found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The list is still the one that the caller's validator names.
    Unchanged,
    /// The list as the app states it now.
    Roster {
        /// The contacts, at most [`crate::Limits::contacts`].
        contacts: Vec<Contact>,
        /// What the app calls this version of the list, at most 1,024 bytes.
        validator: Option<String>,
        /// Entries that were left out: by the sandbox, and by the plugin, which is
        /// believed up to [`crate::Limits::contacts`].
        skipped: u32,
    },
}

/// Why a fetch failed. Nothing of the user's roster may change then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The app does not know this user.
    #[error("the app does not know this user")]
    NotFound,
    /// The app could not be reached, or the connection broke.
    #[error("the app cannot be reached")]
    Unavailable,
    /// The app did not answer within the deadline of the call.
    #[error("the app did not answer in time")]
    Timeout,
    /// The app answered with an unexpected HTTP status.
    #[error("the app answered with status {0}")]
    Status(u16),
    /// The app's answer is not the agreed document. The text is the plugin's,
    /// at most 512 bytes, without control characters.
    #[error("the app's answer is malformed: {0}")]
    Malformed(String),
    /// The app's answer, or the list in it, exceeds a limit.
    #[error("the app's answer is too large")]
    TooLarge,
    /// The username cannot be asked for, or the egress policy refused the
    /// request.
    #[error("the request is not allowed")]
    Denied,
    /// The plugin itself failed, twice.
    #[error("the plugin failed: {0}")]
    Plugin(#[from] PluginFault),
}

/// How a plugin failed. Costs the call that it happened in, never a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PluginFault {
    /// WebAssembly trapped: unreachable code, a panic, memory out of bounds, …
    #[error("it trapped")]
    Trap,
    /// It ran longer than [`crate::Limits::turn`] without yielding.
    #[error("it used up its turn of CPU time")]
    TurnLimit,
    /// It asked for more memory, table elements or handles than it may have.
    #[error("it exceeded its memory")]
    ResourceLimit,
    /// It exhausted its stack.
    #[error("it exhausted its stack")]
    StackOverflow,
    /// A fresh instance could not be made.
    #[error("it could not be instantiated")]
    Instantiate,
    /// It did not answer within the deadline of the call.
    #[error("it did not answer in time")]
    Stuck,
    /// It ended without an answer, as a handler of WASI 0.2 can.
    #[error("it ended without an answer")]
    Unanswered,
    /// More calls wait already than [`crate::Limits::waiting_calls`].
    #[error("too many calls wait for it")]
    Overloaded,
    /// The plugin is being shut down.
    #[error("it is shutting down")]
    Stopped,
    /// It failed so often that it is left alone for a while
    /// ([`crate::BreakerPolicy`]).
    #[error("its circuit breaker is open")]
    CircuitOpen,
}

impl PluginFault {
    /// The value of the label `kind` in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::TurnLimit => "turn_limit",
            Self::ResourceLimit => "resource_limit",
            Self::StackOverflow => "stack_overflow",
            Self::Instantiate => "instantiate",
            Self::Stuck => "stuck",
            Self::Unanswered => "unanswered",
            Self::Overloaded => "overloaded",
            Self::Stopped => "stopped",
            Self::CircuitOpen => "circuit_open",
        }
    }

    /// Whether it is the plugin's own doing: what a breaker counts.
    pub(crate) fn is_own(self) -> bool {
        match self {
            Self::Trap
            | Self::TurnLimit
            | Self::ResourceLimit
            | Self::StackOverflow
            | Self::Instantiate
            | Self::Stuck
            | Self::Unanswered => true,
            Self::Overloaded | Self::Stopped | Self::CircuitOpen => false,
        }
    }
}

/// Why an HTTP request got no answer from the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// The plugin returned a `wasi:http` error instead of a response, or
    /// broke off its body.
    #[error("the plugin answered with an error")]
    Refused,
    /// The answer asks for a refresh, and is no list of usernames.
    #[error("the plugin asked for a refresh without a list of usernames")]
    Wish,
    /// The response is larger than [`crate::Limits::response_bytes`].
    #[error("the plugin's response is too large")]
    TooLarge,
    /// No whole response within the deadline.
    #[error("the plugin did not answer within {0:?}")]
    Timeout(Duration),
    /// More requests are being handled than [`crate::Limits::handle_calls`].
    #[error("too many requests are being handled")]
    Overloaded,
    /// The plugin failed so often that it is left alone for a while
    /// ([`crate::BreakerPolicy`]).
    #[error("its circuit breaker is open")]
    CircuitOpen {
        /// Until when a request will be tried again.
        retry_after: Duration,
    },
    /// The plugin itself failed.
    #[error("the plugin failed: {0}")]
    Plugin(#[from] PluginFault),
}
