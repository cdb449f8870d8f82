//! The limits of the configuration, as the rooms below take them.

use muster_xmpp::limits;

use crate::admission::AdmissionLimits;
use crate::config::{self, Config};
use crate::descriptors::{self, Share};

pub(super) fn stream_limits(limits: &config::XmppLimits) -> limits::Limits {
    let stanza = |limits: config::StanzaLimits| limits::StanzaLimits {
        bytes: limits.bytes,
        elements: limits.elements,
        depth: limits.depth,
    };
    let rate = |limits: config::RateLimits| limits::RateLimits {
        bytes_per_second: limits.bytes_per_second,
        stanzas_per_second: limits.stanzas_per_second,
        burst: limits.burst,
    };
    limits::Limits {
        before_auth: stanza(limits.before_auth),
        after_auth: stanza(limits.after_auth),
        rate_before_auth: rate(limits.rate_before_auth),
        rate_after_auth: rate(limits.rate_after_auth),
        attributes: limits.attributes,
        auth_timeout: limits.auth_timeout,
        unacknowledged_stanzas: limits.mailbox_messages,
        unacknowledged_bytes: limits.mailbox_bytes,
        held_stanzas: limits.held_stanzas,
        idle_ping: limits.idle_ping,
        ping_timeout: limits.ping_timeout,
        ..limits::Limits::default()
    }
}

/// Lowers the numbers of connections to what the process may have.
pub(super) fn fit_descriptors(config: &mut Config) {
    let limits = &mut config.limits;
    let configured = Share {
        xmpp: limits.xmpp.connections,
        http: limits.http.connections,
    };
    let outgoing = limits
        .refresh
        .concurrency
        .saturating_mul(config.virtual_hosts.len());
    let share = descriptors::fit(configured, outgoing);
    limits.xmpp.connections = share.xmpp;
    limits.http.connections = share.http;
}

pub(super) fn xmpp_admission(limits: &config::XmppLimits) -> AdmissionLimits {
    AdmissionLimits {
        connections: limits.connections,
        per_address: limits.connections_per_address,
        per_minute: limits.connects_per_minute,
        unauthenticated: limits.unauthenticated,
    }
}

pub(super) fn http_admission(limits: &config::HttpLimits) -> AdmissionLimits {
    AdmissionLimits {
        connections: limits.connections,
        per_address: limits.connections_per_address,
        per_minute: limits.connects_per_minute,
        unauthenticated: limits.connections,
    }
}
