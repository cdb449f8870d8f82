//! The last known rosters: kept by domain and localpart, given up in the order
//! in which the app told or confirmed them.
//!
//! Owns their tables, their bound (`rosters_bytes`, beside that of everything
//! else: what can be had from the app again must not take the room of what
//! cannot) and the clean-up after a change of the configuration. What a record
//! means is for `rosters` to say.

use redb::{Error, ReadTransaction, ReadableTable as _, WriteTransaction};

use super::tables::{NUMBERS, ROSTERS, ROSTERS_BY_AGE, ROSTERS_BYTES};

/// What is to become of one user's kept roster. Accounts are bare JIDs as text.
#[derive(Debug)]
pub(crate) enum RosterChange {
    /// Replace it.
    Keep {
        account: Box<str>,
        /// When the app told it, in seconds since 1970.
        seen: u64,
        record: Vec<u8>,
    },
    /// The app has confirmed it.
    Seen { account: Box<str>, seen: u64 },
    /// Take it out.
    Forget { account: Box<str> },
}

/// What came of a number of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RosterTally {
    /// Rosters that are kept now.
    pub(crate) kept: u32,
    /// Rosters that were given up to make room for them.
    pub(crate) evicted: u32,
    /// Rosters that exceed the bound by themselves; an older one of the same
    /// user is gone too.
    pub(crate) too_large: u32,
    /// Rosters that were taken out as they should.
    pub(crate) forgotten: u32,
}

/// The bytes that a record counts for: the keys of both tables included.
fn cost(account: &str, record: usize) -> u64 {
    (record + 2 * account.len() + 16) as u64
}

/// The domain and the localpart of a bare JID.
fn split(account: &str) -> (&str, &str) {
    account
        .split_once('@')
        .map_or((account, ""), |(local, domain)| (domain, local))
}

/// Reads a kept roster with `read`, which gets when the app told it and the
/// record.
pub(super) fn read<T>(
    transaction: &ReadTransaction,
    account: &str,
    read: impl FnOnce(u64, &[u8]) -> T,
) -> Result<Option<T>, Error> {
    let rosters = transaction.open_table(ROSTERS)?;
    let found = rosters.get(split(account))?;
    Ok(found.map(|found| {
        let (seen, record) = found.value();
        read(seen, record)
    }))
}

/// The accounts of a domain whose rosters are kept, at most `most`.
pub(super) fn accounts(
    transaction: &ReadTransaction,
    domain: &str,
    most: usize,
) -> Result<Vec<String>, Error> {
    let rosters = transaction.open_table(ROSTERS)?;
    let mut accounts = Vec::new();
    for entry in rosters.range((domain, "")..)?.take(most) {
        let (key, _) = entry?;
        let (of, local) = key.value();
        if of != domain {
            break;
        }
        accounts.push(format!("{local}@{domain}"));
    }
    Ok(accounts)
}

/// The tables in one transaction.
struct Tables<'t> {
    rosters: redb::Table<'t, (&'static str, &'static str), (u64, &'static [u8])>,
    by_age: redb::Table<'t, (u64, &'static str, &'static str), ()>,
    bytes: u64,
}

impl<'t> Tables<'t> {
    fn with<T>(
        transaction: &'t WriteTransaction,
        work: impl FnOnce(&mut Tables<'t>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let bytes = numbers.get(ROSTERS_BYTES)?.map_or(0, |it| it.value());
        let mut tables = Tables {
            rosters: transaction.open_table(ROSTERS)?,
            by_age: transaction.open_table(ROSTERS_BY_AGE)?,
            bytes,
        };
        let done = work(&mut tables)?;
        if tables.bytes != bytes {
            numbers.insert(ROSTERS_BYTES, tables.bytes)?;
        }
        Ok(done)
    }

    /// Takes a roster out; whether there was one.
    fn remove(&mut self, account: &str) -> Result<bool, Error> {
        let (domain, local) = split(account);
        let removed = self.rosters.remove((domain, local))?;
        let Some((seen, length)) = removed.map(|it| (it.value().0, it.value().1.len())) else {
            return Ok(false);
        };
        self.by_age.remove((seen, domain, local))?;
        self.bytes = self.bytes.saturating_sub(cost(account, length));
        Ok(true)
    }

    fn insert(&mut self, account: &str, seen: u64, record: &[u8]) -> Result<(), Error> {
        let (domain, local) = split(account);
        self.rosters.insert((domain, local), (seen, record))?;
        self.by_age.insert((seen, domain, local), ())?;
        self.bytes += cost(account, record.len());
        Ok(())
    }

    /// Gives up the oldest; whether there was one.
    fn evict(&mut self) -> Result<bool, Error> {
        let oldest = self.by_age.first()?.map(|(key, _)| {
            let (_, domain, local) = key.value();
            match local {
                "" => domain.to_owned(),
                local => format!("{local}@{domain}"),
            }
        });
        match oldest {
            Some(account) => self.remove(&account),
            None => Ok(false),
        }
    }
}

/// Does `changes`. An error leaves the transaction unusable.
pub(super) fn change(
    transaction: &WriteTransaction,
    changes: &[RosterChange],
    limit: usize,
) -> Result<RosterTally, Error> {
    let limit = limit as u64;
    Tables::with(transaction, |tables| {
        let mut tally = RosterTally::default();
        for change in changes {
            match change {
                RosterChange::Keep {
                    account,
                    seen,
                    record,
                } => {
                    // Before anything else: were there no room for the new
                    // one, the old one would be taken for the last known.
                    tables.remove(account)?;
                    let cost = cost(account, record.len());
                    if cost > limit {
                        tally.too_large += 1;
                        continue;
                    }
                    while tables.bytes + cost > limit && tables.evict()? {
                        tally.evicted += 1;
                    }
                    tables.insert(account, *seen, record)?;
                    tally.kept += 1;
                }
                RosterChange::Seen { account, seen } => {
                    let found = tables.rosters.get(split(account))?;
                    let record = found.map(|it| it.value().1.to_vec());
                    if let Some(record) = record {
                        tables.remove(account)?;
                        tables.insert(account, *seen, &record)?;
                    }
                }
                RosterChange::Forget { account } => {
                    tally.forgotten += u32::from(tables.remove(account)?);
                }
            }
        }
        Ok(tally)
    })
}

/// Takes out at most `at_most` rosters of domains other than `domains`.
pub(super) fn prune(
    transaction: &WriteTransaction,
    domains: &[Box<str>],
    at_most: usize,
) -> Result<RosterTally, Error> {
    Tables::with(transaction, |tables| {
        let mut tally = RosterTally::default();
        // Domains that stay are skipped whole, so that the rosters in them are
        // not read.
        let mut after = String::new();
        while (tally.forgotten as usize) < at_most {
            let next = tables.rosters.range((after.as_str(), "")..)?.next();
            let Some(next) = next.transpose()? else { break };
            let (domain, local) = next.0.value();
            if domains.iter().any(|it| **it == *domain) {
                // The first text in order after all keys of the domain.
                after = format!("{domain}\0");
                continue;
            }
            let account = match local {
                "" => domain.to_owned(),
                local => format!("{local}@{domain}"),
            };
            drop(next);
            tally.forgotten += u32::from(tables.remove(&account)?);
        }
        Ok(tally)
    })
}
