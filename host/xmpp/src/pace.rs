//! How fast something may go on: what one party has taken, measured in the time
//! that it is worth.
//!
//! A meter is one moment (the generic cell rate algorithm): that at which
//! everything taken so far would be paid for. It needs no timer and no upkeep
//! and has the size of an instant; a library's limiter would bring a clock and
//! a state machine of its own. Time is passed in and is monotonic: a changed
//! wall clock changes no rate.

use std::time::{Duration, Instant};

/// How long `units` take at `per_second`; a rate of zero counts as one.
pub fn price(units: usize, per_second: usize) -> Duration {
    let nanoseconds = units as u128 * 1_000_000_000 / per_second.max(1) as u128;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// What one party has taken.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    paid_at: Instant,
}

impl Meter {
    /// One that has taken nothing.
    pub fn new(now: Instant) -> Self {
        Self { paid_at: now }
    }

    /// Takes what is worth `price`, whether it may or not.
    pub fn take(&mut self, price: Duration, now: Instant) {
        let since = self.paid_at.max(now);
        self.paid_at = since.checked_add(price).unwrap_or(since);
    }

    /// Takes what is worth `price` if no more than `burst` is owed then. Tells
    /// whether it did.
    pub fn try_take(&mut self, price: Duration, burst: Duration, now: Instant) -> bool {
        let mut after = *self;
        after.take(price, now);
        let allowed = after.blocked_until(burst, now).is_none();
        if allowed {
            *self = after;
        }
        allowed
    }

    /// When no more than `burst` is owed any longer; `None` if that is so now.
    pub fn blocked_until(&self, burst: Duration, now: Instant) -> Option<Instant> {
        let until = self.paid_at.checked_sub(burst)?;
        (until > now).then_some(until)
    }

    /// Whether nothing is owed: then a new meter would do as well.
    pub fn is_paid(&self, now: Instant) -> bool {
        self.paid_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        let taken = |meter: &mut Meter, now| {
            let attempts = 0..100;
            attempts
                .filter(|_| meter.try_take(price(1, 10), SECOND / 2, now))
                .count()
        };
        assert_eq!(taken(&mut meter, now), 5);
        assert_eq!(taken(&mut meter, now + SECOND / 10), 1);
        let later = now + 10 * SECOND;
        assert_eq!(taken(&mut meter, later), 5, "rest saves a burst, no more");
        assert!(!meter.is_paid(later));
        assert!(meter.is_paid(later + SECOND));
    }

    #[test]
    fn what_is_taken_beyond_the_burst_is_waited_for() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        meter.take(price(300, 100), now);
        assert_eq!(meter.blocked_until(SECOND, now), Some(now + 2 * SECOND));
        assert_eq!(meter.blocked_until(SECOND, now + 2 * SECOND), None);
        assert_eq!(meter.blocked_until(3 * SECOND, now), None);
    }

    #[test]
    fn nothing_overflows() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        for _ in 0..3 {
            meter.take(price(usize::MAX, 0), now);
        }
        assert!(meter.blocked_until(SECOND, now).is_some());
    }
}
