//! What is counted of the process itself.

use muster_plugin::Metric;

pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        "muster_panics_total",
        "Panics, each of which ended one task; every one is a fault of Muster",
    ),
    Metric::counter(
        "muster_log_lines_lost_total",
        "Lines of the log that could not be written",
    ),
];
