//! What is counted of logins. Who logged in is in no metric.

use muster_plugin::Metric;
use muster_xmpp::sasl::Failure;

pub(super) const METRICS: &[Metric] = &[
    Metric::counter("muster_logins_total", "Ended SASL exchanges, by outcome").by(&["outcome"]),
    Metric::counter(
        "muster_logins_delayed_total",
        "Attempts that waited because their address failed too often",
    ),
    Metric::counter(
        "muster_password_iterations_total",
        "Iterations of PBKDF2 that logins and configured passwords have cost",
    ),
    Metric::counter(
        "muster_token_auth_total",
        "Tokens that came in place of a password, by outcome",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_http_auth_total",
        "Logins that the app was asked about, by outcome",
    )
    .by(&["outcome"]),
];

/// A SASL exchange ended.
pub(crate) fn login(outcome: Result<(), Failure>) {
    let label = match outcome {
        Ok(()) => "success",
        Err(failure) => {
            tracing::info!(%failure, "a login failed");
            failure.name()
        }
    };
    metrics::counter!("muster_logins_total", "outcome" => label).increment(1);
}
