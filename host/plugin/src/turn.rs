//! How long a guest may compute without letting go.
//!
//! The epoch callback sees a computing guest once in a tick
//! ([`crate::engine::EPOCH_TICK`]). It lets the executor run something else
//! each time, and traps the guest when it has used up its turn. A turn is CPU
//! time of the threads that ran it, so that a busy machine does not shorten
//! it. It ends when the store waits by itself, not when it was made to yield:
//! [`metered`] tells the two apart. While no call is open a store has one turn
//! in all, however often it waits: there is nothing left to compute.
//!
//! A guest that was interrupted once goes on when it gets a [`Computing`] place,
//! of which a plugin has as many as workers: many spinning guests are then no
//! heavier on everybody else than few.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Store, UpdateDeadline};

use crate::load::InUse;

/// The turn of one store's guest. All times are nanoseconds of CPU time.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Spent in this turn before the current poll.
    spent: AtomicU64,
    /// The thread's clock when the current poll began; a poll stays on one
    /// thread.
    began: AtomicU64,
    /// The guest was made to yield: polls belong to the same turn until it goes
    /// on.
    yielded: AtomicBool,
    /// No call is open.
    idle: AtomicBool,
    limit: u64,
    /// Where all that is computed is added up, of whatever turn.
    in_use: Arc<InUse>,
    places: Arc<Semaphore>,
    /// Held from the first interruption until the guest waits by itself. The
    /// lock is taken for an exchange only, never across await.
    place: Mutex<Computing>,
}

/// A place among the guests that go on computing, if this one has it.
type Computing = Option<OwnedSemaphorePermit>;

/// The guest computed for longer than its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the turn of CPU time is used up")]
pub(crate) struct TurnExceeded;

impl Turn {
    pub(crate) fn new(limit: Duration, places: Arc<Semaphore>, in_use: Arc<InUse>) -> Arc<Self> {
        Arc::new(Self {
            spent: AtomicU64::new(0),
            began: AtomicU64::new(0),
            yielded: AtomicBool::new(false),
            idle: AtomicBool::new(false),
            limit: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            in_use,
            places,
            place: Mutex::new(None),
        })
    }

    /// A call begins.
    pub(crate) fn begin(&self) {
        if self.idle.swap(false, Ordering::Relaxed) {
            self.restart_now();
        }
    }

    /// A call came to its end, and so many are open: the next one has a turn of
    /// its own.
    pub(crate) fn restart(&self, open: usize) {
        self.idle.store(open == 0, Ordering::Relaxed);
        self.restart_now();
    }

    /// In the midst of a poll, of which the part before belongs to no turn.
    fn restart_now(&self) {
        let now = thread_time();
        let poll = now.saturating_sub(self.began.load(Ordering::Relaxed));
        self.in_use.computed(poll);
        self.restart_at(now);
    }

    fn restart_at(&self, now: u64) {
        self.spent.store(0, Ordering::Relaxed);
        self.began.store(now, Ordering::Relaxed);
        self.place().take();
    }

    /// A poll begins.
    fn resume(&self, now: u64) {
        if self.yielded.load(Ordering::Relaxed) {
            self.began.store(now, Ordering::Relaxed);
        } else if self.idle.load(Ordering::Relaxed) {
            self.began.store(now, Ordering::Relaxed);
            self.place().take();
        } else {
            self.restart_at(now);
        }
    }

    /// A poll ends, for whatever reason: what it took counts. A guest that waits
    /// by itself leaves its place at once: what it waits for, such as a refresh,
    /// may need the places of other guests.
    fn pause(&self, now: u64) {
        let poll = now.saturating_sub(self.began.swap(now, Ordering::Relaxed));
        self.spent.fetch_add(poll, Ordering::Relaxed);
        self.in_use.computed(poll);
        if !self.yielded.load(Ordering::Relaxed) {
            self.place().take();
        }
    }

    /// Resolves when the interrupted guest may go on.
    async fn go_on(&self) {
        let has_place = self.place().is_some();
        if !has_place && let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            *self.place() = Some(place);
        }
        tokio::task::yield_now().await;
        self.yielded.store(false, Ordering::Relaxed);
    }

    fn place(&self) -> MutexGuard<'_, Computing> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest is still computing.
    fn tick(&self, now: u64) -> Result<(), TurnExceeded> {
        let poll = now.saturating_sub(self.began.swap(now, Ordering::Relaxed));
        self.in_use.computed(poll);
        if self.spent.fetch_add(poll, Ordering::Relaxed) + poll >= self.limit {
            return Err(TurnExceeded);
        }
        self.yielded.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// CPU time of this thread so far.
fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// Puts a store's guest under a turn limit.
pub(crate) fn limit<T: 'static>(store: &mut Store<T>, turn: Arc<Turn>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        turn.tick(thread_time())?;
        let turn = Arc::clone(&turn);
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move { turn.go_on().await }),
        ))
    });
}

