//! The limits at which the server refuses or waits: one counter for all of
//! them, and a word in the log.
//!
//! Owns their names, which are the keys of the configuration. Does not enforce
//! any; whoever does says [`Limit::reached`]. Limits whose reaching ends a
//! stream or fails a call are counted where that is counted (`docs/limits.md`
//! has all of them).

use std::time::{Duration, Instant};

use muster_xmpp::session::Reached;
use parking_lot::Mutex;

/// A limit that can be reached without anybody's fault being told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    XmppConnections,
    XmppConnectionsPerAddress,
    XmppConnectsPerMinute,
    XmppUnauthenticated,
    XmppRateBeforeAuth,
    XmppRateAfterAuth,
    XmppSessionsPerMinute,
    XmppResourcesPerUser,
    XmppHeldStanzas,
    HttpConnections,
    HttpConnectionsPerAddress,
    HttpConnectsPerMinute,
    HttpHeaderTimeout,
    HttpBodyBytes,
    HttpBodyTimeout,
    HttpNames,
    BoshBodyBytes,
    RefreshConcurrency,
    RefreshWaitingFetches,
    RefreshRequests,
    RefreshWaiting,
    RefreshWaitTimeout,
    RefreshJobs,
    RefreshRunningJobs,
    RefreshFinishedJobs,
    RefreshFinishedBytes,
    RefreshListeners,
    RefreshIdempotencyKeys,
    RefreshIdempotencyKeyBytes,
    RefreshIdempotencyBytes,
    RefreshDryRunContacts,
    AuditUsers,
    AuditContacts,
    AuditFindings,
    PluginRecordBytes,
    PluginShadowWaiting,
    PluginShadowUsers,
    PluginShadowUploadTimeout,
}

/// How often one limit is told in the log at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

impl Limit {
    /// Every limit, in the order of the declaration.
    pub(crate) const ALL: [Limit; 38] = [
        Limit::XmppConnections,
        Limit::XmppConnectionsPerAddress,
        Limit::XmppConnectsPerMinute,
        Limit::XmppUnauthenticated,
        Limit::XmppRateBeforeAuth,
        Limit::XmppRateAfterAuth,
        Limit::XmppSessionsPerMinute,
        Limit::XmppResourcesPerUser,
        Limit::XmppHeldStanzas,
        Limit::HttpConnections,
        Limit::HttpConnectionsPerAddress,
        Limit::HttpConnectsPerMinute,
        Limit::HttpHeaderTimeout,
        Limit::HttpBodyBytes,
        Limit::HttpBodyTimeout,
        Limit::HttpNames,
        Limit::BoshBodyBytes,
        Limit::RefreshConcurrency,
        Limit::RefreshWaitingFetches,
        Limit::RefreshRequests,
        Limit::RefreshWaiting,
        Limit::RefreshWaitTimeout,
        Limit::RefreshJobs,
        Limit::RefreshRunningJobs,
        Limit::RefreshFinishedJobs,
        Limit::RefreshFinishedBytes,
        Limit::RefreshListeners,
        Limit::RefreshIdempotencyKeys,
        Limit::RefreshIdempotencyKeyBytes,
        Limit::RefreshIdempotencyBytes,
        Limit::RefreshDryRunContacts,
        Limit::AuditUsers,
        Limit::AuditContacts,
        Limit::AuditFindings,
        Limit::PluginRecordBytes,
        Limit::PluginShadowWaiting,
        Limit::PluginShadowUsers,
        Limit::PluginShadowUploadTimeout,
    ];

