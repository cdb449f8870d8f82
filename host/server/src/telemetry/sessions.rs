//! What is counted of bound resources and of their streams.

use std::sync::LazyLock;

use metrics::Counter;
use muster_plugin::Metric;
use muster_xmpp::FullJid;
use muster_xmpp::error::StreamCondition;

const SESSIONS: &str = "muster_sessions";
const COALESCED: &str = "muster_presences_coalesced_total";

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge(
        SESSIONS,
        "Bound resources, by what carries their stream: tcp, tls, websocket, bosh, or \
         nothing at the moment (parked)",
    )
    .by(&["transport"]),
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
        COALESCED,
        "Presences that were not written because a newer one of the same resource \
         came before",
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

/// A bound resource, counted by what carries its stream, for as long as it does.
#[derive(Debug)]
pub(crate) struct Carried(&'static str);

impl Carried {
    /// By a transport of this name.
    pub(crate) fn by(transport: &'static str) -> Carried {
        metrics::gauge!(SESSIONS, "transport" => transport).increment(1);
        Carried(transport)
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        metrics::gauge!(SESSIONS, "transport" => self.0).decrement(1);
    }
}

/// A presence gave way to a newer one. Looked up once: it happens under load.
pub(crate) fn presence_coalesced() {
    static COUNTER: LazyLock<Counter> = LazyLock::new(|| metrics::counter!(COALESCED));
    COUNTER.increment(1);
}
