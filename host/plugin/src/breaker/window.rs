//! How the calls of the last moments ended: counts over a window that slides.
//!
//! Owns the forgetting. The window moves in tenths of itself, so what counts is
//! the last nine to ten tenths; that costs ten pairs of numbers instead of a
//! memory of every call.

use std::time::{Duration, Instant};

const SLICES: u32 = 10;

/// Counts of one tenth, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Calls that ended and say something of what they called.
    pub(super) ended: u32,
    /// Those of them that failed.
    pub(super) failed: u32,
}

#[derive(Debug)]
pub(super) struct Window {
    slice: Duration,
    /// The newest first.
    slices: [Counts; SLICES as usize],
    /// When the newest began.
    began: Instant,
}

impl Window {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        Self {
            // A nanosecond, so that there is something to divide by.
            slice: (length / SLICES).max(Duration::from_nanos(1)),
            slices: [Counts::default(); SLICES as usize],
            began: now,
        }
    }

    pub(super) fn count(&mut self, failed: u32, now: Instant) {
        self.slide(now);
        if let Some(newest) = self.slices.first_mut() {
            newest.ended = newest.ended.saturating_add(1);
            newest.failed = newest.failed.saturating_add(failed);
        }
    }

    /// What the window holds at `now`.
    pub(super) fn counts(&mut self, now: Instant) -> Counts {
        self.slide(now);
        let sum = |sum: Counts, slice: &Counts| Counts {
            ended: sum.ended.saturating_add(slice.ended),
            failed: sum.failed.saturating_add(slice.failed),
        };
        self.slices.iter().fold(Counts::default(), sum)
    }

    fn slide(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.began);
        let passed = late.as_nanos() / self.slice.as_nanos();
        let Some(passed) = u32::try_from(passed).ok().filter(|it| *it < SLICES) else {
            self.slices.fill(Counts::default());
            self.began = now;
            return;
        };
        self.slices.rotate_right(passed as usize);
        for fresh in self.slices.iter_mut().take(passed as usize) {
            *fresh = Counts::default();
        }
        self.began += self.slice * passed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let start = Instant::now();
        let at = |tenths: u32| start + Duration::from_secs(1) * tenths;
        let mut window = Window::new(Duration::from_secs(10), start);
        for tenth in 0..10 {
            window.count(tenth % 2, at(tenth));
        }
        let full = Counts {
            ended: 10,
            failed: 5,
        };
        assert_eq!(window.counts(at(9)), full);
        assert_eq!(window.counts(at(10)).ended, 9);
        assert_eq!(window.counts(at(12)).ended, 7);
        assert_eq!(window.counts(at(18)).ended, 1);
        assert_eq!(window.counts(at(19)), Counts::default());
        window.count(1, at(1_000_000));
        assert_eq!(window.counts(at(1_000_000)).failed, 1);
        // A clock that stands still, or seems to go back, loses nothing.
        assert_eq!(window.counts(at(3)).failed, 1);
    }

    #[test]
    fn the_shortest_window_is_no_division_by_nothing() {
        let now = Instant::now();
        let mut window = Window::new(Duration::from_nanos(3), now);
        window.count(1, now);
        assert_eq!(window.counts(now).failed, 1);
        assert_eq!(window.counts(now + Duration::from_secs(1)).failed, 0);
    }
}
