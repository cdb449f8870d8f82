//! The first roster of a user who came: what the app says, or what takes its
//! place.
//!
//! Owns the waiting for it: with the last known roster at hand, nobody waits
//! for the app for longer than `stale_after`, or at all once it is known to
//! fail, or when so many wait for their turn that it would take longer. A fetch
//! that has begun goes on, and pushes the difference. Without one, a login
//! waits for its turn however long that takes: it is refused only if more wait
//! than may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::time::timeout;
use tracing::Instrument as _;

use super::fallback::{Reach, Verdict, is_owed, verdict};
use super::flight::{Arrival, Boarding, Turn};
use super::kept::KeptRoster;
use super::limiter::Class;
use super::source::{Answer, Want};
use super::user::Standing;
use super::{Rosters, SourceError, User};
use crate::config::OnBackendFailure;

impl Rosters {
    /// Sees to it that the user has a roster to be shown; concurrent callers
    /// share one fetch.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn load(self: &Arc<Self>, user: &Arc<User>) -> Result<(), SourceError> {
        let arrival = user.flights.arrive();
        if user.snapshot().is_some() {
            return match user.is_current() {
                true => Ok(()),
                false => self.renew(user).await,
            };
        }
        let mut flight = Box::pin(Arc::clone(self).first(Arc::clone(user), arrival));
        tokio::select! {
            biased;
            landed = &mut flight => return landed,
            () = user.shown() => {}
        }
        if !user.state().is_confirmed() {
            // The app may still answer the request that it has.
            let stop = self.stop.clone();
            self.tasks
                .spawn(async move { stop.run_until_cancelled(flight).await }.in_current_span());
        }
        Ok(())
    }

    async fn first(self: Arc<Self>, user: Arc<User>, arrival: Arrival) -> Result<(), SourceError> {
        let landed = match user.flights.join(arrival).await {
            Boarding::Served(Ok(_)) => Ok(()),
            Boarding::Served(Err(error)) => self.make_up(&user, error).await,
            Boarding::Turn(_) if user.state().snapshot.is_some() => Ok(()),
            Boarding::Turn(turn) => self.fetch_first(&user, turn).await,
        };
        match user.state().snapshot {
            Some(_) => Ok(()),
            None => landed,
        }
    }

    /// The fetch that was waited for failed, and perhaps it was that of a
    /// refresh, in which nothing takes the place of the answer.
    async fn make_up(&self, user: &Arc<User>, error: SourceError) -> Result<(), SourceError> {
        let _turn = user.flights.claim().await;
        if user.state().snapshot.is_none() {
            let kept = self.last_known(user).await;
            self.stand_in(user, error.reach(), kept.as_deref());
        }
        Err(error)
    }

    async fn fetch_first(&self, user: &Arc<User>, turn: Turn<'_>) -> Result<(), SourceError> {
        let source = &user.source;
        let kept = self.last_known(user).await;
        let stand_in = verdict(source.policy, Reach::App, kept.is_some());
        if stand_in != Verdict::Refuse && source.outage.is_known(Instant::now()) {
            // Whoever is owed is asked for before long, this user too. The
            // turn leaves no result: nothing was fetched.
            self.stand_in(user, Reach::App, kept.as_deref());
            return Ok(());
        }
        let fetched = self.fetch_while_waiting(user, kept.as_deref()).await;
        let landed = self.land(user, fetched, kept.as_deref());
        if let Err(error) = &landed {
            self.stand_in(user, error.reach(), kept.as_deref());
        }
        turn.end(landed.clone());
        landed.map(drop)
    }

    /// A fetch; shows the last known roster if it takes long.
    async fn fetch_while_waiting(
        &self,
        user: &User,
        kept: Option<&KeptRoster>,
    ) -> Result<Answer, SourceError> {
        let source = &user.source;
        let mut want = Want {
            account: &user.account,
            known: None,
            class: Class::Login,
        };
        let Some(kept) = kept else {
            return source.fetch(want).await;
        };
        let known = source.known(&kept.validator);
        want.known = known.as_deref();
        if source.expected_wait() > source.stale_after {
            // There is a roster to be shown: those who have none go first.
            metrics::counter!("muster_logins_not_kept_waiting_total").increment(1);
            self.show_kept(user, kept);
            want.class = Class::Refresh;
        }
        let begun = AtomicBool::new(false);
        let mut fetch = std::pin::pin!(source.fetch_watched(want, &begun));
        let fetched = match timeout(source.stale_after, &mut fetch).await {
            Ok(fetched) => fetched,
            Err(_) => {
                if begun.load(Ordering::Relaxed) {
                    tracing::debug!(user = %user.account, "the app takes long");
                    source.outage.failed(Instant::now());
                }
                if want.class == Class::Login {
                    self.show_kept(user, kept);
                }
                fetch.await
            }
        };
        match fetched {
            // Confirmed, and perhaps shown to nobody yet.
            Ok(Answer::Unchanged) => Ok(Answer::Roster {
                snapshot: Arc::clone(&kept.snapshot),
                validator: kept.validator.clone(),
            }),
            fetched => fetched,
        }
    }

    /// What is kept for the user, if the operator wants it.
    pub(super) async fn last_known(&self, user: &User) -> Option<Arc<KeptRoster>> {
        let source = &user.source;
        if source.policy != OnBackendFailure::Stale {
            return None;
        }
        let kept = self.keeper.last_known(&user.account, source.max_contacts);
        let kept = kept.await?;
        user.state().kept = Some(kept.mark());
        Some(kept)
    }

    /// The first fetch failed: does what the operator wants then.
    fn stand_in(&self, user: &User, reach: Reach, kept: Option<&KeptRoster>) {
        let policy = user.source.policy;
        if user.state().snapshot.is_none() {
            match (verdict(policy, reach, kept.is_some()), kept) {
                (Verdict::Kept, Some(kept)) => self.show_kept(user, kept),
                (Verdict::Empty, _) => {
                    tracing::debug!(user = %user.account, "shows no contacts in the app's place");
                    self.put(user, Arc::default(), None, Standing::Empty);
                }
                _ => {}
            }
        }
        if is_owed(policy, reach) {
            self.owe(user);
        }
    }

    /// Shows the last known roster until the app tells another.
    fn show_kept(&self, user: &User, kept: &KeptRoster) {
        tracing::debug!(
            user = %user.account,
            contacts = kept.snapshot.len(),
            seen = kept.seen.0,
            "shows the last known roster in the app's place"
        );
        let (snapshot, validator) = (Arc::clone(&kept.snapshot), kept.validator.clone());
        self.put(user, snapshot, validator, Standing::Kept(kept.seen));
    }

    /// Goes on asking for the user's roster.
    pub(super) fn owe(&self, user: &User) {
        user.source.outage.owe(user.account.as_str());
        user.source.tell_owed();
    }
}
