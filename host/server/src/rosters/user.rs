//! One user's roster while a resource of the user is bound.

use std::sync::Arc;

use muster_xmpp::BareJid;
use muster_xmpp::roster::Snapshot;
use parking_lot::{Mutex, MutexGuard};

use super::flight::Flights;
use super::source::Source;

/// A user with at least one bound resource.
#[derive(Debug)]
pub(crate) struct User {
    /// The account.
    pub(crate) account: BareJid,
    /// Where the roster comes from.
    pub(super) source: Arc<Source>,
    /// The order of the user's fetches.
    pub(super) flights: Flights,
    /// Held by whoever hands over what was kept for the user while nobody was
    /// there. Nothing else is locked under it but the leaf locks of `Sessions`.
    offline_turn: Arc<tokio::sync::Mutex<()>>,
    /// Held while a resource gets the snapshot and becomes interested, while a
    /// new snapshot is put in and pushed, and while presence goes out by it.
    /// Under it only the leaf locks of `Sessions` are taken, never another
    /// user's state, and nothing is awaited.
    state: Mutex<State>,
}

/// The roster as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// `None` until a fetch succeeded.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// What the app calls the snapshot's version.
    pub(super) validator: Option<Box<str>>,
}

impl User {
    /// A user whose roster is not known yet.
    pub(super) fn new(account: BareJid, source: Arc<Source>) -> User {
        User {
            account,
            source,
            flights: Flights::default(),
            offline_turn: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// The state, locked. See the rule at the field.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The right to hand over what was kept for the user.
    pub(crate) fn offline_turn(&self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.offline_turn)
    }

    /// The roster, if it is known.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.state().snapshot.clone()
    }
}

impl State {
    /// Whether the roster lets `contact` see the user.
    pub(crate) fn sends_to(&self, contact: &str) -> bool {
        self.snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.subscription(contact).from())
    }

    /// Whether the roster lets the user see `contact`.
    pub(crate) fn sees(&self, contact: &str) -> bool {
        self.snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.subscription(contact).to())
    }
}
