//! Who listens to what passes between a plugin, its app and the host.
//!
//! Owns who listens, and that nothing waits for them. What a
//! listener keeps, and for how long, is its own affair; so is whose eyes it is
//! for, because it hears names and bodies. It never hears a credential: what
//! the host puts into a request (`Authorization`, certificates) is put in after
//! it has listened.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};

use crate::many::{Many, ManyError};
use crate::refresh::{Outcome, Refresher};
use crate::roster::{FetchError, Fetched};

/// Listens to one plugin. Called on the way of a call, so it must be quick: a
/// lock for a moment, no I/O.
pub trait Tap: Send + Sync + 'static {
    /// A fetch of these users begins. What is returned comes back with its end.
    fn begins(&self, usernames: &[&str]) -> u64;

    /// It has ended.
    fn fetched(
        &self,
        begun: u64,
        username: &str,
        known: Option<&str>,
        result: &Result<Fetched, FetchError>,
    );

    /// A fetch of many users in one call has ended; what it came to is in their
    /// order. It has begun as one of a single user does.
    fn fetched_many(&self, begun: u64, usernames: &[String], result: &Result<Many, ManyError>);

    /// The app has answered a request of the plugin, whole: the request as the
    /// plugin made it, the answer as the plugin gets it.
    fn answered(&self, request: Request<Bytes>, response: Response<Bytes>);

    /// A request under `/roster_admin/` was handled by the plugin, which has had
    /// these users refreshed for it: the first ones, if it asked for more in all
    /// than one call of `rosters.refresh` may have.
    fn handled(
        &self,
        request: &Request<Bytes>,
        usernames: Vec<String>,
        response: Option<&Response<Bytes>>,
    );
}

/// Passes refreshes on, and keeps whom they were about.
pub(crate) struct Overheard {
    refresher: Arc<dyn Refresher>,
    usernames: Mutex<Vec<String>>,
    most: usize,
}

impl Overheard {
    /// Keeps `most` names: a guest may ask as often as it likes.
    pub(crate) fn new(refresher: Arc<dyn Refresher>, most: usize) -> Arc<Self> {
        Arc::new(Self {
            refresher,
            usernames: Mutex::default(),
            most,
        })
    }

    /// Whom the plugin has had refreshed so far, in order.
    pub(crate) fn usernames(&self) -> Vec<String> {
        self.held().clone()
    }

    fn held(&self) -> MutexGuard<'_, Vec<String>> {
        self.usernames
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refresher for Overheard {
    fn refresh(
        &self,
        usernames: Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
        let mut held = self.held();
        let room = self.most.saturating_sub(held.len());
        held.extend(usernames.iter().take(room).cloned());
        drop(held);
        self.refresher.refresh(usernames)
    }
}

/// Who listens; mostly nobody.
#[derive(Default)]
pub(crate) struct Taps(ArcSwap<Vec<Arc<dyn Tap>>>);

impl Taps {
    /// One more.
    pub(crate) fn add(&self, tap: &Arc<dyn Tap>) {
        self.0.rcu(|taps| {
            let mut taps = Vec::clone(taps);
            taps.push(Arc::clone(tap));
            taps
        });
    }

    /// One less.
    pub(crate) fn remove(&self, tap: &Arc<dyn Tap>) {
        self.0.rcu(|taps| {
            let mut taps = Vec::clone(taps);
            taps.retain(|other| !Arc::ptr_eq(other, tap));
            taps
        });
    }

    /// Those who listen now; `None` if nobody does.
    pub(crate) fn get(&self) -> Option<Arc<Vec<Arc<dyn Tap>>>> {
        let taps = self.0.load();
        (!taps.is_empty()).then(|| Arc::clone(&taps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Refresher for Nobody {
        fn refresh(
            &self,
            _: Vec<String>,
        ) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
            Box::pin(std::future::ready(Vec::new()))
        }
    }

    #[tokio::test]
    async fn a_guest_that_asks_over_and_over_costs_no_more_names() {
        let overheard = Overheard::new(Arc::new(Nobody), 3);
        for _ in 0..1_000 {
            let names = ["john", "marie"].map(str::to_owned);
            overheard.refresh(names.to_vec()).await;
        }
        assert_eq!(overheard.usernames(), ["john", "marie", "john"]);
    }
}
