//! Writes down what the app tells, so that there is a last known roster.
//!
//! Owns what waits to be written: at most one change a user, the newest, and a
//! bounded number of them. Nobody waits for the disk: a fetch leaves its result
//! here and goes on. One task writes, many changes in one transaction; while
//! the store is out of service they wait, and what there is no room for is
//! counted and given up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_xmpp::BareJid;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::kept::{self, KeptRoster, Seen, Unreadable};
use crate::store::{RosterChange, RosterTally, Store, StoreError};

/// Changes of one transaction: few enough that a message that is to be kept
/// does not wait long behind them.
const BATCH: usize = 64;

/// Bytes after which a transaction takes no further change.
const BATCH_BYTES: usize = 512 * 1024;

/// How long to wait after a failure of the store.
const RETRY: Duration = Duration::from_secs(5);

/// How long a login waits for the disk. Longer than any disk takes that works.
const PATIENCE: Duration = Duration::from_millis(250);

/// Rosters of hosts that are gone, of one transaction.
const PRUNE: usize = 500;

/// See the module.
pub(crate) struct Keeper {
    store: Store,
    /// Held for a look or a change.
    waiting: Mutex<Waiting>,
    most: usize,
    news: Notify,
    /// Held by whoever writes.
    turn: tokio::sync::Mutex<()>,
    /// An unreadable record has been told in the log.
    told: AtomicBool,
}

/// Changes that are not on the disk, by account.
#[derive(Debug, Default)]
struct Waiting {
    next: HashMap<Box<str>, Change>,
    /// On their way to the disk; older than those.
    writing: HashMap<Box<str>, Change>,
}

/// What is to be written for a user.
#[derive(Clone, Debug)]
enum Change {
    Keep(Arc<KeptRoster>),
    Seen(Seen),
    Forget,
}

impl Keeper {
    /// `most`: rosters that may wait to be written.
    pub(crate) fn new(store: Store, most: usize) -> Keeper {
        Keeper {
            store,
            waiting: Mutex::default(),
            most,
            news: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            told: AtomicBool::new(false),
        }
    }

    /// The account's last known roster, if there is one that can be read.
    pub(super) async fn last_known(
        &self,
        account: &BareJid,
        max_contacts: usize,
    ) -> Option<Arc<KeptRoster>> {
        match self.waiting.lock().newest(account.as_str()) {
            Some(Change::Keep(kept)) => return Some(Arc::clone(kept)),
            Some(Change::Forget) => return None,
            Some(Change::Seen(_)) | None => {}
        }
        let owner = account.clone();
        let read = self.store.roster(account.as_str(), move |seen, record| {
            kept::decode(&owner, Seen(seen), record, max_contacts)
        });
        let read = tokio::time::timeout(PATIENCE, read).await;
        match read.unwrap_or(Err(StoreError::TimedOut)) {
            Ok(Some(Ok(kept))) => Some(Arc::new(kept)),
            Ok(Some(Err(unreadable))) => {
                self.drop_unreadable(account, unreadable);
                None
            }
            Ok(None) => None,
            Err(error) => {
                tracing::debug!(user = %account, %error, "no last known roster is at hand");
                count("unread", 1);
                None
            }
        }
    }

