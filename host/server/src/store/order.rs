//! What the writer can be told to do, and doing it inside a transaction.
//!
//! Owns the bounds: each order looks first and writes then, so that one that is
//! refused has changed nothing. Does not own the transaction, which many orders
//! share.

use std::sync::Arc;

use bytes::Bytes;
use redb::{Error, ReadableTable as _, WriteTransaction};

use super::error::Bound;
use super::rosters::{self, RosterChange, RosterTally};
use super::tables::{
    ACCOUNTS, BLOCKED, MESSAGES, NEXT_MESSAGE, NUMBERS, PRIVATE, STRANGERS, TOTAL_BYTES, VCARDS,
    WAITING,
};
use crate::config::StorageLimits;

/// One change. Accounts are bare JIDs as text.
#[derive(Debug)]
pub(super) enum Order {
    /// Keep a message for later.
    Keep {
        account: Box<str>,
        /// As it is to be delivered.
        stanza: Bytes,
        /// Whether the caller knows that there is such an account.
        known: bool,
    },
    /// Take out the account's messages up to this id: they have been delivered.
    Delivered { account: Box<str>, last: u64 },
    /// Note that there is such an account; seconds since 1970.
    Remember { account: Box<str>, now: u64 },
    /// Replace the vCard, or take it out.
    Vcard {
        account: Box<str>,
        xml: Option<Box<str>>,
    },
    /// Replace one element of private data, or take it out.
    Private {
        account: Box<str>,
        namespace: Box<str>,
        name: Box<str>,
        xml: Option<Box<str>>,
    },
    /// Add to the blocklist.
    Block {
        account: Box<str>,
        jids: Vec<Box<str>>,
    },
    /// Take out of the blocklist; everything if there is no list.
    Unblock {
        account: Box<str>,
        jids: Option<Vec<Box<str>>>,
    },
    /// Take out everything of the account.
    Forget { account: Box<str> },
    /// Change last known rosters.
    Rosters(Vec<RosterChange>),
    /// Take out last known rosters of other domains than these, so many at most.
    PruneRosters {
        domains: Arc<[Box<str>]>,
        at_most: usize,
    },
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was done.
    Yes,
    /// It was done as far as anybody can tell, and nothing was kept.
    Stranger,
    /// It would exceed a bound; nothing was changed.
    No(Bound),
    /// So much of it was done.
    Rosters(RosterTally),
}

impl Order {
    /// Does it. An error leaves the transaction unusable.
    pub(super) fn apply(
        &self,
        transaction: &WriteTransaction,
        limits: &StorageLimits,
    ) -> Result<Done, Error> {
        let change = Change {
            transaction,
            limits,
        };
        match self {
            Self::Keep {
                account,
                stanza,
                known,
            } => change.keep(account, stanza, *known),
            Self::Delivered { account, last } => change.delivered(account, *last),
            Self::Remember { account, now } => change.remember(account, *now),
            Self::Vcard { account, xml } => change.vcard(account, xml.as_deref()),
            Self::Private {
                account,
                namespace,
                name,
                xml,
            } => change.private((account, namespace, name), xml.as_deref()),
            Self::Block { account, jids } => change.block(account, jids),
            Self::Unblock { account, jids } => change.unblock(account, jids.as_deref()),
            Self::Forget { account } => change.forget(account),
            Self::Rosters(changes) => {
                rosters::change(transaction, changes, limits.rosters_bytes).map(Done::Rosters)
            }
            Self::PruneRosters { domains, at_most } => {
                rosters::prune(transaction, domains, *at_most).map(Done::Rosters)
            }
        }
    }
}

/// A transaction and the bounds.
struct Change<'t> {
    transaction: &'t WriteTransaction,
    limits: &'t StorageLimits,
}

