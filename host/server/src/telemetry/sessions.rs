//! What is counted of bound resources and of their streams.

use muster_plugin::Metric;
use muster_xmpp::FullJid;
use muster_xmpp::error::StreamCondition;

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge("muster_sessions", "Bound resources"),
    Metric::counter(
        "muster_streams_ended_total",
        "Client streams that the server ended, by stream error condition",
    )
    .by(&["condition"]),
    Metric::counter(
        "muster_mailbox_overflows_total",
        "Streams given up because too much waited for them",
    ),
    Metric::counter(
        "muster_presences_coalesced_total",
        "Presences that were not written because a newer one of the same resource came before",
    ),
    Metric::gauge(
        "muster_parked_sessions",
        "Sessions that wait for their client to come back",
    ),
    Metric::counter(
        "muster_parked_sessions_expired_total",
        "Sessions whose client did not come back in time",
    ),
    Metric::counter(
        "muster_parked_sessions_refused_total",
        "Sessions that ended with their connection because too many waited",
    ),
    Metric::counter(
        "muster_resumptions_total",
        "Attempts to go on with a session, by outcome",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_peers_lost_total",
        "Connections given up in silence, whose session waits",
    ),
];

/// The server ended a client's stream with an error.
pub(crate) fn stream_ended(condition: StreamCondition, jid: Option<&FullJid>) {
    let condition = condition.name();
    match jid {
        Some(jid) => tracing::info!(%jid, condition, "ended a stream"),
        None => tracing::info!(condition, "ended a stream before its login was complete"),
    }
    metrics::counter!("muster_streams_ended_total", "condition" => condition).increment(1);
}
