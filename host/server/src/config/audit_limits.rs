//! `[limits.audit]`: what an audit of contact lists may cost the app and the server.

use std::time::Duration;

use super::reader::Section;

/// For one audit; one of a virtual host runs at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLimits {
    /// Users who are asked for. Default 10,000.
    pub users: usize,
    /// Entries of this domain that are compared. Default 1,000,000.
    pub contacts: usize,
    /// Findings that are listed; the others are counted. Default 10,000.
    pub findings: usize,
    /// Users who are asked for at once. Default 4.
    pub concurrency: usize,
    /// For all of it. Default 10 min.
    pub timeout: Duration,
}

impl AuditLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            users: section.value("users", default.users),
            contacts: section.value("contacts", default.contacts),
            findings: section.value("findings", default.findings),
            concurrency: section.value("concurrency", default.concurrency),
            timeout: section.value("timeout", default.timeout),
        }
    }
}

impl Default for AuditLimits {
    fn default() -> Self {
        Self {
            users: 10_000,
            contacts: 1_000_000,
            findings: 10_000,
            concurrency: 4,
            timeout: Duration::from_secs(600),
        }
    }
}
