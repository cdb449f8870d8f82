//! `[limits.plugin.breaker]` and `[limits.backend.breaker]`: when what fails again and again is left
//! alone for a while.

use std::time::Duration;

use super::reader::Section;

/// When a circuit breaker opens, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Failures within `window` below which it stays closed. Default 5.
    pub failures: usize,
    /// Over how long calls are counted. Default 10 s.
    pub window: Duration,
    /// Of 100 calls, how many have to fail as well. At most 100. Default 80.
    pub share: usize,
    /// How long nothing is tried once it is open; then one call is. Default 5 s.
    pub probe_interval: Duration,
}

impl BreakerLimits {
    /// What the section says, and what `base` says of the keys that it leaves out.
    pub(super) fn read(section: &mut Section<'_>, base: Self) -> Self {
        Self {
            failures: section.value("failures", base.failures),
            window: section.value("window", base.window),
            share: section.at_most("share", base.share, 100),
            probe_interval: section.value("probe_interval", base.probe_interval),
        }
    }
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(10),
            share: 80,
            probe_interval: Duration::from_secs(5),
        }
    }
}
