//! What readers and the writer share: the open file, and what is said when
//! there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redb::Database;
use tokio::sync::Semaphore;

use super::error::OpenError;
use crate::config::StorageLimits;

/// How often a fault that lasts is logged.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Reads at the same time; each has a thread of the runtime's for blocking work
/// for as long as it takes.
const READERS: usize = 8;

/// See the module.
pub(super) struct Shared {
    pub(super) limits: StorageLimits,
    pub(super) readers: Semaphore,
    /// `None` while the store is out of service. Held to clone or replace it.
    database: Mutex<Option<Arc<Database>>>,
    complained: Mutex<Option<Instant>>,
}

impl Shared {
    pub(super) fn new(limits: StorageLimits) -> Shared {
        metrics::gauge!("muster_store_available").set(0.0);
        Shared {
            limits,
            readers: Semaphore::new(READERS),
            database: Mutex::default(),
            complained: Mutex::default(),
        }
    }

    /// The open file. To be given back before long: it cannot be opened anew
    /// after a fault while somebody has it.
    pub(super) fn database(&self) -> Option<Arc<Database>> {
        self.database.lock().clone()
    }

    /// Puts `database` into service.
    pub(super) fn open(&self, database: Database) {
        *self.database.lock() = Some(Arc::new(database));
        *self.complained.lock() = None;
        metrics::gauge!("muster_store_available").set(1.0);
    }

    /// Takes the file out of service.
    pub(super) fn close(&self) {
        let closed = self.database.lock().take();
        metrics::gauge!("muster_store_available").set(0.0);
        // Outside of the lock: the last one to have it writes its end.
        drop(closed);
    }

    /// A transaction failed: the file is out of service until the writer has
    /// opened it again.
    pub(super) fn failed(&self, fault: &redb::Error) {
        let name = match fault {
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                "disk-full"
            }
            redb::Error::Io(_) | redb::Error::PreviousIo => "io",
            redb::Error::Corrupted(_) => "damaged",
            _ => "other",
        };
        self.complain(name, fault);
        self.close();
    }

    /// Something in the file made the code that reads it panic.
    pub(super) fn panicked(&self) {
        self.failed(&redb::Error::Corrupted("a transaction panicked".to_owned()));
    }

    /// The file cannot be opened.
    pub(super) fn closed(&self, fault: &OpenError) {
        self.complain(fault.name(), fault);
    }

    fn complain(&self, name: &'static str, fault: &(dyn std::error::Error + 'static)) {
        metrics::counter!("muster_store_faults_total", "fault" => name).increment(1);
        let now = Instant::now();
        let mut complained = self.complained.lock();
        if complained.is_none_or(|last| now.duration_since(last) >= COMPLAINT_INTERVAL) {
            *complained = Some(now);
            tracing::error!(
                fault,
                "the store is out of service: messages for offline users, vCards, private data \
                 and blocklists are refused, and no last known roster is at hand, until it can be opened again"
            );
        }
    }
}
