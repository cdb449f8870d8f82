//! What has to outlive the process: messages for users who are offline, vCards,
//! private data, blocklists, which accounts there are, and the last known
//! rosters. One redb file.
//!
//! Owns durability and the bounds of `[limits.storage]`; knows nothing of
//! stanzas. Writes go through one thread that commits many at once; each is on
//! the disk when its call returns. Reads run beside it on threads for blocking
//! work. When the file fails (a full disk, damage), calls fail with
//! [`StoreError::Unavailable`] until it can be opened again, which is tried
//! every second; nothing else of the server depends on it.
//!
//! Accounts are bare JIDs as text.

mod error;
mod file;
mod order;
mod read;
mod rosters;
mod shared;
mod tables;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use redb::{ReadTransaction, ReadableDatabase as _};
use tokio::sync::{mpsc, oneshot};

pub use self::error::{Bound, OpenError, StoreError};
use self::file::File;
use self::order::{Done, Order};
pub use self::read::{MessageId, Waiting};
pub(crate) use self::rosters::{RosterChange, RosterTally};
use self::shared::Shared;
use self::writer::{Job, Place, QUEUE, Writer};
use crate::config::StorageLimits;

/// How long a call waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store. Cheap to clone; the file is given back with [`Store::close`], or
/// some time after the last clone is gone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on the disk.
    Kept,
    /// Nothing is known of such an account, so nothing was kept. Who sent it
    /// must not be able to tell.
    Stranger,
}

impl Store {
    /// Opens the file in `directory`, and makes both if there are none. With a
    /// fault that [passes](OpenError::passes) the store is there and out of
    /// service. Blocks while it reads; starts a thread.
    ///
    /// # Errors
    /// [`OpenError`] for what only whoever starts the server can mend.
    pub fn open(directory: &Path, limits: StorageLimits) -> Result<Store, OpenError> {
        Store::with(Box::new(File::new(directory, limits.cache_bytes)), limits)
    }

    fn with(place: Box<dyn Place>, limits: StorageLimits) -> Result<Store, OpenError> {
        let shared = Arc::new(Shared::new(limits));
        match place.open() {
            Ok(database) => shared.open(database),
            Err(fault) if fault.passes() => shared.closed(&fault),
            Err(fault) => return Err(fault),
        }
        let (jobs, orders) = mpsc::channel(QUEUE);
        let writer = Writer {
            shared: Arc::clone(&shared),
            place,
            jobs: orders,
            tried: Instant::now(),
            large: false,
        };
        let thread = std::thread::Builder::new().name("store".to_owned());
        thread
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        let store = Store { shared, jobs };
        store.tend();
        Ok(store)
    }