    /// Its key in the configuration.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Limit::XmppConnections => "limits.xmpp.connections",
            Limit::XmppConnectionsPerAddress => "limits.xmpp.connections_per_address",
            Limit::XmppConnectsPerMinute => "limits.xmpp.connects_per_minute",
            Limit::XmppUnauthenticated => "limits.xmpp.unauthenticated",
            Limit::XmppRateBeforeAuth => "limits.xmpp.before_auth.burst",
            Limit::XmppRateAfterAuth => "limits.xmpp.after_auth.burst",
            Limit::XmppSessionsPerMinute => "limits.xmpp.sessions_per_minute",
            Limit::XmppResourcesPerUser => "limits.xmpp.resources_per_user",
            Limit::XmppHeldStanzas => "limits.xmpp.held_stanzas",
            Limit::HttpConnections => "limits.http.connections",
            Limit::HttpConnectionsPerAddress => "limits.http.connections_per_address",
            Limit::HttpConnectsPerMinute => "limits.http.connects_per_minute",
            Limit::HttpHeaderTimeout => "limits.http.header_timeout",
            Limit::HttpBodyBytes => "limits.http.body_bytes",
            Limit::HttpBodyTimeout => "limits.http.body_timeout",
            Limit::HttpNames => "limits.http.names",
            Limit::BoshBodyBytes => "limits.bosh.body_bytes",
            Limit::RefreshConcurrency => "limits.refresh.concurrency",
            Limit::RefreshWaitingFetches => "limits.refresh.waiting_fetches",
            Limit::RefreshRequests => "limits.refresh.requests",
            Limit::RefreshWaiting => "limits.refresh.waiting",
            Limit::RefreshWaitTimeout => "limits.refresh.wait_timeout",
            Limit::RefreshJobs => "limits.refresh.jobs",
            Limit::RefreshRunningJobs => "limits.refresh.running_jobs",
            Limit::RefreshFinishedJobs => "limits.refresh.finished_jobs",
            Limit::RefreshFinishedBytes => "limits.refresh.finished_bytes",
            Limit::RefreshListeners => "limits.refresh.listeners",
            Limit::RefreshIdempotencyKeys => "limits.refresh.idempotency_keys",
            Limit::RefreshIdempotencyKeyBytes => "limits.refresh.idempotency_key_bytes",
            Limit::RefreshIdempotencyBytes => "limits.refresh.idempotency_bytes",
            Limit::RefreshDryRunContacts => "limits.refresh.dry_run_contacts",
            Limit::AuditUsers => "limits.audit.users",
            Limit::AuditContacts => "limits.audit.contacts",
            Limit::AuditFindings => "limits.audit.findings",
            Limit::PluginRecordBytes => "limits.plugin.record_bytes",
            Limit::PluginShadowWaiting => "limits.plugin.shadow.waiting",
            Limit::PluginShadowUsers => "limits.plugin.shadow.users",
            Limit::PluginShadowUploadTimeout => "limits.plugin.shadow.upload_timeout",
        }
    }

    /// Counts that the limit was reached, and tells it in the log unless that
    /// was done a moment ago: who floods the server must not flood its log.
    pub(crate) fn reached(self) {
        metrics::counter!("muster_limit_reached_total", "limit" => self.key()).increment(1);
        if !self.is_ordinary() && is_due(self, Instant::now()) {
            tracing::warn!(
                limit = self.key(),
                "a limit is reached; told once a minute, counted in muster_limit_reached_total"
            );
        }
    }

    /// Whether it is reached in the course of things, and nobody has to hear
    /// of it.
    const fn is_ordinary(self) -> bool {
        matches!(
            self,
            Limit::XmppHeldStanzas
                | Limit::RefreshConcurrency
                | Limit::RefreshRequests
                | Limit::RefreshRunningJobs
                | Limit::RefreshFinishedJobs
                | Limit::RefreshFinishedBytes
                | Limit::RefreshIdempotencyKeys
                | Limit::RefreshIdempotencyKeyBytes
                | Limit::RefreshIdempotencyBytes
                | Limit::RefreshDryRunContacts
                | Limit::AuditUsers
                | Limit::AuditContacts
                | Limit::AuditFindings
                | Limit::PluginRecordBytes
                | Limit::PluginShadowWaiting
                | Limit::PluginShadowUsers
        )
    }
}

impl From<Reached> for Limit {
    fn from(limit: Reached) -> Limit {
        match limit {
            Reached::RateBeforeAuth => Limit::XmppRateBeforeAuth,
            Reached::RateAfterAuth => Limit::XmppRateAfterAuth,
            Reached::HeldStanzas => Limit::XmppHeldStanzas,
        }
    }
}

fn is_due(limit: Limit, now: Instant) -> bool {
    /// A leaf lock, held for a look.
    static TOLD: Mutex<[Option<Instant>; Limit::ALL.len()]> = Mutex::new([None; Limit::ALL.len()]);
    let mut told = TOLD.lock();
    let Some(last) = told.get_mut(limit as usize) else {
        return true;
    };
    let due = last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_EVERY);
    if due {
        *last = Some(now);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_order() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index, "{limit:?}");
        }
    }

    #[test]
    fn the_log_hears_of_a_limit_once_a_minute() {
        // One that nobody tells otherwise.
        let (limit, now) = (Limit::RefreshConcurrency, Instant::now());
        assert!(is_due(limit, now));
        assert!(!is_due(limit, now + LOG_EVERY / 2));
        assert!(is_due(limit, now + LOG_EVERY));
    }
}
