//! What is counted of connections before anybody has logged in: accepting, limits,
//! TLS and its certificates.

use muster_plugin::Metric;

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge(
        "muster_connections",
        "Connections that are open, by kind: streams over whatever transport (xmpp), \
         HTTP",
    )
    .by(&["kind"]),
    Metric::counter(
        "muster_connections_total",
        "Connections accepted, by listener",
    )
    .by(&["listener"]),
    Metric::counter(
        "muster_accept_errors_total",
        "Failures to accept a connection, by listener",
    )
    .by(&["listener"]),
    Metric::counter(
        "muster_limit_reached_total",
        "What was refused or delayed because a limit was reached, by the limit's key",
    )
    .by(&["limit"]),
    Metric::counter(
        "muster_tls_handshakes_total",
        "TLS handshakes, by purpose and outcome",
    )
    .by(&["purpose", "outcome"]),
    Metric::gauge(
        "muster_certificate_expiry_timestamp_seconds",
        "When the certificate of a domain ends, in seconds since 1970",
    )
    .by(&["domain"]),
    Metric::counter(
        "muster_certificate_reloads_total",
        "Changed certificates, by whether they were taken",
    )
    .by(&["outcome"]),
];