    /// Writes what waits and gives the file back. Every call fails afterwards.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(reply)).await.is_ok() {
            // The thread is gone if it does not answer.
            let _ = closed.await;
        }
    }

    /// Whether the file is in service at the moment.
    pub(crate) fn is_in_service(&self) -> bool {
        self.shared.database().is_some()
    }

    /// To be called now and then: measures the file, and has it opened again if
    /// it is out of service.
    pub fn tend(&self) {
        // If the queue is full, the writer is at work anyway.
        let _ = self.jobs.try_send(Job::Tend);
    }

    /// Keeps `stanza` for the account, behind what is kept for it already.
    /// `known`: the caller knows that there is such an account; otherwise it is
    /// kept if the account was [remembered](Store::remember).
    ///
    /// # Errors
    /// [`StoreError`]; [`Bound::Offline`] is reached by an account that nobody
    /// knows as it is by others.
    pub async fn keep(
        &self,
        account: &str,
        stanza: Bytes,
        known: bool,
    ) -> Result<Kept, StoreError> {
        let account = account.into();
        let order = Order::Keep {
            account,
            stanza,
            known,
        };
        match self.write(order).await? {
            Done::Stranger => Ok(Kept::Stranger),
            _ => Ok(Kept::Kept),
        }
    }

    /// The oldest messages that are kept for the account, up to some 64 KiB of
    /// them and at least one if there is any. They stay until they are
    /// [delivered](Store::delivered).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting(&self, account: &str) -> Result<Waiting, StoreError> {
        let account = account.to_owned();
        self.read(move |transaction| read::waiting(transaction, &account))
            .await
    }

    /// How many messages are kept for the account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self, account: &str) -> Result<u64, StoreError> {
        let account = account.to_owned();
        self.read(move |transaction| read::count(transaction, &account))
            .await
    }

    /// Takes out the account's messages up to `last`.
    ///
    /// # Errors
    /// [`StoreError`]; the messages are still there then.
    pub async fn delivered(&self, account: &str, last: MessageId) -> Result<(), StoreError> {
        let account = account.into();
        self.change(Order::Delivered {
            account,
            last: last.0,
        })
        .await
    }

    /// Notes that there is such an account, from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remember(&self, account: &str) -> Result<(), StoreError> {
        let (account, now) = (account.into(), now());
        self.change(Order::Remember { account, now }).await
    }

    /// The account's vCard (XEP-0054): the element as XML, as it was set.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn vcard(&self, account: &str) -> Result<Option<String>, StoreError> {
        let account = account.to_owned();
        self.read(move |transaction| read::vcard(transaction, &account))
            .await
    }

    /// Replaces the account's vCard, or takes it out.
    ///
    /// # Errors
    /// [`StoreError`]; [`Bound::VcardBytes`].
    pub async fn set_vcard(&self, account: &str, xml: Option<&str>) -> Result<(), StoreError> {
        let (account, xml) = (account.into(), xml.map(Into::into));
        self.change(Order::Vcard { account, xml }).await
    }

    /// One element of the account's private data (XEP-0049), by its namespace
    /// and name, as XML.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn private(
        &self,
        account: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        let key = [account, namespace, name].map(str::to_owned);
        self.read(move |transaction| read::private(transaction, &key))
            .await
    }

    /// Replaces that element, or takes it out.
    ///
    /// # Errors
    /// [`StoreError`]; [`Bound::PrivateBytes`].
    pub async fn set_private(
        &self,
        account: &str,
        namespace: &str,
        name: &str,
        xml: Option<&str>,
    ) -> Result<(), StoreError> {
        self.change(Order::Private {
            account: account.into(),
            namespace: namespace.into(),
            name: name.into(),
            xml: xml.map(Into::into),
        })
        .await
    }

    /// Whom the account blocks (XEP-0191): JIDs as they were given, sorted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blocklist(&self, account: &str) -> Result<Vec<String>, StoreError> {
        let account = account.to_owned();
        self.read(move |transaction| read::blocklist(transaction, &account))
            .await
    }

    /// Adds `jids` to the account's blocklist: all of them, or none if there is
    /// an error.
    ///
    /// # Errors
    /// [`StoreError`]; [`Bound::BlocklistEntries`].
    pub async fn block<'j>(
        &self,
        account: &str,
        jids: impl IntoIterator<Item = &'j str>,
    ) -> Result<(), StoreError> {
        let jids = jids.into_iter().map(Into::into).collect();
        let account = account.into();
        self.change(Order::Block { account, jids }).await
    }

    /// Takes `jids` out of the account's blocklist.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unblock<'j>(
        &self,
        account: &str,
        jids: impl IntoIterator<Item = &'j str>,
    ) -> Result<(), StoreError> {
        let jids = Some(jids.into_iter().map(Into::into).collect());
        let account = account.into();
        self.change(Order::Unblock { account, jids }).await
    }

    /// Empties the account's blocklist.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unblock_all(&self, account: &str) -> Result<(), StoreError> {
        let (account, jids) = (account.into(), None);
        self.change(Order::Unblock { account, jids }).await
    }

    /// Takes out everything that is kept for the account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget(&self, account: &str) -> Result<(), StoreError> {
        let account = account.into();
        self.change(Order::Forget { account }).await
    }

    /// The account's last known roster, as `read` makes it of the time at which
    /// the app told it, in seconds since 1970, and of the record. `read` runs on
    /// a thread for blocking work.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn roster<T: Send + 'static>(
        &self,
        account: &str,
        read: impl FnOnce(u64, &[u8]) -> T + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let account = account.to_owned();
        self.read(move |transaction| rosters::read(transaction, &account, read))
            .await
    }

    /// The accounts of a domain whose rosters are kept, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn roster_accounts(
        &self,
        domain: &str,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        let domain = domain.to_owned();
        self.read(move |transaction| rosters::accounts(transaction, &domain, most))
            .await
    }

    /// Changes last known rosters, all in one transaction. The older ones make
    /// room for the newer.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is known to be changed then.
    pub(crate) async fn change_rosters(
        &self,
        changes: Vec<RosterChange>,
    ) -> Result<RosterTally, StoreError> {
        self.tally(Order::Rosters(changes)).await
    }

    /// Takes out last known rosters of other domains than `domains`, `at_most`
    /// so many; fewer are taken out if there are no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn prune_rosters(
        &self,
        domains: Arc<[Box<str>]>,
        at_most: usize,
    ) -> Result<RosterTally, StoreError> {
        self.tally(Order::PruneRosters { domains, at_most }).await
    }

    async fn tally(&self, order: Order) -> Result<RosterTally, StoreError> {
        match self.write(order).await? {
            Done::Rosters(tally) => Ok(tally),
            _ => Ok(RosterTally::default()),
        }
    }

    async fn change(&self, order: Order) -> Result<(), StoreError> {
        self.write(order).await.map(drop)
    }

    async fn write(&self, order: Order) -> Result<Done, StoreError> {
        let written = async {
            let (reply, done) = oneshot::channel();
            let sent = self.jobs.send(Job::Do(order, reply)).await;
            sent.map_err(|_| StoreError::Unavailable)?;
            done.await.map_err(|_| StoreError::Unavailable)?
        };
        match in_time(written).await? {
            Done::No(bound) => Err(StoreError::OverLimit(bound)),
            done => Ok(done),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        in_time(async {
            let permit = self.shared.readers.acquire().await;
            let database = self.shared.database().ok_or(StoreError::Unavailable)?;
            let shared = Arc::clone(&self.shared);
            let task = tokio::task::spawn_blocking(move || {
                let found = database
                    .begin_read()
                    .map_err(redb::Error::from)
                    .and_then(|transaction| read(&transaction));
                drop(database);
                found.map_err(|fault| {
                    shared.failed(&fault);
                    StoreError::Unavailable
                })
            });
            let found = task.await;
            drop(permit);
            found.unwrap_or_else(|_| {
                self.shared.panicked();
                Err(StoreError::Unavailable)
            })
        })
        .await
    }
}

/// Seconds since 1970, as far as the clock is right: a date to keep beside
/// something, and nothing to wait by.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

async fn in_time<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(PATIENCE, call).await;
    answer.unwrap_or(Err(StoreError::TimedOut))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing {
    //! Stores for the tests of who uses them.

    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::Store;

    /// A store on a disk that has no room while the flag says so.
    pub(crate) fn on_a_disk(directory: &Path) -> (Store, Arc<AtomicBool>) {
        super::tests::faults::on_a_disk(directory)
    }
}
