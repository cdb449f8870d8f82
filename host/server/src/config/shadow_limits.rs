//! `[limits.plugin.shadow]`: what another build beside the one that serves may cost.
//!
//! Its memory has the bound of recordings, `limits.plugin.record_bytes`.

use std::time::Duration;

use super::quantity::Written;
use super::reader::Section;

/// What a shadow may cost; one at a time for a virtual host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShadowLimits {
    /// Fetches that wait for it; it makes them one by one, and what comes faster is left out.
    /// Default 256.
    pub waiting: usize,
    /// Users of whom differences are kept. Default 1,000.
    pub users: usize,
    /// How long one runs at most, whatever was asked for. At least 1 s. Default 24 h.
    pub time: Duration,
    /// Until the component has arrived; one of some megabytes may come over a slow network.
    /// Default 5 min.
    pub upload_timeout: Duration,
}

/// A shadow is asked for by the second.
const SHORTEST: Duration = Duration::from_secs(1);

impl ShadowLimits {
    /// What the section says, and what `base` says of the keys that it leaves out.
    pub(super) fn read(section: &mut Section<'_>, base: Self) -> Self {
        Self {
            waiting: section.value("waiting", base.waiting),
            users: section.value("users", base.users),
            time: section
                .at_least("time", Written(base.time), Written(SHORTEST))
                .0,
            upload_timeout: section.value("upload_timeout", base.upload_timeout),
        }
    }
}

impl Default for ShadowLimits {
    fn default() -> Self {
        Self {
            waiting: 256,
            users: 1_000,
            time: Duration::from_secs(24 * 3_600),
            upload_timeout: Duration::from_secs(300),
        }
    }
}
