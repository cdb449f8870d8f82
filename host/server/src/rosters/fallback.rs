//! What a user sees whose roster the app does not tell: one table.
//!
//! Owns the decision, from the operator's word, the kind of failure and
//! whether there is a last known roster. Does nothing about it.

use muster_plugin::FetchError;

use super::SourceError;
use crate::config::OnBackendFailure;

/// What a failure says about the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing: the app, or what is between, does not work. The last known
    /// roster is as good as it gets.
    App,
    /// The app works, and has no such user.
    NoSuchUser,
    /// Nothing either: this server has too much to do, and did not ask.
    Ourselves,
    /// The app was not asked: the plugin or the host will not ask for such a
    /// user, or not there. Neither a sign of life of the app nor of an outage.
    NotAsked,
    /// The app works, and its word on the user is held back by the guard: the
    /// last known roster is the answer.
    Held,
    /// The server is about to end.
    Ending,
}

impl SourceError {
    /// What the failure says about the user.
    pub(super) fn reach(&self) -> Reach {
        match self {
            SourceError::Fetch(error) => match error {
                // The protocol has one answer for a user who is gone, and it
                // is this. A status such as 401 or 403 tells that *we* were
                // refused (docs/protocol.md).
                FetchError::NotFound => Reach::NoSuchUser,
                FetchError::Denied => Reach::NotAsked,
                FetchError::Unavailable
                | FetchError::Timeout
                | FetchError::Status(_)
                | FetchError::Malformed(_)
                | FetchError::TooLarge
                | FetchError::Plugin(_) => Reach::App,
            },
            SourceError::Held => Reach::Held,
            SourceError::Crowded => Reach::Ourselves,
            SourceError::ShuttingDown => Reach::Ending,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The last known roster is the answer.
    Kept,
    /// A roster without contacts is.
    Empty,
    /// The failure is.
    Refuse,
}

/// Decides for one who waits for a roster. `kept`: whether there is a last
/// known one.
pub(super) fn verdict(policy: OnBackendFailure, reach: Reach, kept: bool) -> Verdict {
    match (policy, reach) {
        (OnBackendFailure::Stale, Reach::App | Reach::Ourselves | Reach::Held) if kept => {
            Verdict::Kept
        }
        (OnBackendFailure::Empty, Reach::App | Reach::Ourselves) => Verdict::Empty,
        _ => Verdict::Refuse,
    }
}

/// Whether the server goes on asking for the user's roster by itself, so that
/// the difference is pushed as soon as the app tells it.
pub(super) fn is_owed(policy: OnBackendFailure, reach: Reach) -> bool {
    policy != OnBackendFailure::Reject && matches!(reach, Reach::App | Reach::Ourselves)
}

#[cfg(test)]
mod tests {
    use muster_plugin::PluginFault;

    use super::*;

    #[test]
    fn each_failure_has_its_reach() {
        for (error, reach) in [
            (FetchError::NotFound, Reach::NoSuchUser),
            (FetchError::Denied, Reach::NotAsked),
            (FetchError::Unavailable, Reach::App),
            (FetchError::Timeout, Reach::App),
            (FetchError::Status(302), Reach::App),
            (FetchError::Status(401), Reach::App),
            (FetchError::Status(403), Reach::App),
            (FetchError::Status(429), Reach::App),
            (FetchError::Status(500), Reach::App),
            (FetchError::Malformed(String::new()), Reach::App),
            (FetchError::TooLarge, Reach::App),
            (FetchError::Plugin(PluginFault::Trap), Reach::App),
            (FetchError::Plugin(PluginFault::Overloaded), Reach::App),
            (FetchError::Plugin(PluginFault::Stopped), Reach::App),
        ] {
            assert_eq!(SourceError::Fetch(error.clone()).reach(), reach, "{error}");
        }
        assert_eq!(SourceError::Held.reach(), Reach::Held);
        assert_eq!(SourceError::Crowded.reach(), Reach::Ourselves);
        assert_eq!(SourceError::ShuttingDown.reach(), Reach::Ending);
    }

    #[test]
    fn the_table() {
        use OnBackendFailure::{Empty, Reject, Stale};
        for (policy, reach, kept, expected, owed) in [
            (Stale, Reach::App, true, Verdict::Kept, true),
            (Stale, Reach::App, false, Verdict::Refuse, true),
            (Stale, Reach::Ourselves, true, Verdict::Kept, true),
            (Stale, Reach::Ourselves, false, Verdict::Refuse, true),
            (Stale, Reach::NoSuchUser, true, Verdict::Refuse, false),
            (Stale, Reach::NotAsked, true, Verdict::Refuse, false),
            (Stale, Reach::Held, true, Verdict::Kept, false),
            (Stale, Reach::Ending, true, Verdict::Refuse, false),
            (Reject, Reach::App, true, Verdict::Refuse, false),
            (Reject, Reach::NoSuchUser, true, Verdict::Refuse, false),
            (Empty, Reach::App, true, Verdict::Empty, true),
            (Empty, Reach::App, false, Verdict::Empty, true),
            (Reject, Reach::Ourselves, true, Verdict::Refuse, false),
            (Empty, Reach::Ourselves, false, Verdict::Empty, true),
            (Empty, Reach::NoSuchUser, false, Verdict::Refuse, false),
            (Empty, Reach::NotAsked, false, Verdict::Refuse, false),
            (Empty, Reach::Ending, false, Verdict::Refuse, false),
        ] {
            let case = (policy, reach, kept);
            assert_eq!(verdict(policy, reach, kept), expected, "{case:?}");
            assert_eq!(is_owed(policy, reach), owed, "{case:?}");
        }
    }
}
