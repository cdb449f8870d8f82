//! Failed fetches in the log: one now and then, with the number of the others.
//! While an app fails, a storm of logins must not become one of lines.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often a failure is told at most, for one virtual host.
const EVERY: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Told>);

/// A leaf lock, held for a look.
#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    since: u64,
}

impl Complaints {
    /// A fetch failed. If that is to be told: how many were not told since the
    /// last one that was.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        let recent = |last| now.saturating_duration_since(last) < EVERY;
        if told.last.is_some_and(recent) {
            told.since = told.since.saturating_add(1);
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_how_many_there_were() {
        let (complaints, now) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.due(now), Some(0));
        for _ in 0..3 {
            assert_eq!(complaints.due(now + EVERY / 2), None);
        }
        assert_eq!(complaints.due(now + EVERY), Some(3));
        assert_eq!(complaints.due(now + EVERY), None);
        assert_eq!(complaints.due(now + 3 * EVERY), Some(1));
    }
}
