//! What is told in the log at most once a minute: who floods the server must
//! not flood its log.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How often at most.
const SECONDS: u64 = 60;

/// One thing that is told rarely.
#[derive(Debug, Default)]
pub(crate) struct Rarely {
    /// When it was told last, in seconds of [`now`]; 0 for never.
    told: AtomicU64,
}

impl Rarely {
    /// Whether to tell it now; who is told so tells it.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due_at(now())
    }

    fn is_due_at(&self, now: u64) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        let due = told == 0 || now.saturating_sub(told) >= SECONDS;
        due && self
            .told
            .compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

/// Seconds since the first call, from 1 on.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute() {
        let rarely = Rarely::default();
        let told: Vec<_> = [1, 1, 60, 61, 120, 121]
            .into_iter()
            .filter(|now| rarely.is_due_at(*now))
            .collect();
        assert_eq!(told, [1, 61, 121]);
    }
}
