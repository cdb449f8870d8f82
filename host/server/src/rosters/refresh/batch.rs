//! The entries of one request, worked through side by side.
//!
//! Owns which entries are usernames, that those of one account share the work,
//! the bound of what runs at once and of the time; what is done for an account
//! is the caller's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use muster_plugin::{Failure, Outcome};
use muster_xmpp::roster::{Contact, Snapshot};
use muster_xmpp::{BareJid, DomainPart, NodePart};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::record::{Entry, Record};
use super::{Done, Mode, RefreshTerms, Rehearsal, Rosters, failure};

/// The entries of one request to a virtual host.
pub(crate) struct Batch {
    pub(super) rosters: Arc<Rosters>,
    domain: DomainPart,
    pub(super) terms: RefreshTerms,
    record: Arc<Record>,
}

/// A roster that the app has sent by itself.
#[derive(Debug)]
pub(crate) struct HandedIn {
    /// As it is written.
    pub(crate) username: String,
    /// Not checked yet.
    pub(crate) contacts: Vec<Contact>,
}

impl Batch {
    /// For one request to `domain`, whose entries are told to `record`.
    pub(crate) fn new(
        rosters: Arc<Rosters>,
        domain: DomainPart,
        terms: RefreshTerms,
        record: Arc<Record>,
    ) -> Batch {
        Batch {
            rosters,
            domain,
            terms,
            record,
        }
    }

    /// Whether `username` is one: a localpart and nothing else.
    pub(crate) fn is_username(username: &str) -> bool {
        NodePart::new(username).is_ok()
    }

    /// The account that an entry names: a localpart and nothing else, prepared
    /// as RFC 7622, section 3.3 wants it.
    pub(crate) fn account(username: &str, domain: &DomainPart) -> Option<BareJid> {
        let node = NodePart::new(username).ok()?;
        Some(BareJid::from_parts(Some(&node), domain))
    }

    /// Puts in what the app has handed in, and pushes what changed; or tells
    /// what that would be. Of several rosters for one account the last counts.
    pub(crate) async fn hand_in(&self, entries: Vec<HandedIn>, mode: Mode) -> Vec<Outcome> {
        let mut rosters = HashMap::new();
        let mut usernames = Vec::with_capacity(entries.len());
        for HandedIn { username, contacts } in entries {
            if let Some(account) = Batch::account(&username, &self.domain) {
                rosters.insert(account, contacts);
            }
            usernames.push(username);
        }
        // A leaf lock; each account comes once.
        let rosters = &Mutex::new(rosters);
        let most = self.terms.contacts;
        let rehearsal = &self.rehearsal();
        let work = |account: BareJid| async move {
            let contacts = rosters.lock().remove(&account).unwrap_or_default();
            let snapshot = match Snapshot::from_contacts(&account, contacts, most) {
                Ok((snapshot, report)) => {
                    left_out(report.dropped());
                    snapshot
                }
                Err(error) => return Done::failed(false, failure(error.into())),
            };
            match mode {
                Mode::Real => self.rosters.hand_in(&account, snapshot).await,
                Mode::Dry => self.rosters.compare(&account, &snapshot, rehearsal),
            }
        };
        self.run(usernames, work).await
    }

    /// For a dry run of these entries.
    pub(super) fn rehearsal(&self) -> Rehearsal {
        let source = self.rosters.sources.get(&self.domain);
        let guard = source.map(|source| source.guard.rehearsal());
        Rehearsal::new(self.terms.dry_run_contacts, guard)
    }

    /// Does `work` once for each account among `usernames`; one outcome for
    /// each entry, in order.
    pub(super) async fn run<W, F>(&self, usernames: Vec<String>, work: W) -> Vec<Outcome>
    where
        W: Fn(BareJid) -> F + Sync,
        F: Future<Output = Done> + Send,
    {
        self.rosters.app_was_heard(&self.domain);
        self.record.begin(usernames.len());
        let accounts: Vec<Option<BareJid>> = usernames
            .iter()
            .map(|username| Batch::account(username, &self.domain))
            .collect();
        let invalid = accounts.iter().filter(|account| account.is_none()).count();
        self.record.failed(invalid);
        let deadline = Instant::now() + self.time_for(usernames.len());
        let work = &work;
        let all = distinct(&accounts).into_iter();
        let all = all.map(|(account, entries)| async move {
            let begun = Instant::now();
            let done = timeout_at(deadline, work(account.clone())).await;
            let done = done.unwrap_or_else(|_| Done::failed(true, Failure::Overloaded));
            match done.result {
                Ok(_) => self.record.updated(entries),
                Err(_) => self.record.failed(entries),
            }
            (account, (done, begun.elapsed()))
        });
        let done: HashMap<BareJid, (Done, Duration)> = stream::iter(all)
            .buffer_unordered(self.terms.concurrency)
            .collect()
            .await;
        let entries = usernames.into_iter().zip(&accounts);
        let entries = entries.map(|(username, account)| {
            let (done, took) = account
                .as_ref()
                .and_then(|account| done.get(account))
                .cloned()
                .unwrap_or_else(|| {
                    let invalid = Done::failed(false, Failure::InvalidUsername);
                    (invalid, Duration::ZERO)
                });
            let outcome = Outcome {
                username: username.clone(),
                online: done.online,
                result: done.result.clone(),
            };
            self.record.keep(|| Entry::of(username, done, took));
            outcome
        });
        entries.collect()
    }

    /// Time for so many entries; what is not done by then is refused, so that
    /// the plugin is left the time to answer.
    fn time_for(&self, entries: usize) -> Duration {
        let is_job =
            self.record.is_job() || self.terms.async_above.is_some_and(|most| entries > most);
        let whole = match is_job {
            true => self.terms.job_time,
            false => self.terms.request_time,
        };
        whole.mul_f64(0.9)
    }
}

/// Counts entries that are no contacts. Who handed them in is told how many
/// contacts there are.
fn left_out(entries: u32) {
    metrics::counter!("muster_roster_contacts_skipped_total").increment(entries.into());
}

/// Each account in the order of its first entry, and how many entries it has.
fn distinct(accounts: &[Option<BareJid>]) -> Vec<(BareJid, usize)> {
    let mut places: HashMap<&BareJid, usize> = HashMap::new();
    let mut distinct: Vec<(BareJid, usize)> = Vec::new();
    for account in accounts.iter().flatten() {
        let place = *places.entry(account).or_insert(distinct.len());
        match distinct.get_mut(place) {
            Some((_, entries)) => *entries += 1,
            None => distinct.push((account.clone(), 1)),
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_localpart_and_nothing_else() {
        let domain = DomainPart::new("example.test").unwrap().into_owned();
        for (entry, expected) in [
            ("john", Some("john@example.test")),
            ("JOHN", Some("john@example.test")),
        ] {
            let account = Batch::account(entry, &domain);
            assert_eq!(
                account.as_ref().map(|jid| jid.as_str()),
                expected,
                "{entry}"
            );
        }
        for entry in [
            "",
            "john@example.test",
            "john/phone",
            "a b",
            "a\"b",
            "a:b",
            "<a>",
            "a&b",
            "a'b",
            "\u{0}",
        ] {
            assert!(Batch::account(entry, &domain).is_none(), "{entry:?}");
            assert!(!Batch::is_username(entry), "{entry:?}");
        }
        assert!(Batch::account(&"x".repeat(1024), &domain).is_none());
    }
}
