//! One user's roster while a resource of the user is bound.

use std::sync::Arc;
use std::time::Duration;

use muster_xmpp::BareJid;
use muster_xmpp::roster::Snapshot;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::flight::Flights;
use super::kept::{Mark, Seen, Validator};
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
    /// Under it only the leaf locks of `Sessions` and of the guard are taken,
    /// never another user's state, and nothing is awaited.
    state: Mutex<State>,
    /// There is a snapshot where there was none.
    shown: Notify,
}

/// The roster as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// `None` until a fetch succeeded, or something stands in for its result.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// What the snapshot is.
    pub(super) standing: Standing,
    /// When the app told or confirmed it.
    pub(super) told: Option<Instant>,
    /// What the app calls the snapshot's version.
    pub(super) validator: Option<Validator>,
    /// What is kept of it on the disk, as far as is known.
    pub(super) kept: Option<Mark>,
    /// The guard holds back what the app says, and this is the roster from
    /// before.
    pub(super) held: bool,
    /// The last resource is gone, and this is no longer the user's state: a
    /// fetch that is still under way has nobody to push to.
    pub(super) gone: bool,
}

/// What a snapshot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// The app's last word, as far as this process has asked.
    #[default]
    App,
    /// The last known roster, since the app did not answer.
    Kept(Seen),
    /// Nobody, since the app did not answer.
    Empty,
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
            shown: Notify::new(),
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

    /// Waits until there is a roster to be shown.
    pub(super) async fn shown(&self) {
        let mut shown = std::pin::pin!(self.shown.notified());
        // Before the look, so that nothing comes in between.
        shown.as_mut().enable();
        if self.state().snapshot.is_none() {
            shown.await;
        }
    }

    /// There is one.
    pub(super) fn tell_shown(&self) {
        self.shown.notify_waiters();
    }

    /// The roster, if it is known.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.state().snapshot.clone()
    }
}

impl State {
    /// Whether the app has told the roster.
    pub(super) fn is_confirmed(&self) -> bool {
        self.snapshot.is_some() && self.standing == Standing::App
    }

    /// How long ago the app told or confirmed it.
    pub(super) fn age(&self) -> Option<Duration> {
        self.told.map(|told| told.elapsed())
    }

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
