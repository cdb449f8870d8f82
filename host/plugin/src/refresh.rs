//! The imported `rosters.refresh`: what a plugin may ask of the host.
//!
//! The server implements [`Refresher`]; the sandbox only carries the question
//! and the answer across the boundary.

use std::future::Future;
use std::pin::Pin;

use crate::roster::FetchError;

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
