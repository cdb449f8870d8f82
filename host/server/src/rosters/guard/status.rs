//! What the operator is told of a guard.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Guard, Phase};
use crate::config;

/// A guard at one moment.
#[derive(Clone, Debug)]
pub(crate) struct GuardStatus {
    /// `off`, `watching`, `holding` or `released`.
    pub(crate) phase: &'static str,
    /// How long it has been holding.
    pub(crate) holding: Option<Duration>,
    /// How long everything is honoured yet.
    pub(crate) released: Option<Duration>,
    /// Users who lost their contacts within the window, or since it holds.
    pub(crate) drained: usize,
    /// How many of them there may be.
    pub(crate) limit: usize,
    /// Users who are online and have something else than the app says.
    pub(crate) held: usize,
    pub(crate) online: usize,
    /// How often it has begun to hold since the server started.
    pub(crate) trips: u64,
    pub(crate) terms: config::Guard,
}

impl Guard {
    pub(in crate::rosters) fn status(&self, now: Instant) -> GuardStatus {
        let online = self.online();
        let mut policy = self.policy.lock();
        let phase = policy.phase(now);
        GuardStatus {
            phase: match phase {
                _ if !policy.terms().enabled => "off",
                Phase::Watching => "watching",
                Phase::Holding { .. } => "holding",
                Phase::Released { .. } => "released",
            },
            holding: match phase {
                Phase::Holding { since } => Some(now.saturating_duration_since(since)),
                _ => None,
            },
            released: match phase {
                Phase::Released { until } => Some(until.saturating_duration_since(now)),
                _ => None,
            },
            drained: policy.count(),
            limit: policy.limit(online),
            held: self.held.load(Ordering::Relaxed),
            online,
            trips: self.trips.load(Ordering::Relaxed),
            terms: *policy.terms(),
        }
    }
}
