//! How long a guest may compute without letting go.
//!
//! The epoch callback sees a computing guest once in a tick
//! ([`crate::engine::EPOCH_TICK`]). It lets the executor run something else
//! each time, and traps the guest when it has used up its turn. A turn is CPU
//! time of the threads that ran it, so that a busy machine does not shorten
//! it. It ends when the store waits by itself, not when it was made to yield:
//! [`metered`] tells the two apart.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Store, UpdateDeadline};

/// The turn of one store's guest. All times are nanoseconds of CPU time.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Spent in this turn before the current poll.
    spent: AtomicU64,
    /// The thread's clock when the current poll began; a poll stays on one
    /// thread.
    began: AtomicU64,
    /// The guest was made to yield: the next poll belongs to the same turn.
    yielded: AtomicBool,
    limit: u64,
}

/// The guest computed for longer than its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the turn of CPU time is used up")]
pub(crate) struct TurnExceeded;

impl Turn {
    pub(crate) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            spent: AtomicU64::new(0),
            began: AtomicU64::new(0),
            yielded: AtomicBool::new(false),
            limit: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    /// A call came to its end: the next one has a turn of its own.
    pub(crate) fn restart(&self) {
        self.restart_at(thread_time());
    }

    fn restart_at(&self, now: u64) {
        self.spent.store(0, Ordering::Relaxed);
        self.began.store(now, Ordering::Relaxed);
    }

    /// A poll begins.
    fn resume(&self, now: u64) {
        if self.yielded.swap(false, Ordering::Relaxed) {
            self.began.store(now, Ordering::Relaxed);
        } else {
            self.restart_at(now);
        }
    }

    /// The guest is still computing.
    fn tick(&self, now: u64) -> Result<(), TurnExceeded> {
        let poll = now.saturating_sub(self.began.swap(now, Ordering::Relaxed));
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
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
}

/// Drives a future that runs a guest, so that its turn is counted rightly.
pub(crate) async fn metered<F: Future>(turn: &Turn, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        turn.resume(thread_time());
        future.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_turn_ends_with_the_limit() {
        let turn = Turn::new(Duration::from_millis(30));
        turn.resume(500 * MS);
        assert_eq!(turn.tick(510 * MS), Ok(()));
        assert_eq!(turn.tick(520 * MS), Ok(()));
        assert_eq!(turn.tick(530 * MS), Err(TurnExceeded));
    }

    #[test]
    fn ticks_without_cpu_time_cost_nothing() {
        let turn = Turn::new(Duration::from_millis(30));
        turn.resume(500 * MS);
        for _ in 0..1000 {
            assert_eq!(turn.tick(510 * MS), Ok(()));
        }
    }

    #[test]
    fn only_a_voluntary_wait_starts_a_new_turn() {
        let turn = Turn::new(Duration::from_millis(30));
        // Made to yield twice, and polled by another thread each time: the
        // count goes on.
        for clock in [100, 700] {
            turn.resume(clock * MS);
            assert_eq!(turn.tick((clock + 10) * MS), Ok(()));
        }
        turn.resume(5 * MS);
        assert_eq!(turn.tick(15 * MS), Err(TurnExceeded));
        // Waited by itself: the count starts again.
        turn.resume(15 * MS);
        turn.resume(15 * MS);
        assert_eq!(turn.tick(25 * MS), Ok(()));
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
