//! What is counted of HTTP connections and of the web clients on them.

use muster_plugin::Metric;

pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        "muster_websockets_total",
        "WebSockets that were asked for, by outcome",
    )
    .by(&["outcome"]),
    Metric::gauge("muster_bosh_sessions", "BOSH sessions"),
    Metric::counter(
        "muster_bosh_sessions_ended_total",
        "BOSH sessions that ended, by condition",
    )
    .by(&["condition"]),
    Metric::counter("muster_bosh_requests_total", "BOSH requests, by outcome").by(&["outcome"]),
    Metric::counter(
        "muster_http_connection_errors_total",
        "HTTP connections that ended in an error",
    ),
];
