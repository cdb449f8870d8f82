//! A roster that the app has handed in by itself.
//!
//! It passes the guard against mass removal as a fetched one does; what is
//! held is not put in, and the app is asked for it when the guard lets go.

use std::sync::Arc;

use muster_xmpp::BareJid;
use muster_xmpp::roster::Snapshot;

use super::{Done, count, failure};
use crate::config::OnBackendFailure;
use crate::rosters::flight::{Arrived, Landed};
use crate::rosters::kept::{KeptRoster, Seen};
use crate::rosters::user::Standing;
use crate::rosters::{Provenance, Rosters, SourceError, User};

impl Rosters {
    /// Puts in what the app has handed in for one account, in that user's turn
    /// and as the newest word: a fetch that has begun before ends first, and
    /// is overwritten. For a user who is offline it becomes the last known
    /// roster, for the day on which the app does not answer; the next session
    /// asks the app all the same.
    pub(super) async fn hand_in(&self, account: &BareJid, snapshot: Snapshot) -> Done {
        let snapshot = Arc::new(snapshot);
        let kept = self.kept_of_absent(account).await;
        let user = match self.find_or_keep(account, &snapshot, kept.as_deref()) {
            Ok(Some(user)) => user,
            Ok(None) => {
                count("offline");
                return Done::offline();
            }
            Err(held) => {
                count("held");
                return Done::failed(false, failure(held));
            }
        };
        let landed = self.take(&user, snapshot).await;
        count(match landed {
            Ok(_) => "handed_in",
            Err(_) => "held",
        });
        Done::landed(landed)
    }

    /// The app's validator of it is not known, so the next fetch is
    /// unconditional.
    async fn take(&self, user: &User, snapshot: Arc<Snapshot>) -> Landed {
        let turn = user.flights.claim().await;
        let kept = match user.snapshot() {
            Some(_) => None,
            None => self.last_known(user).await,
        };
        self.weigh_handed_in(user, &snapshot, kept.as_deref())?;
        let counts = self.put(user, snapshot, None, Standing::App);
        self.keep(user);
        drop(turn);
        Ok(Arrived {
            counts,
            provenance: Provenance::HandedIn,
        })
    }

    /// The last known roster of a user who is offline, if there is one.
    async fn kept_of_absent(&self, account: &BareJid) -> Option<Arc<KeptRoster>> {
        let source = self.sources.get(account.domain())?;
        if source.policy != OnBackendFailure::Stale || self.find(account.as_str()).is_some() {
            return None;
        }
        self.keeper.last_known(account, source.max_contacts).await
    }

    /// The user; if there is none, the roster is left with the keeper, unless
    /// the guard holds it. Under the lock that a user has to pass who comes
    /// meanwhile, so that what that one hears is kept after this.
    fn find_or_keep(
        &self,
        account: &BareJid,
        snapshot: &Arc<Snapshot>,
        kept: Option<&KeptRoster>,
    ) -> Result<Option<Arc<User>>, SourceError> {
        let users = self.users.lock();
        if let Some(user) = users.get(account.as_str()) {
            return Ok(Some(Arc::clone(user)));
        }
        let source = self.sources.get(account.domain());
        let Some(source) = source.filter(|it| it.policy == OnBackendFailure::Stale) else {
            return Ok(None);
        };
        if let Some(kept) = kept {
            self.weigh_offline(source, account.as_str(), &kept.snapshot, snapshot)?;
        }
        let roster = KeptRoster {
            snapshot: Arc::clone(snapshot),
            validator: None,
            seen: Seen::now(),
        };
        // What cannot be kept is kept after the next fetch.
        let _ = self.keeper.keep(account, roster);
        Ok(None)
    }
}
