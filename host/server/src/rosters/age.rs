//! A roster that is older than the operator wants it: asked for anew before a
//! client gets it (`ttl`).
//!
//! Owns what a client gets meanwhile and when the app fails. Others of the
//! user's clients go on with what they have, and get the difference pushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::Instrument as _;

use super::fallback::is_owed;
use super::flight::{Boarding, Landed};
use super::kept::Seen;
use super::source::Seat;
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
            let landed = self.fetch_anew(user, &AtomicBool::new(false)).await;
            return self.renewed(user, landed).counted();
        }
        if source.outage.is_known(Instant::now()) {
            self.renewed_not(user);
            return Renewed::No(None).counted();
        }
        let begun = Arc::new(AtomicBool::new(false));
        let (rosters, other, watched) = (Arc::clone(self), Arc::clone(user), Arc::clone(&begun));
        let mut flight = Box::pin(async move {
            let landed = rosters.fetch_anew(&other, &watched).await;
            rosters.renewed(&other, landed)
        });
        match tokio::time::timeout(source.stale_after, &mut flight).await {
            Ok(renewed) => renewed.counted(),
            Err(_) => {
                if begun.load(Ordering::Relaxed) {
                    // Else it is our own line that takes long.
                    source.outage.failed(Instant::now());
                }
                let stop = self.stop.clone();
                // What is late is pushed.
                let late = async move { stop.run_until_cancelled(flight).await };
                self.tasks.spawn(late.in_current_span());
                count("late");
                Ok(())
            }
        }
    }

    async fn fetch_anew(&self, user: &User, begun: &AtomicBool) -> Landed {
        let arrival = user.flights.arrive();
        match user.flights.join(arrival).await {
            Boarding::Served(landed) => landed,
            Boarding::Turn(turn) => self.fetch(user, turn, Seat::InLine(begun)).await,
        }
    }

    fn renewed(&self, user: &User, landed: Landed) -> Renewed {
        match landed {
            Ok(_) => Renewed::Yes,
            Err(error) if user.source.policy == OnBackendFailure::Reject => {
                Renewed::No(Some(error))
            }
            Err(error) => {
                if is_owed(user.source.policy, error.reach()) {
                    self.renewed_not(user);
                }
                // Else the app's word is held, or there is no such user:
                // nothing better is to be had than what is there.
                Renewed::No(None)
            }
        }
    }

    /// The roster stands in for a newer one, which the app owes.
    fn renewed_not(&self, user: &User) {
        let mut state = user.state();
        if state.is_confirmed() {
            let age = state.age().unwrap_or_default();
            state.standing = Standing::Kept(Seen::ago(age));
        }
        drop(state);
        self.owe(user);
    }
}

/// What came of it in time.
enum Renewed {
    Yes,
    /// With the error that the client is to hear of.
    No(Option<SourceError>),
}

impl Renewed {
    /// Counts it, once for a client that asked.
    fn counted(self) -> Result<(), SourceError> {
        match self {
            Renewed::Yes => {
                count("ok");
                Ok(())
            }
            Renewed::No(error) => {
                count("failed");
                error.map_or(Ok(()), Err)
            }
        }
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
