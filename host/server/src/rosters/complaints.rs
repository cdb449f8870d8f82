//! Failed fetches in the log: each of a few, and of many one a second, with the
//! number of the others. While an app fails, a storm of logins must not become
//! one of lines.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures of one virtual host that are told one by one.
const AT_ONCE: u32 = 20;
/// Afterwards, how often one is.
const EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Told>);

/// A leaf lock, held for a look.
#[derive(Debug, Default)]
struct Told {
    /// When as many may be told again as at first.
    rested: Option<Instant>,
    since: u64,
}

impl Complaints {
    /// A fetch failed. If that is to be told: how many were not told since the
    /// last one that was.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        let rested = told.rested.map_or(now, |rested| rested.max(now));
        if rested.saturating_duration_since(now) > EVERY * (AT_ONCE - 1) {
            told.since = told.since.saturating_add(1);
            return None;
        }
        told.rested = Some(rested + EVERY);
        Some(std::mem::take(&mut told.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_each_and_of_many_how_many_there_were() {
        let (complaints, now) = (Complaints::default(), Instant::now());
        for _ in 0..AT_ONCE {
            assert_eq!(complaints.due(now), Some(0));
        }
        for _ in 0..3 {
            assert_eq!(complaints.due(now + EVERY / 2), None);
        }
        assert_eq!(complaints.due(now + EVERY), Some(3));
        assert_eq!(complaints.due(now + EVERY), None);
        let later = now + EVERY * 100;
        let told = (0..1_000).filter(|_| complaints.due(later).is_some());
        assert_eq!(told.count(), AT_ONCE as usize);
    }
}