impl Change<'_> {
    fn keep(&self, account: &str, stanza: &[u8], known: bool) -> Result<Done, Error> {
        let known = known
            || self
                .transaction
                .open_table(ACCOUNTS)?
                .get(account)?
                .is_some();
        // What is not kept costs the same: a row is written, the bounds hold.
        let table = if known { WAITING } else { STRANGERS };
        let mut tallies = self.transaction.open_table(table)?;
        let (count, bytes) = tallies.get(account)?.map_or((0, 0), |tally| tally.value());
        let (count, bytes) = (count + 1, bytes + stanza.len() as u64);
        if count > self.limits.offline_messages as u64 || bytes > self.limits.offline_bytes as u64 {
            return Ok(Done::No(Bound::Offline));
        }
        let mut numbers = self.transaction.open_table(NUMBERS)?;
        let number = |name| Ok::<_, Error>(numbers.get(name)?.map_or(0, |number| number.value()));
        let (id, total) = (number(NEXT_MESSAGE)?, number(TOTAL_BYTES)?);
        let total = total + stanza.len() as u64;
        if total > self.limits.total_bytes as u64 {
            return Ok(Done::No(Bound::TotalBytes));
        }
        if !known {
            trim_strangers(&mut tallies)?;
        }
        tallies.insert(account, (count, bytes))?;
        numbers.insert(NEXT_MESSAGE, id + 1)?;
        if !known {
            return Ok(Done::Stranger);
        }
        numbers.insert(TOTAL_BYTES, total)?;
        let mut messages = self.transaction.open_table(MESSAGES)?;
        messages.insert((account, id), stanza)?;
        Ok(Done::Yes)
    }

    fn delivered(&self, account: &str, last: u64) -> Result<Done, Error> {
        let (mut count, mut bytes) = (0, 0);
        let mut messages = self.transaction.open_table(MESSAGES)?;
        messages.retain_in((account, 0)..=(account, last), |_, stanza| {
            count += 1;
            bytes += stanza.len() as u64;
            false
        })?;
        let mut waiting = self.transaction.open_table(WAITING)?;
        let before = waiting.get(account)?.map_or((0, 0), |tally| tally.value());
        match before.0.saturating_sub(count) {
            0 => waiting.remove(account)?.map(drop),
            left => waiting
                .insert(account, (left, before.1.saturating_sub(bytes)))?
                .map(drop),
        };
        self.count(bytes, 0)?;
        Ok(Done::Yes)
    }

    fn remember(&self, account: &str, now: u64) -> Result<Done, Error> {
        let mut accounts = self.transaction.open_table(ACCOUNTS)?;
        let known = accounts.get(account)?.is_some();
        if !known {
            accounts.insert(account, now)?;
            self.transaction.open_table(STRANGERS)?.remove(account)?;
        }
        Ok(Done::Yes)
    }

    fn vcard(&self, account: &str, xml: Option<&str>) -> Result<Done, Error> {
        let mut vcards = self.transaction.open_table(VCARDS)?;
        let before = vcards.get(account)?.map_or(0, |xml| xml.value().len());
        let after = xml.map_or(0, str::len);
        if after > self.limits.vcard_bytes {
            return Ok(Done::No(Bound::VcardBytes));
        }
        if !self.count(before as u64, after as u64)? {
            return Ok(Done::No(Bound::TotalBytes));
        }
        match xml {
            Some(xml) => vcards.insert(account, xml)?.map(drop),
            None => vcards.remove(account)?.map(drop),
        };
        Ok(Done::Yes)
    }

    fn private(&self, key: (&str, &str, &str), xml: Option<&str>) -> Result<Done, Error> {
        let mut private = self.transaction.open_table(PRIVATE)?;
        let mut all = 0;
        for entry in private.range((key.0, "", "")..)? {
            let (entry, xml) = entry?;
            if entry.value().0 != key.0 {
                break;
            }
            all += xml.value().len();
        }
        let before = private.get(key)?.map_or(0, |xml| xml.value().len());
        let after = xml.map_or(0, str::len);
        if after > before && all - before + after > self.limits.private_bytes {
            return Ok(Done::No(Bound::PrivateBytes));
        }
        if !self.count(before as u64, after as u64)? {
            return Ok(Done::No(Bound::TotalBytes));
        }
        match xml {
            Some(xml) => private.insert(key, xml)?.map(drop),
            None => private.remove(key)?.map(drop),
        };
        Ok(Done::Yes)
    }

    fn block(&self, account: &str, jids: &[Box<str>]) -> Result<Done, Error> {
        let mut blocked = self.transaction.open_table(BLOCKED)?;
        let mut entries = 0;
        for entry in blocked.range((account, "")..)? {
            if entry?.0.value().0 != account {
                break;
            }
            entries += 1;
        }
        let mut new: Vec<&str> = Vec::with_capacity(jids.len());
        for jid in jids {
            if blocked.get((account, &**jid))?.is_none() && !new.contains(&&**jid) {
                new.push(jid);
            }
        }
        if !new.is_empty() && entries + new.len() > self.limits.blocklist_entries {
            return Ok(Done::No(Bound::BlocklistEntries));
        }
        let bytes: usize = new.iter().map(|jid| jid.len()).sum();
        if !self.count(0, bytes as u64)? {
            return Ok(Done::No(Bound::TotalBytes));
        }
        for jid in new {
            blocked.insert((account, jid), ())?;
        }
        Ok(Done::Yes)
    }

    fn unblock(&self, account: &str, jids: Option<&[Box<str>]>) -> Result<Done, Error> {
        let mut blocked = self.transaction.open_table(BLOCKED)?;
        let mut listed = Vec::new();
        for entry in blocked.range((account, "")..)? {
            let (entry, ()) = (entry?.0, ());
            let (owner, jid) = entry.value();
            if owner != account {
                break;
            }
            if jids.is_none_or(|jids| jids.iter().any(|one| **one == *jid)) {
                listed.push(jid.to_owned());
            }
        }
        let mut bytes = 0;
        for jid in &listed {
            bytes += jid.len();
            blocked.remove((account, jid.as_str()))?;
        }
        self.count(bytes as u64, 0)?;
        Ok(Done::Yes)
    }

    fn forget(&self, account: &str) -> Result<Done, Error> {
        self.delivered(account, u64::MAX)?;
        self.vcard(account, None)?;
        self.unblock(account, None)?;
        let mut private = self.transaction.open_table(PRIVATE)?;
        let mut names = Vec::new();
        for entry in private.range((account, "", "")..)? {
            let (entry, xml) = entry?;
            let (owner, namespace, name) = entry.value();
            if owner != account {
                break;
            }
            names.push((namespace.to_owned(), name.to_owned(), xml.value().len()));
        }
        let mut bytes = 0;
        for (namespace, name, length) in &names {
            bytes += length;
            private.remove((account, namespace.as_str(), name.as_str()))?;
        }
        self.count(bytes as u64, 0)?;
        self.transaction.open_table(ACCOUNTS)?.remove(account)?;
        self.transaction.open_table(STRANGERS)?.remove(account)?;
        let roster = RosterChange::Forget {
            account: account.into(),
        };
        rosters::change(self.transaction, &[roster], self.limits.rosters_bytes)?;
        Ok(Done::Yes)
    }

    /// Counts that `before` bytes became `after`. False when everybody's bound
    /// would be exceeded; nothing is counted then.
    fn count(&self, before: u64, after: u64) -> Result<bool, Error> {
        let mut numbers = self.transaction.open_table(NUMBERS)?;
        let total = numbers.get(TOTAL_BYTES)?.map_or(0, |number| number.value());
        let now = total.saturating_sub(before) + after;
        if after > before && now > self.limits.total_bytes as u64 {
            return Ok(false);
        }
        numbers.insert(TOTAL_BYTES, now)?;
        Ok(true)
    }
}

/// Addresses whose messages are counted and not kept.
const STRANGERS_COUNTED: u64 = 100_000;

/// Makes room for one more. Which one goes does not matter: it starts to be
/// counted again.
fn trim_strangers(strangers: &mut redb::Table<'_, &str, (u64, u64)>) -> Result<(), Error> {
    use redb::ReadableTableMetadata as _;
    if strangers.len()? >= STRANGERS_COUNTED {
        strangers.pop_first()?;
    }
    Ok(())
}