/// Drives a future that runs a guest, so that its turn is counted rightly.
pub(crate) async fn metered<F: Future>(turn: &Turn, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        turn.resume(thread_time());
        let polled = future.as_mut().poll(cx);
        turn.pause(thread_time());
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn turn(milliseconds: u64) -> Arc<Turn> {
        let places = Arc::new(Semaphore::new(1));
        Turn::new(Duration::from_millis(milliseconds), places, Arc::default())
    }

    /// The future of the epoch callback, where there is a place.
    fn go_on(turn: &Turn) {
        let mut going = pin!(turn.go_on());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        // `yield_now` wants two polls.
        let _ = going.as_mut().poll(&mut cx).is_ready() || going.as_mut().poll(&mut cx).is_ready();
    }

    #[test]
    fn a_turn_ends_with_the_limit() {
        let turn = turn(30);
        turn.resume(500 * MS);
        assert_eq!(turn.tick(510 * MS), Ok(()));
        assert_eq!(turn.tick(520 * MS), Ok(()));
        assert_eq!(turn.tick(530 * MS), Err(TurnExceeded));
        assert_eq!(turn.in_use.load().cpu, Duration::from_millis(30));
    }

    #[test]
    fn ticks_without_cpu_time_cost_nothing() {
        let turn = turn(30);
        turn.resume(500 * MS);
        for _ in 0..1000 {
            assert_eq!(turn.tick(510 * MS), Ok(()));
        }
    }

    #[test]
    fn only_a_voluntary_wait_starts_a_new_turn() {
        let turn = turn(30);
        // Made to yield twice, and polled by another thread each time: the
        // count goes on.
        for clock in [100, 700] {
            turn.resume(clock * MS);
            go_on(&turn);
            assert_eq!(turn.tick((clock + 10) * MS), Ok(()));
        }
        turn.resume(5 * MS);
        assert_eq!(turn.tick(15 * MS), Err(TurnExceeded));
        go_on(&turn);
        // Waited by itself: the count starts again.
        turn.resume(15 * MS);
        assert_eq!(turn.tick(25 * MS), Ok(()));
    }

    #[test]
    fn polls_while_a_guest_waits_for_its_place_change_nothing() {
        let turn = turn(30);
        turn.resume(0);
        assert_eq!(turn.tick(20 * MS), Ok(()));
        for clock in [20, 21, 22] {
            turn.resume(clock * MS);
        }
        go_on(&turn);
        assert_eq!(turn.tick(32 * MS), Err(TurnExceeded));
    }

    #[test]
    fn without_a_call_there_is_one_turn_in_all() {
        let turn = turn(30);
        turn.restart(0);
        let mut spent = 0;
        // 9 ms at a time, and a wait of its own each time: no tick sees it.
        for poll in 0..4 {
            let began = poll * 100 * MS;
            turn.resume(began);
            turn.pause(began + 9 * MS);
            spent += 9;
        }
        assert!(spent > 30);
        turn.resume(900 * MS);
        assert_eq!(turn.tick(901 * MS), Err(TurnExceeded));
        turn.begin();
        turn.resume(901 * MS);
        assert_eq!(turn.tick(910 * MS), Ok(()), "a call has its own");
    }

    #[test]
    fn who_waits_by_itself_leaves_its_place() {
        let turn = turn(30);
        turn.resume(0);
        turn.tick(10 * MS).unwrap();
        turn.pause(10 * MS);
        go_on(&turn);
        assert_eq!(turn.places.available_permits(), 0, "it computes on");
        turn.tick(20 * MS).unwrap();
        turn.pause(20 * MS);
        assert_eq!(turn.places.available_permits(), 0, "made to yield again");
        go_on(&turn);
        turn.pause(21 * MS);
        assert_eq!(turn.places.available_permits(), 1, "it waits");
    }

    #[test]
    fn one_guest_goes_on_for_each_place() {
        let places = Arc::new(Semaphore::new(1));
        let limit = Duration::from_millis(30);
        let new = || Turn::new(limit, Arc::clone(&places), Arc::default());
        let (first, second) = (new(), new());
        go_on(&first);
        assert_eq!(places.available_permits(), 0);
        first.tick(1).unwrap();
        second.tick(1).unwrap();
        go_on(&second);
        assert!(second.yielded.load(Ordering::Relaxed), "it waits");
        go_on(&first);
        assert!(!first.yielded.load(Ordering::Relaxed), "it goes on");
        first.resume(2);
        assert_eq!(places.available_permits(), 1, "it waited by itself");
        go_on(&second);
        assert!(!second.yielded.load(Ordering::Relaxed));
    }

    #[test]
    fn the_clock_is_the_threads() {
        let before = thread_time();
        std::thread::sleep(Duration::from_millis(30));
        assert!(
            thread_time() - before < 20 * MS,
            "sleeping takes no CPU time"
        );
    }
}
