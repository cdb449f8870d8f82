//! What the host saw of one request's entries, whichever plugin asked.
//!
//! Owns the counts while the work goes on, and the entry of each user once it
//! is done. How it is written down for the caller is the HTTP side's affair.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_contract::Summary;
use muster_plugin::{Changes, Failure};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::Span;

use super::{Done, Preview};
use crate::limit::Limit;
use crate::rosters::Provenance;

/// What is known of the entries of one request.
#[derive(Debug)]
pub(crate) struct Record {
    progress: watch::Sender<Progress>,
    /// `None` unless somebody wants to know. A leaf lock.
    told: Option<Mutex<Told>>,
    /// Entries that are told one by one.
    most: usize,
    is_job: AtomicBool,
    /// Of the request; its caller is in it.
    span: Span,
}

/// What is told of the entries of a request.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// In order; the first ones, if there are too many.
    pub(crate) entries: Vec<Entry>,
    /// How many more there are.
    pub(crate) unlisted: usize,
    /// The counts of all of them.
    pub(crate) summary: Summary,
}

/// How far the work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Entries in all; `None` until the plugin has asked for a refresh.
    pub(crate) total: Option<usize>,
    /// Entries that are as the app says, or wait for the user to come online.
    pub(crate) updated: usize,
    /// Entries that failed.
    pub(crate) errors: usize,
}

impl Progress {
    /// Entries that are worked through.
    pub(crate) fn done(&self) -> usize {
        self.updated + self.errors
    }
}

/// What became of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// As it was given.
    pub(crate) username: String,
    pub(crate) verdict: Verdict,
    /// Where the roster came from, if there is one.
    pub(crate) provenance: Option<Provenance>,
    /// From the moment at which the work on this user began.
    pub(crate) took: Duration,
    /// The contacts, in a dry run.
    pub(crate) preview: Option<Arc<Preview>>,
}

/// The outcome of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Contacts changed.
    Updated(Changes),
    /// None did.
    Unchanged,
    /// Nobody is there to push to.
    Offline,
    /// Nothing changed, because something failed.
    Failed(Failure),
}

impl Record {
    /// Of a request that nobody wants explained.
    pub(crate) fn of_counts() -> Record {
        Record {
            progress: watch::Sender::new(Progress::default()),
            told: None,
            most: 0,
            is_job: AtomicBool::new(false),
            span: Span::current(),
        }
    }

    /// Of a request whose entries are to be told one by one, at most `most`: a
    /// plugin may ask for refreshes as often as it likes.
    pub(crate) fn of_entries(most: usize) -> Record {
        Record {
            told: Some(Mutex::default()),
            most,
            ..Record::of_counts()
        }
    }

    /// The counts as they change.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// What is known of the entries that are done.
    pub(crate) fn told(&self) -> Told {
        let told = self.told.as_ref();
        told.map(|told| std::mem::take(&mut *told.lock()))
            .unwrap_or_default()
    }

    /// Nobody waits for the answer: there is more time.
    pub(crate) fn becomes_job(&self) {
        self.is_job.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_job(&self) -> bool {
        self.is_job.load(Ordering::Relaxed)
    }

    /// So many entries more. A plugin may ask several times.
    pub(super) fn begin(&self, entries: usize) {
        self.progress
            .send_modify(|it| it.total = Some(it.total.unwrap_or_default() + entries));
        self.span.record("users", self.progress.borrow().total);
    }

    pub(super) fn updated(&self, entries: usize) {
        self.progress.send_modify(|it| it.updated += entries);
    }

    pub(super) fn failed(&self, entries: usize) {
        self.progress.send_modify(|it| it.errors += entries);
    }

    pub(super) fn keep(&self, entry: impl FnOnce() -> Entry) {
        let Some(told) = &self.told else {
            return;
        };
        let is_first = told.lock().add(entry(), self.most);
        if is_first {
            Limit::HttpNames.reached();
        }
    }
}

impl Told {
    /// Whether it is the first that is not listed.
    fn add(&mut self, entry: Entry, most: usize) -> bool {
        muster_plugin::count_entry(&mut self.summary, entry.failure());
        if self.entries.len() < most {
            self.entries.push(entry);
            return false;
        }
        self.unlisted += 1;
        self.unlisted == 1
    }
}

impl Entry {
    /// Why there was no change, if something failed.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match &self.verdict {
            Verdict::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    pub(super) fn of(username: String, done: Done, took: Duration) -> Entry {
        let verdict = match done.result {
            Err(failure) => Verdict::Failed(failure),
            Ok(_) if !done.online => Verdict::Offline,
            Ok(changes) if changes == Changes::default() => Verdict::Unchanged,
            Ok(changes) => Verdict::Updated(changes),
        };
        Entry {
            username,
            verdict,
            provenance: done.provenance,
            took,
            preview: done.preview,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_several_calls() {
        let record = Record::of_counts();
        let progress = record.progress();
        assert_eq!(progress.borrow().total, None);
        record.begin(3);
        record.updated(2);
        record.failed(1);
        record.begin(1);
        record.updated(1);
        let told = *progress.borrow();
        assert_eq!((told.total, told.updated, told.errors), (Some(4), 3, 1));
        assert_eq!(told.done(), 4);
    }

    fn entry() -> Entry {
        Entry::of("john".to_owned(), Done::offline(), Duration::ZERO)
    }

    #[test]
    fn entries_are_kept_only_if_somebody_wants_them() {
        for (record, kept) in [(Record::of_counts(), 0), (Record::of_entries(9), 1)] {
            record.keep(entry);
            assert_eq!(record.told().entries.len(), kept);
        }
        assert_eq!(entry().verdict, Verdict::Offline);
    }

    #[test]
    fn a_plugin_that_asks_over_and_over_costs_no_more_entries() {
        let record = Record::of_entries(2);
        for _ in 0..1_000 {
            record.keep(entry);
        }
        record.keep(|| Entry {
            verdict: Verdict::Failed(Failure::Overloaded),
            ..entry()
        });
        let told = record.told();
        assert_eq!((told.entries.len(), told.unlisted), (2, 999));
        assert_eq!(told.summary.errors(), 1, "they are counted");
    }
}
