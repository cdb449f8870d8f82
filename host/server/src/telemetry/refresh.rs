//! What is counted of what the app and the operator ask of the server.

use muster_plugin::Metric;

pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        "muster_admin_requests_total",
        "Requests under /roster_admin/, by outcome",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_refreshed_users_total",
        "Distinct users of refreshes, by outcome",
    )
    .by(&["outcome"]),
    Metric::gauge(
        "muster_refresh_requests",
        "Requests under /roster_admin/ that are worked on or wait, by state; without \
         jobs",
    )
    .by(&["state"]),
    Metric::gauge("muster_refresh_jobs", "Jobs that are not finished"),
    Metric::counter("muster_refresh_jobs_total", "Jobs that ended, by outcome").by(&["outcome"]),
    Metric::gauge(
        "muster_refresh_job_listeners",
        "Connections that follow the events of jobs",
    ),
    Metric::counter(
        "muster_idempotent_requests_total",
        "Requests with an Idempotency-Key, by what was known of the key",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_control_requests_total",
        "Requests under /admin/, by operation and outcome",
    )
    .by(&["operation", "outcome"]),
    Metric::counter(
        "muster_shadow_fetches_total",
        "Fetches that a shadow heard of, by what came of them there: same, changed, other, not_recorded, left_out",
    )
    .by(&["vhost", "outcome"]),
    Metric::counter("muster_audits_total", "Audits of contact lists, by whether they were complete or cut short").by(&["outcome"]),
    Metric::counter("muster_audited_users_total", "Users for whom an audit asked the app, by outcome: told, unknown (there is no such user), failed").by(&["outcome"]),
];
