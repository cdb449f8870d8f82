//! A roster that is older than the operator wants it: asked for anew before a
//! client gets it (`ttl`).
//!
//! Owns what a client gets meanwhile and when the app fails. Others of the
//! user's clients go on with what they have, and get the difference pushed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fallback::is_owed;
use super::flight::{Boarding, Landed};
use super::kept::Seen;
use super::user::{Standing, State};
use super::{Rosters, SourceError, User};
use crate::config::OnBackendFailure;

impl User {
    /// Whether the roster can be given to a client that asks for it.
    pub(crate) fn is_current(&self) -> bool {
        let state = self.state();
        state.snapshot.is_some() && !self.is_expired(&state)
    }

    /// Whether the app told it longer ago than the operator wants. What stands
    /// in for the app's word does not expire: the app is asked for it anyway.
    pub(super) fn is_expired(&self, state: &State) -> bool {
        let expired = |ttl| state.age().is_some_and(|age| age >= ttl);
        state.is_confirmed() && self.source.ttl.is_some_and(expired)
    }
}

impl Rosters {
    /// Has an expired roster replaced by what the app says now.
    ///
    /// With `stale` a client waits no longer than `stale_after` for it, and not
    /// at all while the app is known to fail; then it gets the roster that is
    /// there. So it does with `empty`: contacts are never taken from the user's
    /// other clients because the app fails.
    ///
    /// # Errors
    /// Why there is no newer one, with `reject`.
    pub(super) async fn renew(self: &Arc<Self>, user: &Arc<User>) -> Result<(), SourceError> {
        let source = &user.source;
        if source.policy != OnBackendFailure::Stale {
            let landed = Arc::clone(self).fetch_anew(Arc::clone(user)).await;
            return self.renewed(user, landed);
        }
        if source.outage.is_known(Instant::now()) {
            return self.renewed_not(user);
        }
        let (rosters, other) = (Arc::clone(self), Arc::clone(user));
        let mut flight = Box::pin(async move {
            let landed = Arc::clone(&rosters).fetch_anew(Arc::clone(&other)).await;
            rosters.renewed(&other, landed)
        });
        match tokio::time::timeout(source.stale_after, &mut flight).await {
            Ok(renewed) => renewed,
            Err(_) => {
                source.outage.failed(Instant::now());
                let stop = self.stop.clone();
                self.tasks.spawn(async move {
                    // What is late is pushed.
                    let _ = stop.run_until_cancelled(flight).await;
                });
                count("late");
                Ok(())
            }
        }
    }

    async fn fetch_anew(self: Arc<Self>, user: Arc<User>) -> Landed {
        let arrival = user.flights.arrive();
        match user.flights.join(arrival).await {
            Boarding::Served(landed) => landed,
            Boarding::Turn(turn) => self.fetch(&user, turn).await,
        }
    }

    fn renewed(&self, user: &User, landed: Landed) -> Result<(), SourceError> {
        match landed {
            Ok(_) => {
                count("ok");
                Ok(())
            }
            Err(error) if user.source.policy == OnBackendFailure::Reject => {
                count("failed");
                Err(error)
            }
            Err(error) if is_owed(user.source.policy, error.reach()) => self.renewed_not(user),
            // The app's word is held, or there is no such user: nothing better
            // is to be had than what is there.
            Err(_) => {
                count("failed");
                Ok(())
            }
        }
    }

    /// The roster stands in for a newer one, which the app owes.
    fn renewed_not(&self, user: &User) -> Result<(), SourceError> {
        count("failed");
        let mut state = user.state();
        if state.is_confirmed() {
            let age = state.age().unwrap_or_default();
            state.standing = Standing::Kept(Seen::ago(age));
        }
        drop(state);
        self.owe(user);
        Ok(())
    }
}

impl Seen {
    fn ago(age: Duration) -> Seen {
        Seen(Seen::now().0.saturating_sub(age.as_secs()))
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("muster_roster_renewals_total", "outcome" => outcome).increment(1);
}
