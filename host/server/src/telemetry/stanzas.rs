//! What is counted of stanzas: on their way from one session to others, or answered
//! by the server.

use std::sync::LazyLock;

use metrics::Counter;
use muster_plugin::Metric;
use muster_xmpp::stanza::StanzaKind;

const STANZAS: &str = "muster_stanzas_total";

pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        STANZAS,
        "Stanzas from clients that are not for the server itself, by kind",
    )
    .by(&["kind"]),
    Metric::counter(
        "muster_messages_undelivered_total",
        "Messages that a client never got, and no other of its account",
    ),
    Metric::counter(
        "muster_offline_messages_total",
        "Messages to users of whom nobody was there, by outcome",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_carbons_total",
        "Copies of messages for a user's other resources, by direction",
    )
    .by(&["direction"]),
    Metric::counter(
        "muster_blocked_stanzas_total",
        "Stanzas that a blocklist stopped, by direction as its owner sees it",
    )
    .by(&["direction"]),
    Metric::counter(
        "muster_service_requests_total",
        "Requests to the server that needed a clock, the disk or other sessions, by \
         kind and outcome",
    )
    .by(&["request", "outcome"]),
];

/// A client sent a stanza that is for others. Looked up once: it is counted
/// for every one of them.
pub(crate) fn stanza(kind: StanzaKind) {
    static MESSAGES: LazyLock<Counter> = LazyLock::new(|| of(StanzaKind::Message));
    static PRESENCES: LazyLock<Counter> = LazyLock::new(|| of(StanzaKind::Presence));
    static IQS: LazyLock<Counter> = LazyLock::new(|| of(StanzaKind::Iq));
    match kind {
        StanzaKind::Message => &MESSAGES,
        StanzaKind::Presence => &PRESENCES,
        StanzaKind::Iq => &IQS,
    }
    .increment(1);
}

fn of(kind: StanzaKind) -> Counter {
    metrics::counter!(STANZAS, "kind" => kind.name())
}
