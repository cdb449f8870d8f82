//! The order of one user's fetches: who waits for whom, and whose result
//! serves whom.
//!
//! A fetch takes a ticket when it starts and the user's fetches run one after
//! another, so a result never overwrites a newer one. A roster get joins the
//! fetch that is under way; a refresh wants one that started after it, and all
//! refreshes that wait for the same one share it.

use std::sync::atomic::{AtomicU64, Ordering};

use muster_xmpp::roster::ChangeCounts;
use tokio::sync::MutexGuard;

use super::source::SourceError;

/// How a fetch ended.
pub(super) type Landed = Result<Arrived, SourceError>;

/// What a new word of the app did to a user's roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) counts: ChangeCounts,
    pub(super) provenance: Provenance,
}

/// Where the roster that a user has now comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// The app answered with it.
    App,
    /// The app said that it is still the one that was held.
    Unchanged,
    /// The app handed it in by itself.
    HandedIn,
    /// The app did not tell; it is the last known one.
    Kept,
}

/// The fetches of one user.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Held while a fetch runs and until its result has been pushed. Holds how
    /// the last one ended, for those who waited for it.
    turn: tokio::sync::Mutex<Option<Landed>>,
    /// Tickets given out: one a fetch, when it starts.
    started: AtomicU64,
    /// The ticket of the last fetch that ended.
    ended: AtomicU64,
}

/// When somebody asked: decides which fetch may answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    started: u64,
    ended: u64,
}

/// What a caller's wait came to.
pub(super) enum Boarding<'a> {
    /// It is the caller's turn to fetch.
    Turn(Turn<'a>),
    /// Another's fetch serves.
    Served(Landed),
}

/// The turn to fetch; the user's other fetches wait until it is dropped.
pub(super) struct Turn<'a> {
    landed: MutexGuard<'a, Option<Landed>>,
    flights: &'a Flights,
    ticket: u64,
}

impl Flights {
    /// Marks the moment at which somebody asks.
    pub(super) fn arrive(&self) -> Arrival {
        // `ended` first: read the other way round, a fetch that starts and
        // ends in between would look as if it had been under way.
        let ended = self.ended.load(Ordering::Acquire);
        Arrival {
            started: self.started.load(Ordering::Acquire),
            ended,
        }
    }

    /// Waits for the turn, or for a fetch that was under way at `arrival` or
    /// started since (single flight).
    pub(super) async fn join(&self, arrival: Arrival) -> Boarding<'_> {
        self.board(arrival.ended).await
    }

    /// Waits for the turn, or for a fetch that **started** after `arrival`:
    /// one that was under way may carry what the app has changed since.
    pub(super) async fn follow(&self, arrival: Arrival) -> Boarding<'_> {
        self.board(arrival.started).await
    }

    /// Waits for the turn of somebody who brings the roster along. It serves
    /// nobody else: what it brings may be older than what a refresh asked for.
    pub(super) async fn claim(&self) -> Turn<'_> {
        let landed = self.turn.lock().await;
        self.take_off(landed)
    }

    /// The turn, if nobody fetches for the user and nobody waits to.
    pub(super) fn claim_idle(&self) -> Option<Turn<'_>> {
        let landed = self.turn.try_lock().ok()?;
        Some(self.take_off(landed))
    }

    async fn board(&self, seen: u64) -> Boarding<'_> {
        let landed = self.turn.lock().await;
        if self.ended.load(Ordering::Acquire) > seen
            && let Some(landed) = &*landed
        {
            return Boarding::Served(landed.clone());
        }
        Boarding::Turn(self.take_off(landed))
    }

    fn take_off<'a>(&'a self, landed: MutexGuard<'a, Option<Landed>>) -> Turn<'a> {
        let ticket = self.started.fetch_add(1, Ordering::AcqRel) + 1;
        Turn {
            landed,
            flights: self,
            ticket,
        }
    }
}

impl Turn<'_> {
    /// Ends the fetch; everybody who waited gets `landed`. A turn that is
    /// dropped instead (its caller went away) leaves no result, and the next
    /// in line fetches.
    pub(super) fn end(mut self, landed: Landed) {
        *self.landed = Some(landed);
        self.flights.ended.store(self.ticket, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn added(n: u32) -> Landed {
        Ok(Arrived {
            counts: ChangeCounts {
                added: n,
                ..ChangeCounts::default()
            },
            provenance: Provenance::App,
        })
    }

    fn turn(boarding: Boarding<'_>) -> Turn<'_> {
        match boarding {
            Boarding::Turn(turn) => turn,
            Boarding::Served(_) => panic!("another's fetch served"),
        }
    }

    fn served(boarding: Boarding<'_>) -> u32 {
        match boarding {
            Boarding::Turn(_) => panic!("had to fetch"),
            Boarding::Served(landed) => landed.unwrap().counts.added,
        }
    }

    #[tokio::test]
    async fn a_roster_get_joins_the_fetch_that_is_under_way() {
        let flights = Flights::default();
        let first = turn(flights.join(flights.arrive()).await);
        let mut second = Box::pin(flights.join(flights.arrive()));
        assert!(
            second.as_mut().now_or_never().is_none(),
            "waits for the first"
        );
        first.end(added(3));
        assert_eq!(served(second.await), 3);
    }

    #[tokio::test]
    async fn a_refresh_is_not_absorbed_by_a_fetch_that_started_before_it() {
        let flights = Flights::default();
        let first = turn(flights.join(flights.arrive()).await);
        let arrival = flights.arrive();
        let mut refresh = Box::pin(flights.follow(arrival));
        let mut another = Box::pin(flights.follow(arrival));
        assert!(refresh.as_mut().now_or_never().is_none());
        assert!(another.as_mut().now_or_never().is_none());
        first.end(added(1));
        turn(refresh.await).end(added(2));
        assert_eq!(
            served(another.await),
            2,
            "the other shares the second fetch"
        );
    }

    #[tokio::test]
    async fn what_is_handed_in_waits_for_the_fetch_before_it_and_serves_nobody() {
        let flights = Flights::default();
        let fetch = turn(flights.join(flights.arrive()).await);
        let mut handed_in = Box::pin(flights.claim());
        assert!(handed_in.as_mut().now_or_never().is_none());
        let mut refresh = Box::pin(flights.follow(flights.arrive()));
        assert!(refresh.as_mut().now_or_never().is_none());
        fetch.end(added(1));
        let handed_in = handed_in.await;
        assert!(refresh.as_mut().now_or_never().is_none());
        drop(handed_in);
        turn(refresh.await).end(added(2));
    }

    #[tokio::test]
    async fn an_idle_turn_is_had_at_once_or_not_at_all() {
        let flights = Flights::default();
        let first = flights.claim_idle().expect("nobody fetches");
        assert!(flights.claim_idle().is_none());
        let mut get = Box::pin(flights.join(flights.arrive()));
        assert!(get.as_mut().now_or_never().is_none());
        first.end(added(1));
        assert!(flights.claim_idle().is_none(), "somebody waits");
        assert_eq!(served(get.await), 1);
        assert!(flights.claim_idle().is_some());
    }

    #[tokio::test]
    async fn a_fetch_whose_caller_went_away_is_done_again() {
        let flights = Flights::default();
        let first = turn(flights.join(flights.arrive()).await);
        let second = flights.join(flights.arrive());
        drop(first);
        turn(second.await).end(added(1));
    }
}
