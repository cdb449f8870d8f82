//! How long a guest may compute without letting go.
//!
//! The epoch callback sees a computing guest once in a tick
//! ([`crate::engine::EPOCH_TICK`]). It lets the executor run something else
//! each time, and traps the guest when it has seen it too often in a row. A
//! turn ends when the store waits by itself, not when it was made to yield:
//! [`metered`] tells the two apart. A thread that the system has put aside
//! does not tick, so a busy machine does not shorten a guest's turn much.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use wasmtime::{Store, UpdateDeadline};

use crate::engine::EPOCH_TICK;

/// The turn of one store's guest.
#[derive(Debug)]
pub(crate) struct Turn {
    ticks: AtomicU32,
    yielded: AtomicBool,
    limit: u32,
}

/// The guest computed for longer than its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the turn of CPU time is used up")]
pub(crate) struct TurnExceeded;

impl Turn {
    pub(crate) fn new(limit: Duration) -> Arc<Self> {
        let ticks = limit.as_millis() / EPOCH_TICK.as_millis();
        Arc::new(Self {
            ticks: AtomicU32::new(0),
            yielded: AtomicBool::new(false),
            limit: u32::try_from(ticks).unwrap_or(u32::MAX).max(1),
        })
    }

    /// A call came to its end: the next one has a turn of its own.
    pub(crate) fn restart(&self) {
        self.ticks.store(0, Ordering::Relaxed);
    }

    fn resume(&self) {
        if !self.yielded.swap(false, Ordering::Relaxed) {
            self.restart();
        }
    }

    fn tick(&self) -> Result<(), TurnExceeded> {
        if self.ticks.fetch_add(1, Ordering::Relaxed) + 1 >= self.limit {
            return Err(TurnExceeded);
        }
        self.yielded.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Puts a store's guest under a turn limit.
pub(crate) fn limit<T: 'static>(store: &mut Store<T>, turn: Arc<Turn>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        turn.tick()?;
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
        turn.resume();
        future.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_with_the_limit() {
        let turn = Turn::new(Duration::from_millis(30));
        assert_eq!(turn.tick(), Ok(()));
        assert_eq!(turn.tick(), Ok(()));
        assert_eq!(turn.tick(), Err(TurnExceeded));
    }

    #[test]
    fn only_a_voluntary_wait_starts_a_new_turn() {
        let turn = Turn::new(Duration::from_millis(30));
        for _ in 0..2 {
            turn.resume();
            assert_eq!(turn.tick(), Ok(()));
        }
        // Made to yield twice: the count goes on.
        turn.resume();
        assert_eq!(turn.tick(), Err(TurnExceeded));
        // Waited by itself: the count starts again.
        turn.resume();
        turn.resume();
        assert_eq!(turn.tick(), Ok(()));
    }
}
