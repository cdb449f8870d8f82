//! What is counted of the guard against mass removal.

use muster_plugin::Metric;

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge(
        "muster_guard_holding",
        "Whether the guard holds the app's answers back (1) or not (0), by vhost",
    )
    .by(&["vhost"]),
    Metric::gauge(
        "muster_guard_held_users",
        "Users who are online and keep their contacts because of the guard, by vhost",
    )
    .by(&["vhost"]),
    Metric::counter(
        "muster_guard_trips_total",
        "Times that the guard began to hold, by vhost",
    )
    .by(&["vhost"]),
    Metric::counter(
        "muster_guard_held_total",
        "Answers of the app that the guard held back, by vhost",
    )
    .by(&["vhost"]),
];
