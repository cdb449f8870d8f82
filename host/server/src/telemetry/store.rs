//! What is counted of the store.

use muster_plugin::Metric;

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge(
        "muster_store_available",
        "Whether the store is in service (1) or not (0)",
    ),
    Metric::gauge("muster_store_file_bytes", "Size of the store's file"),
    Metric::gauge(
        "muster_store_kept_bytes",
        "What the store keeps for users, of limits.storage.total_bytes",
    ),
    Metric::gauge(
        "muster_store_rosters_bytes",
        "Last known rosters in the store, of limits.storage.rosters_bytes",
    ),
    Metric::counter("muster_store_writes_total", "Changes that are durable"),
    Metric::histogram(
        "muster_store_commit_seconds",
        "Making a group of changes durable",
    ),
    Metric::counter(
        "muster_store_refusals_total",
        "Changes that a bound of limits.storage refused, by its key",
    )
    .by(&["limit"]),
    Metric::counter(
        "muster_store_faults_total",
        "Failures of the store's file, by fault",
    )
    .by(&["fault"]),
];
