//! What happened in a run, in order, and what should not have.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of the time line that a failure prints.
const LINES: usize = 600;

/// The tale of one run.
#[derive(Debug)]
pub(super) struct Tale {
    begun: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lines: Vec<(Duration, String)>,
    broken: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
    longest: BTreeMap<&'static str, Duration>,
}

impl Tale {
    pub(super) fn new() -> Tale {
        Tale {
            begun: Instant::now(),
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(super) fn note(&self, line: impl Into<String>) {
        let at = self.begun.elapsed();
        self.inner().lines.push((at, line.into()));
    }

    /// Something happened that must not.
    pub(super) fn broken(&self, promise: impl Into<String>) {
        let promise = promise.into();
        let at = self.begun.elapsed();
        let mut inner = self.inner();
        inner.lines.push((at, format!("BROKEN: {promise}")));
        inner.broken.push(format!("after {at:.1?}: {promise}"));
    }

    /// One more of these.
    pub(super) fn count(&self, what: &'static str) {
        *self.inner().counts.entry(what).or_default() += 1;
    }

    /// Something took so long.
    pub(super) fn took(&self, what: &'static str, time: Duration) {
        let mut inner = self.inner();
        let longest = inner.longest.entry(what).or_default();
        *longest = time.max(*longest);
    }

    /// Whether a promise was broken.
    pub(super) fn is_broken(&self) -> bool {
        !self.inner().broken.is_empty()
    }

    /// What was done, in numbers.
    pub(super) fn summary(&self) -> String {
        let inner = self.inner();
        let counts = inner
            .counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"));
        let longest = inner
            .longest
            .iter()
            .map(|(what, time)| format!("{what} in {time:.1?} at most"));
        counts.chain(longest).collect::<Vec<_>>().join(", ")
    }

    /// The broken promises, and what led to them.
    pub(super) fn verdict(&self) -> String {
        let inner = self.inner();
        let skipped = inner.lines.len().saturating_sub(LINES);
        let lines = inner.lines.iter().skip(skipped);
        let lines = lines.map(|(at, line)| format!("{:>9.3} s  {line}\n", at.as_secs_f64()));
        let lines: String = lines.collect();
        format!("{lines}\n{}", inner.broken.join("\n"))
    }
}
