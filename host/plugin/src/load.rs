//! What a plugin uses at the moment, in numbers that are read when somebody
//! asks: nothing is looked up while it works.
//!
//! Owns the counters that stores keep; which store, generation or virtual host
//! is for whoever adds them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What a plugin uses at the moment, all of its generations together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Fetches that wait for a store of the generation that serves.
    pub waiting_calls: usize,
    /// Requests to apps that are under way, their bodies included.
    pub requests: usize,
    /// Stores that there are.
    pub stores: usize,
    /// Memory of those stores, as WebAssembly sees it.
    pub memory_bytes: usize,
    /// CPU time that guests have used since the process started.
    pub cpu: Duration,
}

/// What stores have in use.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    stores: AtomicUsize,
    memory_bytes: AtomicUsize,
    cpu_nanoseconds: AtomicU64,
}

/// One store's part of it; given back with the store.
#[derive(Debug)]
pub(crate) struct Used {
    all: Arc<InUse>,
    memory_bytes: usize,
}

impl InUse {
    /// A store begins.
    pub(crate) fn store(self: &Arc<Self>) -> Used {
        self.stores.fetch_add(1, Ordering::Relaxed);
        Used {
            all: Arc::clone(self),
            memory_bytes: 0,
        }
    }

    /// A guest has computed for so long.
    pub(crate) fn computed(&self, nanoseconds: u64) {
        self.cpu_nanoseconds
            .fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Without what only the plugin as a whole knows.
    pub(crate) fn load(&self) -> Load {
        Load {
            stores: self.stores.load(Ordering::Relaxed),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            cpu: Duration::from_nanos(self.cpu_nanoseconds.load(Ordering::Relaxed)),
            ..Load::default()
        }
    }
}

impl Used {
    /// The store's memory has grown by so much.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.memory_bytes += bytes;
        self.all.memory_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        self.all.stores.fetch_sub(1, Ordering::Relaxed);
        self.all
            .memory_bytes
            .fetch_sub(self.memory_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_used_goes_with_it() {
        let all = Arc::new(InUse::default());
        let (mut first, mut second) = (all.store(), all.store());
        first.grow(10);
        second.grow(7);
        second.grow(1);
        all.computed(1_500);
        let load = all.load();
        assert_eq!((load.stores, load.memory_bytes), (2, 18));
        drop(second);
        let load = all.load();
        assert_eq!((load.stores, load.memory_bytes), (1, 10));
        assert_eq!(load.cpu, Duration::from_nanos(1_500));
    }
}
