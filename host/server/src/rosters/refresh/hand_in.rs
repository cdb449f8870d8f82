//! A roster that the app has handed in by itself.

use std::sync::Arc;

use muster_xmpp::BareJid;
use muster_xmpp::roster::Snapshot;

use super::{Done, count};
use crate::config::OnBackendFailure;
use crate::rosters::flight::Arrived;
use crate::rosters::kept::{KeptRoster, Seen};
use crate::rosters::user::Standing;
use crate::rosters::{Provenance, Rosters, User};

impl Rosters {
    /// Puts in what the app has handed in for one account, in that user's turn
    /// and as the newest word: a fetch that has begun before ends first, and
    /// is overwritten. For a user who is offline it becomes the last known
    /// roster, for the day on which the app does not answer; the next session
    /// asks the app all the same.
    pub(super) async fn hand_in(&self, account: &BareJid, snapshot: Snapshot) -> Done {
        let snapshot = Arc::new(snapshot);
        let Some(user) = self.find_or_keep(account, &snapshot) else {
            count("offline");
            return Done::offline();
        };
        count("handed_in");
        Done::landed(Ok(self.take(&user, snapshot).await))
    }

    /// The app's validator of it is not known, so the next fetch is
    /// unconditional.
    async fn take(&self, user: &User, snapshot: Arc<Snapshot>) -> Arrived {
        let turn = user.flights.claim().await;
        let counts = self.put(user, snapshot, None, Standing::App);
        self.keep(user);
        drop(turn);
        Arrived {
            counts,
            provenance: Provenance::HandedIn,
        }
    }

    /// The user; if there is none, the roster is left with the keeper. Under
    /// the lock that a user has to pass who comes meanwhile, so that what that
    /// one hears is kept after this.
    fn find_or_keep(&self, account: &BareJid, snapshot: &Arc<Snapshot>) -> Option<Arc<User>> {
        let users = self.users.lock();
        if let Some(user) = users.get(account.as_str()) {
            return Some(Arc::clone(user));
        }
        let policy = self.sources.get(account.domain()).map(|it| it.policy);
        if policy == Some(OnBackendFailure::Stale) {
            let roster = KeptRoster {
                snapshot: Arc::clone(snapshot),
                validator: None,
                seen: Seen::now(),
            };
            // What cannot be kept is kept after the next fetch.
            let _ = self.keeper.keep(account, roster);
        }
        None
    }
}
