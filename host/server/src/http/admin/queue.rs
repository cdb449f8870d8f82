//! Who may be worked on now, who waits, and who is told to come back later.
//!
//! Owns the number of requests under way to one virtual host, and of those
//! that wait for them in order of arrival. A request holds its [`Place`] until
//! it is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limit::Limit;

/// The requests to one virtual host.
pub(super) struct Queue {
    places: Arc<Semaphore>,
    /// One for each request that may wait.
    benches: Semaphore,
    patience: Duration,
}

/// The right to be worked on.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _running: Counted,
}

/// There is no room. Reach: the request, which nothing was done for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are being worked on; try again later")]
pub(super) struct Full;

impl Queue {
    /// `places` at once, and `waiting` that wait for at most `patience`.
    pub(super) fn new(places: usize, waiting: usize, patience: Duration) -> Queue {
        Queue {
            places: Arc::new(Semaphore::new(places)),
            benches: Semaphore::new(waiting),
            patience,
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// As many wait as may, or it took too long.
    pub(super) async fn enter(&self) -> Result<Place, Full> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place::new(permit));
        }
        Limit::RefreshRequests.reached();
        let Ok(_bench) = self.benches.try_acquire() else {
            Limit::RefreshWaiting.reached();
            return Err(Full);
        };
        let _waiting = Counted::new("waiting");
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.patience, place).await {
            Ok(Ok(permit)) => Ok(Place::new(permit)),
            // Nobody closes it.
            Ok(Err(_)) => Err(Full),
            Err(_) => {
                Limit::RefreshWaitTimeout.reached();
                Err(Full)
            }
        }
    }
}

impl Place {
    fn new(permit: OwnedSemaphorePermit) -> Place {
        Place {
            _permit: permit,
            _running: Counted::new("running"),
        }
    }
}

/// One that is counted as long as it lives.
struct Counted(&'static str);

impl Counted {
    fn new(state: &'static str) -> Counted {
        metrics::gauge!("muster_refresh_requests", "state" => state).increment(1);
        Counted(state)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("muster_refresh_requests", "state" => self.0).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_waits_in_order_and_not_for_ever() {
        let queue = Queue::new(1, 2, Duration::from_secs(3_600));
        let first = queue.enter().await.ok();
        let mut second = Box::pin(queue.enter());
        let mut third = Box::pin(queue.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(queue.enter().await.is_err(), "no room to wait");
        drop(first);
        assert!(third.as_mut().now_or_never().is_none(), "not its turn");
        let second = second.await;
        assert!(second.is_ok());
        drop(second);
        assert!(third.await.is_ok());
        // All that was taken is free again.
        let impatient = Queue::new(1, 1, Duration::from_millis(1));
        let place = impatient.enter().await;
        assert!(impatient.enter().await.is_err(), "it took too long");
        drop(place);
        assert!(impatient.enter().await.is_ok());
    }
}