    /// Accounts of a domain of whom there is a last known roster on the disk, at
    /// most `most`; none if the store does not work.
    pub(super) async fn accounts(&self, domain: &str, most: usize) -> Vec<String> {
        let read = self.store.roster_accounts(domain, most).await;
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "the last known rosters cannot be listed");
            Vec::new()
        })
    }

    /// Keeps `roster` from now on. False if too many wait.
    pub(super) fn keep(&self, account: &BareJid, roster: KeptRoster) -> bool {
        self.leave(account, Change::Keep(Arc::new(roster)))
    }

    /// Notes that the app has confirmed what is kept. False if too many wait.
    pub(super) fn confirm(&self, account: &BareJid, seen: Seen) -> bool {
        self.leave(account, Change::Seen(seen))
    }

    /// Keeps nothing for the account any more.
    pub(super) fn forget(&self, account: &BareJid) {
        self.leave(account, Change::Forget);
    }

    /// Writes until `stop`. `domains`: those whose rosters
    /// are kept; what there is of others is taken out first.
    pub(crate) async fn run(self: Arc<Self>, domains: Arc<[Box<str>]>, stop: CancellationToken) {
        stop.run_until_cancelled(self.prune(domains)).await;
        // What waits when the server ends is written by who ends it.
        stop.run_until_cancelled(async {
            loop {
                self.news.notified().await;
                while self.flush().await.is_err() {
                    tokio::time::sleep(RETRY).await;
                }
            }
        })
        .await;
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written still waits.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        // One at a time, so that `writing` is one batch.
        let _turn = self.turn.lock().await;
        loop {
            let batch = self.waiting.lock().take();
            if batch.is_empty() {
                return Ok(());
            }
            let mut changes = Vec::with_capacity(batch.len());
            for (account, change) in &batch {
                changes.push(write(account, change));
                // A long roster takes a millisecond.
                tokio::task::yield_now().await;
            }
            let written = self.store.change_rosters(changes).await;
            let mut waiting = self.waiting.lock();
            let batch = std::mem::take(&mut waiting.writing);
            match written {
                Ok(tally) => report(tally),
                Err(error) => {
                    count("failed", batch.len() as u32);
                    waiting.put_back(batch, self.most);
                    return Err(error);
                }
            }
        }
    }

    fn leave(&self, account: &BareJid, change: Change) -> bool {
        let left = self.waiting.lock().add(account.as_str(), change, self.most);
        if left {
            self.news.notify_one();
        } else {
            count("dropped", 1);
        }
        left
    }

    fn drop_unreadable(&self, account: &BareJid, unreadable: Unreadable) {
        metrics::counter!("muster_rosters_unreadable_total", "reason" => unreadable.label())
            .increment(1);
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                user = %account,
                %unreadable,
                "a last known roster cannot be read and is dropped, told once; the others are \
                 counted in muster_rosters_unreadable_total"
            );
        }
        self.forget(account);
    }

    /// Takes out what is kept for domains that are not served, or whose users
    /// are not to see it.
    async fn prune(&self, domains: Arc<[Box<str>]>) {
        let mut pruned = 0;
        loop {
            match self.store.prune_rosters(Arc::clone(&domains), PRUNE).await {
                Ok(tally) => {
                    report(tally);
                    pruned += tally.forgotten;
                    if (tally.forgotten as usize) < PRUNE {
                        break;
                    }
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
        if pruned > 0 {
            tracing::info!(
                rosters = pruned,
                "took out the last known rosters of hosts that do not keep any"
            );
        }
    }
}

impl Waiting {
    fn newest(&self, account: &str) -> Option<&Change> {
        let writing = || self.writing.get(account);
        match self.next.get(account) {
            // It says nothing of the contents.
            Some(Change::Seen(_)) | None => writing(),
            next => next,
        }
    }

    /// False if there are `most` of others.
    fn add(&mut self, account: &str, change: Change, most: usize) -> bool {
        if self.next.len() >= most && !self.next.contains_key(account) {
            return false;
        }
        let change = match (change, self.next.get(account)) {
            // What is confirmed has not been written yet.
            (Change::Seen(seen), Some(Change::Keep(kept))) => {
                let kept = KeptRoster::clone(kept);
                Change::Keep(Arc::new(KeptRoster { seen, ..kept }))
            }
            (change, _) => change,
        };
        self.next.insert(account.into(), change);
        true
    }

    /// Moves some of what waits on its way.
    fn take(&mut self) -> Vec<(Box<str>, Change)> {
        // Of a call that was given up before it knew what became of them.
        let unknown = std::mem::take(&mut self.writing);
        self.put_back(unknown, usize::MAX);
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (account, change) in &self.next {
            if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                break;
            }
            if let Change::Keep(kept) = change {
                bytes += kept.snapshot.memory_bytes();
            }
            batch.push((account.clone(), change.clone()));
        }
        for (account, _) in &batch {
            self.next.remove(account);
        }
        self.writing = batch.iter().cloned().collect();
        batch
    }

    /// Has what could not be written wait again, unless there is newer.
    fn put_back(&mut self, batch: HashMap<Box<str>, Change>, most: usize) {
        for (account, change) in batch {
            if self.next.len() < most {
                self.next.entry(account).or_insert(change);
            }
        }
    }
}

fn write(account: &str, change: &Change) -> RosterChange {
    let account = account.into();
    match change {
        Change::Keep(kept) => RosterChange::Keep {
            account,
            seen: kept.seen.0,
            record: kept::encode(kept),
        },
        Change::Seen(seen) => RosterChange::Seen {
            account,
            seen: seen.0,
        },
        Change::Forget => RosterChange::Forget { account },
    }
}

fn report(tally: RosterTally) {
    count("kept", tally.kept);
    count("evicted", tally.evicted);
    count("too_large", tally.too_large);
    count("forgotten", tally.forgotten);
}

fn count(outcome: &'static str, rosters: u32) {
    metrics::counter!("muster_rosters_kept_total", "outcome" => outcome).increment(rosters.into());
}

#[cfg(test)]
mod tests;
