//! The imported `rosters.refresh`: what a plugin may ask of the host.
//!
//! The server implements [`Refresher`]; the sandbox only carries the question
//! and the answer across the boundary.

use std::future::Future;
use std::pin::Pin;

use crate::roster::FetchError;
use crate::settings::Limits;

/// The host's side of the refreshes that one request asks for: fetches,
/// compares, pushes.
///
/// One for each [`crate::Plugin::handle`], so that the host knows for whom it
/// works and can explain what it did, whatever the plugin answers.
pub trait Refresher: Send + Sync + 'static {
    /// Refreshes the rosters of `usernames` (at most
    /// [`crate::Limits::refresh_usernames`], each as the plugin gave it) and
    /// returns one outcome for each entry, in order.
    ///
    /// The future is dropped when the call that asked for it runs out of
    /// time; work already begun for a user must then still be all or nothing.
    fn refresh(
        &self,
        usernames: Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>>;
}

/// What became of one entry of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The entry as it was given.
    pub username: String,
    /// Whether the user had a session when the refresh came.
    pub online: bool,
    /// The changes, all zero for an unchanged or offline user.
    pub result: Result<Changes, Failure>,
}

/// How many contacts a refresh added, changed and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Contacts that are new.
    pub added: u32,
    /// Contacts whose name, groups or subscription changed.
    pub changed: u32,
    /// Contacts that are gone.
    pub removed: u32,
}

/// Why one user's refresh failed. Nothing was pushed for that user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The entry is not a localpart (RFC 7622, section 3.3).
    InvalidUsername,
    /// The fetch failed; [`FetchError::Plugin`] reaches the plugin as `plugin`.
    Fetch(FetchError),
    /// The app's answer is held back because too many users would lose their
    /// contacts at once. The contract has no word for it: it reaches the plugin
    /// as `malformed`, with a text that says it.
    Held,
    /// The host is overloaded or shutting down.
    Overloaded,
}

impl Outcome {
    /// The outcome of an entry that was not even tried.
    pub(crate) fn overloaded(username: String) -> Self {
        Self {
            username,
            online: false,
            result: Err(Failure::Overloaded),
        }
    }
}

/// What of `rosters.refresh` is under way in one store.
///
/// A guest may ask several times at once; all of it together has the bounds
/// that one call has, because the host keeps the names of each until it is
/// answered.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    entries: usize,
    bytes: usize,
}

/// What one call counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    entries: usize,
    bytes: usize,
}

impl UnderWay {
    /// Counts a call in, if there is room for it.
    pub(crate) fn begin(&mut self, usernames: &[String], limits: &Limits) -> Option<Weight> {
        let weight = Weight {
            // An empty call occupies the host as well.
            entries: usernames.len().max(1),
            bytes: usernames.iter().map(String::len).sum(),
        };
        let entries = self.entries.saturating_add(weight.entries);
        let bytes = self.bytes.saturating_add(weight.bytes);
        if entries > limits.refresh_usernames || bytes > limits.host_call_bytes {
            return None;
        }
        *self = Self { entries, bytes };
        Some(weight)
    }

    /// Counts it out.
    pub(crate) fn end(&mut self, weight: Weight) {
        self.entries = self.entries.saturating_sub(weight.entries);
        self.bytes = self.bytes.saturating_sub(weight.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_at_once_share_the_bounds_of_one() {
        let limits = Limits {
            refresh_usernames: 3,
            host_call_bytes: 10,
            ..Limits::default()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let two: Vec<String> = names(&["john", "m"]);
        let long: Vec<String> = names(&["aaronaaron"]);
        let mut under_way = UnderWay::default();
        let first = under_way.begin(&two, &limits).unwrap();
        assert_eq!(under_way.begin(&two, &limits), None, "four entries");
        assert_eq!(under_way.begin(&long, &limits), None, "fifteen bytes");
        assert!(under_way.begin(&[], &limits).is_some());
        assert_eq!(under_way.begin(&[], &limits), None, "nothing is not free");
        under_way.end(first);
        assert!(under_way.begin(&two, &limits).is_some());
    }
}
