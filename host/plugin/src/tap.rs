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

use crate::refresh::{Outcome, Refresher};
use crate::roster::{FetchError, Fetched};

/// Listens to one plugin. Called on the way of a call, so it must be quick: a
/// lock for a moment, no I/O.
pub trait Tap: Send + Sync + 'static {
    /// A fetch begins. What is returned comes back with its end.
    fn begins(&self) -> u64;

    /// It has ended.
    fn fetched(
        &self,
        begun: u64,
        username: &str,
        known: Option<&str>,
        result: &Result<Fetched, FetchError>,
    );

    /// The app has answered a request of the plugin, whole: the request as the
    /// plugin made it, the answer as the plugin gets it.
    fn answered(&self, request: Request<Bytes>, response: Response<Bytes>);

    /// A request under `/roster_admin/` was handled by the plugin, which has had
    /// these users refreshed for it.
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
}

impl Overheard {
    pub(crate) fn new(refresher: Arc<dyn Refresher>) -> Arc<Self> {
        Arc::new(Self {
            refresher,
            usernames: Mutex::default(),
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
        self.held().extend(usernames.iter().cloned());
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
