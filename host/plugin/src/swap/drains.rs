//! How a replaced generation ends: its calls finish, for a while.
//!
//! Owns the tasks of a plugin that nobody waits for, and their end with the
//! plugin; how many replaced generations there may be at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::generation::Generation;
use crate::telemetry::Meter;

/// Replaced generations that may still be finishing their calls when the next
/// swap is made. It waits for one of them otherwise.
const PLACES: usize = 2;

/// The tasks beside the calls.
pub(super) struct Drains {
    drain: Duration,
    meter: Meter,
    tasks: TaskTracker,
    stop: CancellationToken,
    places: Arc<Semaphore>,
    under_way: Arc<AtomicUsize>,
}

/// The right to retire one more generation.
pub(crate) struct Place(#[expect(dead_code, reason = "its drop is its use")] OwnedSemaphorePermit);

impl Drains {
    pub(super) fn new(drain: Duration, meter: Meter) -> Self {
        Self {
            drain,
            meter,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            places: Arc::new(Semaphore::new(PLACES)),
            under_way: Arc::default(),
        }
    }

    /// Waits until there is one; `None` when the plugin ends.
    pub(super) async fn place(&self) -> Option<Place> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        place.ok().map(Place)
    }

    /// Lets the fetches of a replaced generation finish, for at most
    /// `limits.drain`, and cuts off the rest. A request under `/roster_admin/`
    /// that it has begun goes on within its own deadline: what the app has
    /// asked for is not left half done.
    pub(super) fn retire(&self, generation: Arc<Generation>, place: Option<Place>) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = Arc::clone(&self.under_way);
        let (drain, stop, meter) = (self.drain, self.stop.clone(), self.meter.clone());
        self.tasks.spawn(async move {
            let end = tokio::select! {
                end = generation.workers.stop(drain) => end,
                () = stop.cancelled() => generation.workers.stop(Duration::ZERO).await,
            };
            meter.drained(end);
            drop((generation, place));
            under_way.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Runs something beside the calls, until it or the plugin ends.
    pub(super) fn aside(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        })
    }

    /// Replaced generations whose calls have not all finished.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Ends all of it.
    pub(super) async fn end(&self) {
        self.places.close();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
