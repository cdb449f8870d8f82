//! When a new build has proved itself, and when it has failed.
//!
//! Owns the policy, without I/O and without a clock: each watched call is told
//! to it together with the time. What a failing call means is found out by
//! asking the generation before ([`super::trial`]): only what it does better
//! is the new build's fault.

use tokio::time::Instant;

use super::status::{Phase, RollbackCause};
use crate::settings::Limits;

/// What became of one watched call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observation {
    /// The new build did as well as the one before would have.
    Sound,
    /// It failed by itself, and the one before did not.
    Fault,
    /// It said that the app's answer is no roster, and the one before had one.
    Regression,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Undecided,
    Passed,
    Failed(RollbackCause),
}

/// The first calls of one new build.
#[derive(Debug)]
pub(crate) struct Probation {
    calls_left: usize,
    ends: Instant,
    regressions: usize,
    allowed: usize,
    decided: bool,
}

impl Probation {
    /// `None` if the operator wants none.
    pub(crate) fn begin(limits: &Limits, now: Instant) -> Option<Self> {
        let wanted = limits.probation_calls > 0 && !limits.probation.is_zero();
        wanted.then(|| Self {
            calls_left: limits.probation_calls,
            ends: now + limits.probation,
            regressions: 0,
            allowed: limits.probation_regressions,
            decided: false,
        })
    }

    /// A watched call has ended. The verdict is given once.
    pub(crate) fn observe(&mut self, observation: Observation, now: Instant) -> Verdict {
        if self.decided {
            return Verdict::Undecided;
        }
        self.calls_left = self.calls_left.saturating_sub(1);
        let verdict = match observation {
            Observation::Fault => Verdict::Failed(RollbackCause::Fault),
            Observation::Regression if self.regressions + 1 >= self.allowed => {
                Verdict::Failed(RollbackCause::Regressions)
            }
            _ if self.calls_left == 0 || now >= self.ends => Verdict::Passed,
            _ => Verdict::Undecided,
        };
        self.regressions += usize::from(observation == Observation::Regression);
        self.decided = verdict != Verdict::Undecided;
        verdict
    }

    /// Its time is over, or somebody else has decided. Whether that is news.
    pub(crate) fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.decided, true)
    }

    /// When it is over at the latest.
    pub(crate) fn ends(&self) -> Instant {
        self.ends
    }

    /// For the operator.
    pub(crate) fn phase(&self, now: Instant) -> Phase {
        Phase::Probation {
            calls_left: self.calls_left,
            time_left: self.ends.saturating_duration_since(now),
            regressions: self.regressions,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Observation::{Fault, Regression, Sound};
    use super::Verdict::{Failed, Passed, Undecided};
    use super::*;

    fn limits() -> Limits {
        Limits {
            probation_calls: 5,
            probation: Duration::from_secs(60),
            probation_regressions: 2,
            ..Limits::default()
        }
    }

    #[test]
    fn verdicts_follow_from_what_was_seen() {
        let table: [(&str, &[Observation], Verdict); 7] = [
            ("too early to tell", &[Sound; 4], Undecided),
            ("enough calls", &[Sound; 5], Passed),
            ("a fault", &[Sound, Fault], Failed(RollbackCause::Fault)),
            ("one regression", &[Regression, Sound], Undecided),
            (
                "as many regressions as are too many",
                &[Regression, Sound, Regression],
                Failed(RollbackCause::Regressions),
            ),
            (
                "the last call counts",
                &[Sound, Sound, Sound, Sound, Fault],
                Failed(RollbackCause::Fault),
            ),
            (
                "a single regression does not stand in the way",
                &[Regression, Sound, Sound, Sound, Sound],
                Passed,
            ),
        ];
        for (what, seen, expected) in table {
            let now = Instant::now();
            let mut probation = Probation::begin(&limits(), now).unwrap();
            let verdicts = seen.iter().map(|each| probation.observe(*each, now));
            assert_eq!(verdicts.last(), Some(expected), "{what}");
        }
    }

    #[test]
    fn a_verdict_is_given_once() {
        let now = Instant::now();
        let mut probation = Probation::begin(&limits(), now).unwrap();
        let failed = Failed(RollbackCause::Fault);
        assert_eq!(probation.observe(Fault, now), failed);
        assert_eq!(probation.observe(Fault, now), Undecided);
        assert!(!probation.end());
    }

    #[test]
    fn time_ends_it_as_well() {
        let now = Instant::now();
        let mut probation = Probation::begin(&limits(), now).unwrap();
        let later = now + Duration::from_secs(61);
        assert_eq!(probation.observe(Regression, later), Passed);
        let mut quiet = Probation::begin(&limits(), now).unwrap();
        assert!(quiet.end());
    }

    #[test]
    fn none_is_wanted_without_calls_or_time() {
        let now = Instant::now();
        let none = |limits| Probation::begin(&limits, now).is_none();
        assert!(none(Limits {
            probation_calls: 0,
            ..limits()
        }));
        assert!(none(Limits {
            probation: Duration::ZERO,
            ..limits()
        }));
    }
}
