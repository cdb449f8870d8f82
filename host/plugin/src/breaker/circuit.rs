//! The states of a circuit breaker, without clock, lock or metric.
//!
//! Closed, calls pass and their endings are counted; open, they are refused;
//! when a probe is due one call passes, and its ending decides. Time is passed
//! in. [`super::Breaker`] puts a lock and a clock around it.

use std::time::{Duration, Instant};

use super::window::Window;

/// When a breaker opens, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures within `window` below which it stays closed. Default 5.
    pub failures: u32,
    /// Over how long endings are counted. Default 10 s.
    pub window: Duration,
    /// Of 100 calls, how many have to fail as well. Default 80.
    pub share: u32,
    /// How long it stays open until one call is let through. Default 5 s.
    pub probe_interval: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(10),
            share: 80,
            probe_interval: Duration::from_secs(5),
        }
    }
}

/// What a call showed of what it called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It works, whatever it said.
    Success,
    /// It does not.
    Failure,
    /// The call shows neither: its caller went away, or it was never made.
    Nothing,
}

/// The right to make one call. Comes back to [`Circuit::end`].
#[derive(Debug)]
pub(crate) struct Ticket {
    term: u64,
    number: u64,
}

/// A call may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Until when the next probe is due.
    pub(crate) retry_after: Duration,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// One call is under way to see whether it works; others are refused.
    Probing,
}

impl BreakerState {
    /// The state's name, as in metrics and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

/// A look at a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) state: BreakerState,
    /// How long it is closed, or not closed.
    pub(crate) lasting: Duration,
    pub(crate) ended: u32,
    pub(crate) failed: u32,
    /// Until when a call is let through; nothing while all are.
    pub(crate) next_probe: Option<Duration>,
}

/// A change of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    /// It opened, with so many failures of so many calls.
    Opened { failed: u32, ended: u32 },
    /// A probe begins.
    Probing,
    /// A probe failed, or ended without showing anything.
    OpenAgain,
    /// It closed, after so long.
    Closed { after: Duration },
}

#[derive(Debug)]
pub(crate) struct Circuit {
    policy: BreakerPolicy,
    /// Counts openings and closings: a call that began before the last one
    /// shows nothing of now.
    term: u64,
    since: Instant,
    state: State,
    window: Window,
}

#[derive(Debug)]
enum State {
    Closed(Traffic),
    Tripped {
        /// When the next call passes.
        next_probe: Instant,
        /// Probes under way: more than one only if one outlasts the interval.
        probes: u32,
    },
}

/// The calls under way while the circuit is closed.
///
/// What fails often fails fast. Of 64 calls begun together, those that fail
/// would all have ended before the first success, and of the ended ones every
/// single one would be a failure. So calls that were under way when the first
/// failure came count as undecided, and an undecided one is no failure.
#[derive(Debug, Default)]
struct Traffic {
    /// The number of the next call.
    next: u64,
    under_way: u32,
    /// Calls below this number were begun before the window's first failure.
    mark: u64,
    /// Of those, the ones under way.
    undecided: u32,
}

impl Circuit {
    pub(crate) fn new(policy: BreakerPolicy, now: Instant) -> Self {
        Self {
            policy,
            term: 0,
            since: now,
            state: State::Closed(Traffic::default()),
            window: Window::new(policy.window, now),
        }
    }

    /// Asks for the right to make a call.
    pub(crate) fn admit(&mut self, now: Instant) -> (Result<Ticket, Refused>, Option<Transition>) {
        let term = self.term;
        match &mut self.state {
            State::Closed(traffic) => {
                let number = traffic.next;
                traffic.next += 1;
                traffic.under_way += 1;
                (Ok(Ticket { term, number }), None)
            }
            State::Tripped { next_probe, probes } => {
                let retry_after = next_probe.saturating_duration_since(now);
                if !retry_after.is_zero() {
                    return (Err(Refused { retry_after }), None);
                }
                // A probe that does not end must not be the last one.
                *next_probe = now + self.policy.probe_interval;
                *probes += 1;
                let begins = (*probes == 1).then_some(Transition::Probing);
                (Ok(Ticket { term, number: 0 }), begins)
            }
        }
    }

    /// Takes a call's ending.
    pub(crate) fn end(
        &mut self,
        ticket: &Ticket,
        verdict: Verdict,
        now: Instant,
    ) -> Option<Transition> {
        if ticket.term != self.term {
            return None;
        }
        match &mut self.state {
            State::Closed(traffic) => {
                traffic.leave(ticket);
                match verdict {
                    Verdict::Nothing => None,
                    Verdict::Success => {
                        self.window.count(0, now);
                        None
                    }
                    Verdict::Failure => self.fail(now),
                }
            }
            State::Tripped { next_probe, probes } => {
                *probes = probes.saturating_sub(1);
                match verdict {
                    Verdict::Success => return self.close(now),
                    Verdict::Failure => *next_probe = now + self.policy.probe_interval,
                    // Nothing is known yet: the next call is the probe.
                    Verdict::Nothing if *probes == 0 => *next_probe = now,
                    Verdict::Nothing => {}
                }
                (*probes == 0).then_some(Transition::OpenAgain)
            }
        }
    }

    /// Closes it and forgets what was counted, calls under way included.
    pub(crate) fn reset(&mut self, now: Instant) -> Option<Transition> {
        match self.state {
            State::Tripped { .. } => self.close(now),
            State::Closed(_) => {
                self.begin_closed_term(now);
                None
            }
        }
    }

    pub(crate) fn glance(&mut self, now: Instant) -> Glance {
        let counts = self.window.counts(now);
        let (state, next_probe) = match &self.state {
            State::Closed(_) => (BreakerState::Closed, None),
            State::Tripped { next_probe, probes } => {
                let state = match probes {
                    0 => BreakerState::Open,
                    _ => BreakerState::Probing,
                };
                (state, Some(next_probe.saturating_duration_since(now)))
            }
        };
        Glance {
            state,
            lasting: now.saturating_duration_since(self.since),
            ended: counts.ended,
            failed: counts.failed,
            next_probe,
        }
    }

    /// A call failed while the circuit was closed.
    fn fail(&mut self, now: Instant) -> Option<Transition> {
        let State::Closed(traffic) = &mut self.state else {
            return None;
        };
        if self.window.counts(now).failed == 0 {
            traffic.mark = traffic.next;
            traffic.undecided = traffic.under_way;
        }
        self.window.count(1, now);
        let counts = self.window.counts(now);
        let known = u64::from(counts.ended) + u64::from(traffic.undecided);
        let enough = u64::from(counts.failed) * 100 >= known * u64::from(self.policy.share);
        if counts.failed < self.policy.failures || !enough {
            return None;
        }
        self.term += 1;
        self.since = now;
        self.state = State::Tripped {
            next_probe: now + self.policy.probe_interval,
            probes: 0,
        };
        Some(Transition::Opened {
            failed: counts.failed,
            ended: counts.ended,
        })
    }

    fn close(&mut self, now: Instant) -> Option<Transition> {
        let after = now.saturating_duration_since(self.since);
        self.begin_closed_term(now);
        self.since = now;
        Some(Transition::Closed { after })
    }

    fn begin_closed_term(&mut self, now: Instant) {
        self.term += 1;
        self.state = State::Closed(Traffic::default());
        self.window = Window::new(self.policy.window, now);
    }
}

impl Traffic {
    fn leave(&mut self, ticket: &Ticket) {
        self.under_way = self.under_way.saturating_sub(1);
        if ticket.number < self.mark {
            self.undecided = self.undecided.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
