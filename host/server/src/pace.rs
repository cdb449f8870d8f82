//! How fast something may go on: a rate, and what one party has taken of it.
//!
//! A meter is one moment in time (the generic cell rate algorithm): that at
//! which everything taken so far would be paid for. It needs no timer and no
//! upkeep, and costs a connection 16 bytes; that is why it is written here and
//! not a dependency. Time is passed in, and is monotonic: a changed wall clock
//! changes no rate.

use std::time::{Duration, Instant};

/// How much may be taken in a span, and how much of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    count: usize,
    span: Duration,
    burst: Duration,
}

impl Rate {
    /// `count` units in a `span`; after a rest, `burst` of them at once.
    pub(crate) fn new(count: usize, span: Duration, burst: usize) -> Rate {
        let rate = Rate {
            count: count.max(1),
            span,
            burst: Duration::ZERO,
        };
        Rate {
            burst: rate.price(burst),
            ..rate
        }
    }

    /// How long `units` take at this rate.
    fn price(self, units: usize) -> Duration {
        let nanoseconds = self.span.as_nanos() * units as u128 / self.count as u128;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// What one party has taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    paid_at: Instant,
}

impl Meter {
    /// One that has taken nothing.
    pub(crate) fn new(now: Instant) -> Meter {
        Meter { paid_at: now }
    }

    /// Takes one unit if the rate allows it now.
    pub(crate) fn try_take(&mut self, rate: Rate, now: Instant) -> bool {
        let paid_at = self.paid_at.max(now) + rate.price(1);
        let allowed = paid_at <= now + rate.burst;
        if allowed {
            self.paid_at = paid_at;
        }
        allowed
    }

    /// Whether nothing is owed any more: then a new meter would do as well.
    pub(crate) fn is_paid(&self, now: Instant) -> bool {
        self.paid_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate::new(10, SECOND, 5);
        let now = Instant::now();
        let mut meter = Meter::new(now);
        let taken = |meter: &mut Meter, now| (0..100).filter(|_| meter.try_take(rate, now)).count();
        assert_eq!(taken(&mut meter, now), 5);
        assert_eq!(taken(&mut meter, now + SECOND / 10), 1);
        assert_eq!(
            taken(&mut meter, now + 10 * SECOND),
            5,
            "rest saves no more than a burst"
        );
        assert!(!meter.is_paid(now + 10 * SECOND));
        assert!(meter.is_paid(now + 11 * SECOND));
    }
}
