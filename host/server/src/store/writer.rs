//! The thread that writes: takes the orders that wait, does them in one
//! transaction, and answers each once it is on the disk.
//!
//! Owns group commit, and putting the file into service again after a fault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, Error};
use tokio::sync::{mpsc, oneshot};

use super::error::{OpenError, StoreError};
use super::order::{Done, Order};
use super::read;
use super::shared::Shared;

/// Orders that may wait; who has more waits to give them.
pub(super) const QUEUE: usize = 1024;

/// Orders of one commit.
const GROUP: usize = 256;

/// How often opening the file is tried while it is out of service.
const RETRY: Duration = Duration::from_secs(1);

/// A file of this size takes longer to look through after a kill than one
/// would wait for; from there on each commit notes what is in use, which makes
/// it take two or three times as long.
const NOTE_USE_FROM: u64 = 64 * 1024 * 1024;

/// Where the file is.
pub(super) trait Place: Send {
    /// Opens the file, and makes it if there is none.
    fn open(&self) -> Result<Database, OpenError>;

    /// Bytes of the file on the disk.
    fn len(&self) -> Option<u64>;
}

/// What the thread is told.
pub(super) enum Job {
    /// Do this, and say so once it is durable.
    Do(Order, oneshot::Sender<Result<Done, StoreError>>),
    /// Measure the file; see whether it can be opened again, if it is out of
    /// service.
    Tend,
    /// Give the file back and end.
    Close(oneshot::Sender<()>),
}

/// See the module.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Box<dyn Place>,
    pub(super) jobs: mpsc::Receiver<Job>,
    /// When opening was tried last.
    pub(super) tried: Instant,
    /// The file is one of [`NOTE_USE_FROM`].
    pub(super) large: bool,
}

type Waiting = (Order, oneshot::Sender<Result<Done, StoreError>>);

impl Writer {
    /// Works until it is told to end, or nobody is left who could.
    pub(super) fn run(mut self) {
        let mut group = Vec::new();
        while let Some(job) = self.jobs.blocking_recv() {
            let mut next = Some(job);
            let mut closing = None;
            while let Some(job) = next.take() {
                match job {
                    Job::Do(order, reply) => group.push((order, reply)),
                    Job::Tend => self.tend(),
                    Job::Close(reply) => closing = Some(reply),
                }
                if group.len() < GROUP && closing.is_none() {
                    next = self.jobs.try_recv().ok();
                }
            }
            self.commit(&mut group);
            if let Some(reply) = closing {
                self.shared.close();
                // Who waited may have given up.
                let _ = reply.send(());
                return;
            }
        }
        self.shared.close();
    }

    fn commit(&mut self, group: &mut Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let Some(database) = self.database() else {
            return answer(group, None);
        };
        let start = Instant::now();
        let (limits, large) = (&self.shared.limits, self.large);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(large);
            let done = group
                .iter()
                .map(|(order, _)| order.apply(&transaction, limits))
                .collect::<Result<Vec<_>, Error>>()?;
            transaction.commit()?;
            Ok::<_, Error>(done)
        }));
        drop(database);
        match &done {
            Ok(Ok(_)) => {
                metrics::histogram!("muster_store_commit_seconds").record(start.elapsed());
                metrics::counter!("muster_store_writes_total").increment(group.len() as u64);
            }
            Ok(Err(fault)) => self.shared.failed(fault),
            Err(_) => self.shared.panicked(),
        }
        answer(group, done.ok().and_then(Result::ok));
    }

    fn tend(&mut self) {
        if let Some(bytes) = self.place.len() {
            self.large = bytes >= NOTE_USE_FROM;
            metrics::gauge!("muster_store_file_bytes").set(bytes as f64);
        }
        let Some(database) = self.database() else {
            return;
        };
        match catch_unwind(AssertUnwindSafe(|| read::kept_bytes(&database))) {
            Ok(Ok(kept)) => {
                metrics::gauge!("muster_store_kept_bytes").set(kept.total as f64);
                metrics::gauge!("muster_store_rosters_bytes").set(kept.rosters as f64);
            }
            Ok(Err(fault)) => self.shared.failed(&fault),
            Err(_) => self.shared.panicked(),
        }
    }

    /// The file, opened again if that is due.
    fn database(&mut self) -> Option<Arc<Database>> {
        if let Some(database) = self.shared.database() {
            return Some(database);
        }
        if self.tried.elapsed() < RETRY {
            return None;
        }
        self.tried = Instant::now();
        match self.place.open() {
            Ok(database) => {
                tracing::info!("the store is in service again");
                self.shared.open(database);
            }
            // A reader still has the file from before the fault.
            Err(OpenError::InUse { .. }) => {}
            Err(fault) => self.shared.closed(&fault),
        }
        self.shared.database()
    }
}

/// Tells everybody of the group. `None`: nothing of it was done.
fn answer(group: &mut Vec<Waiting>, done: Option<Vec<Done>>) {
    let mut done = done.into_iter().flatten();
    for (_, reply) in group.drain(..) {
        let outcome = done.next().ok_or(StoreError::Unavailable);
        if let Ok(Done::No(bound)) = outcome {
            metrics::counter!("muster_store_refusals_total", "limit" => bound.key()).increment(1);
        }
        // Who gave the order may be gone; it was done all the same.
        let _ = reply.send(outcome);
    }
}
