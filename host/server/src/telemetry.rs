//! What the server counts: the recorder, and the meaning of each metric.
//!
//! Owns the names' descriptions; each metric is counted where it happens.
//! Labels never carry usernames. Logs are the command line's affair.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use muster_xmpp::FullJid;
use muster_xmpp::error::StreamCondition;
use muster_xmpp::sasl::Failure;
use muster_xmpp::stanza::StanzaKind;

/// Upper bounds of the latency histograms, in seconds.
const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// Upper bounds of the ages of rosters: a second to a month.
const AGE_BUCKETS: &[f64] = &[
    1.0,
    10.0,
    60.0,
    600.0,
    3_600.0,
    21_600.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
];

/// The process's metrics.
#[derive(Clone)]
pub(crate) struct Metrics(Option<PrometheusHandle>);

impl Metrics {
    /// Installs the recorder, once in the process: several servers in one
    /// process share it. Where an embedding program has installed its own,
    /// the metrics go there and `/metrics` stays empty.
    pub(crate) fn install() -> Metrics {
        static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), LATENCY_BUCKETS)
                .ok()?
                .set_buckets_for_metric(
                    Matcher::Full("muster_roster_age_seconds".to_owned()),
                    AGE_BUCKETS,
                )
                .ok()?;
            let handle = builder.install_recorder().ok()?;
            describe();
            Some(handle)
        });
        Metrics(handle.clone())
    }

    /// The Prometheus text format.
    pub(crate) fn render(&self) -> String {
        self.0
            .as_ref()
            .map(PrometheusHandle::render)
            .unwrap_or_default()
    }

    /// Folds what the histograms have gathered; to be called now and then, so
    /// that they do not grow while nobody asks.
    pub(crate) fn upkeep(&self) {
        if let Some(handle) = &self.0 {
            handle.run_upkeep();
        }
    }
}

/// How often [`Metrics::upkeep`] should run.
pub(crate) const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

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

/// The server ended a client's stream with an error.
pub(crate) fn stream_ended(condition: StreamCondition, jid: Option<&FullJid>) {
    let condition = condition.name();
    match jid {
        Some(jid) => tracing::info!(%jid, condition, "ended a stream"),
        None => tracing::info!(condition, "ended a stream before its login was complete"),
    }
    metrics::counter!("muster_streams_ended_total", "condition" => condition).increment(1);
}

/// A client sent a stanza that is for others.
pub(crate) fn stanza(kind: StanzaKind) {
    metrics::counter!("muster_stanzas_total", "kind" => kind.name()).increment(1);
}

fn describe() {
    muster_plugin::describe_metrics();
    describe_store();
    describe_last_known();
    describe_gauge!("muster_sessions", Unit::Count, "Bound resources");
    describe_counter!(
        "muster_connections_total",
        Unit::Count,
        "Connections accepted, by listener"
    );
    describe_counter!(
        "muster_accept_errors_total",
        Unit::Count,
        "Failures to accept a connection, by listener"
    );
    describe_gauge!(
        "muster_connections",
        Unit::Count,
        "Connections that are open, by kind: streams over whatever transport (xmpp), HTTP"
    );
    describe_counter!(
        "muster_limit_reached_total",
        Unit::Count,
        "What was refused or delayed because a limit was reached, by the limit's key"
    );
    describe_counter!(
        "muster_streams_ended_total",
        Unit::Count,
        "Client streams that the server ended, by stream error condition"
    );
    describe_counter!(
        "muster_stanzas_total",
        Unit::Count,
        "Stanzas from clients that are not for the server itself, by kind"
    );
    describe_counter!(
        "muster_mailbox_overflows_total",
        Unit::Count,
        "Streams given up because too much waited for them"
    );
    describe_gauge!(
        "muster_parked_sessions",
        Unit::Count,
        "Sessions that wait for their client to come back"
    );
    describe_counter!(
        "muster_parked_sessions_expired_total",
        Unit::Count,
        "Sessions whose client did not come back in time"
    );
    describe_counter!(
        "muster_parked_sessions_refused_total",
        Unit::Count,
        "Sessions that ended with their connection because too many waited"
    );
    describe_counter!(
        "muster_resumptions_total",
        Unit::Count,
        "Attempts to go on with a session, by outcome"
    );
    describe_counter!(
        "muster_peers_lost_total",
        Unit::Count,
        "Connections given up in silence, whose session waits"
    );
    describe_counter!(
        "muster_messages_undelivered_total",
        Unit::Count,
        "Messages that a client never got, and no other of its account"
    );
    describe_counter!(
        "muster_service_requests_total",
        Unit::Count,
        "Requests to the server that needed a clock, the disk or other sessions, by kind and outcome"
    );
    describe_counter!(
        "muster_carbons_total",
        Unit::Count,
        "Copies of messages for a user's other resources, by direction"
    );
    describe_counter!(
        "muster_blocked_stanzas_total",
        Unit::Count,
        "Stanzas that a blocklist stopped, by direction as its owner sees it"
    );
    describe_counter!(
        "muster_presences_coalesced_total",
        Unit::Count,
        "Presences that were not written because a newer one of the same resource came before"
    );
    describe_counter!(
        "muster_logins_total",
        Unit::Count,
        "Ended SASL exchanges, by outcome"
    );
    describe_counter!(
        "muster_logins_delayed_total",
        Unit::Count,
        "Attempts that waited because their address failed too often"
    );
    describe_counter!(
        "muster_password_iterations_total",
        Unit::Count,
        "Iterations of PBKDF2 that logins and configured passwords have cost"
    );
    describe_counter!(
        "muster_token_auth_total",
        Unit::Count,
        "Tokens that came in place of a password, by outcome"
    );
    describe_counter!(
        "muster_http_auth_total",
        Unit::Count,
        "Logins that the app was asked about, by outcome"
    );
    describe_counter!(
        "muster_roster_pushes_total",
        Unit::Count,
        "Roster pushes written to clients"
    );
    describe_counter!(
        "muster_roster_contacts_skipped_total",
        Unit::Count,
        "Entries of the app's answers that are not contacts"
    );
    describe_counter!(
        "muster_refreshed_users_total",
        Unit::Count,
        "Distinct users of refreshes, by outcome"
    );
    describe_counter!(
        "muster_admin_requests_total",
        Unit::Count,
        "Requests under /roster_admin/, by outcome"
    );
    describe_refresh();
    describe_counter!(
        "muster_control_requests_total",
        Unit::Count,
        "Requests under /admin/, by operation and outcome"
    );
    describe_counter!(
        "muster_tls_handshakes_total",
        Unit::Count,
        "TLS handshakes, by purpose and outcome"
    );
    describe_gauge!(
        "muster_certificate_expiry_timestamp_seconds",
        Unit::Seconds,
        "When the certificate of a domain ends, in seconds since 1970"
    );
    describe_counter!(
        "muster_certificate_reloads_total",
        Unit::Count,
        "Changed certificates, by whether they were taken"
    );
    describe_counter!(
        "muster_websockets_total",
        Unit::Count,
        "WebSockets that were asked for, by outcome"
    );
    describe_gauge!("muster_bosh_sessions", Unit::Count, "BOSH sessions");
    describe_counter!(
        "muster_bosh_sessions_ended_total",
        Unit::Count,
        "BOSH sessions that ended, by condition"
    );
    describe_counter!(
        "muster_bosh_requests_total",
        Unit::Count,
        "BOSH requests, by outcome"
    );
    describe_counter!(
        "muster_http_connection_errors_total",
        Unit::Count,
        "HTTP connections that ended in an error"
    );
}

fn describe_last_known() {
    describe_counter!(
        "muster_rosters_served_total",
        Unit::Count,
        "Rosters that clients asked for and got, by source: the app, its last answer in memory (cache), the last known one (stale), none in its place (empty)"
    );
    describe_histogram!(
        "muster_roster_age_seconds",
        Unit::Seconds,
        "How long ago the app told or confirmed a last known roster that was given to a client"
    );
    describe_gauge!(
        "muster_rosters_owed",
        Unit::Count,
        "Users who see something else than the app's answer until it answers, by vhost"
    );
    describe_counter!(
        "muster_roster_recoveries_total",
        Unit::Count,
        "Attempts to get a roster that the app owes, by outcome"
    );
    describe_counter!(
        "muster_rosters_kept_total",
        Unit::Count,
        "Last known rosters, by what became of them: kept, evicted, too_large, forgotten, dropped (too many wait), failed, unread"
    );
    describe_counter!(
        "muster_rosters_unreadable_total",
        Unit::Count,
        "Last known rosters that were dropped because they could not be read, by reason"
    );
    describe_gauge!(
        "muster_store_rosters_bytes",
        Unit::Bytes,
        "Last known rosters in the store, of limits.storage.rosters_bytes"
    );
}

fn describe_refresh() {
    describe_gauge!(
        "muster_refresh_requests",
        Unit::Count,
        "Requests under /roster_admin/ that are worked on or wait, by state; without jobs"
    );
    describe_gauge!(
        "muster_refresh_jobs",
        Unit::Count,
        "Jobs that are not finished"
    );
    describe_counter!(
        "muster_refresh_jobs_total",
        Unit::Count,
        "Jobs that ended, by outcome"
    );
    describe_gauge!(
        "muster_refresh_job_listeners",
        Unit::Count,
        "Connections that follow the events of jobs"
    );
    describe_counter!(
        "muster_idempotent_requests_total",
        Unit::Count,
        "Requests with an Idempotency-Key, by what was known of the key"
    );
}

fn describe_store() {
    describe_counter!(
        "muster_offline_messages_total",
        Unit::Count,
        "Messages to users of whom nobody was there, by outcome"
    );
    describe_gauge!(
        "muster_store_available",
        Unit::Count,
        "Whether the store is in service (1) or not (0)"
    );
    describe_gauge!(
        "muster_store_file_bytes",
        Unit::Bytes,
        "Size of the store's file"
    );
    describe_gauge!(
        "muster_store_kept_bytes",
        Unit::Bytes,
        "What the store keeps for users, of limits.storage.total_bytes"
    );
    describe_counter!(
        "muster_store_writes_total",
        Unit::Count,
        "Changes that are durable"
    );
    describe_histogram!(
        "muster_store_commit_seconds",
        Unit::Seconds,
        "Making a group of changes durable"
    );
    describe_counter!(
        "muster_store_refusals_total",
        Unit::Count,
        "Changes that a bound of limits.storage refused, by its key"
    );
    describe_counter!(
        "muster_store_faults_total",
        Unit::Count,
        "Failures of the store's file, by fault"
    );
}

/// The names of the metrics that have a description.
#[cfg(test)]
pub(crate) fn described() -> std::collections::BTreeSet<String> {
    let names = Names::default();
    metrics::with_local_recorder(&names, describe);
    names.0.into_inner()
}

/// A recorder that is told nothing but names.
#[cfg(test)]
#[derive(Default)]
struct Names(parking_lot::Mutex<std::collections::BTreeSet<String>>);

#[cfg(test)]
mod names {
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};

    impl metrics::Recorder for super::Names {
        fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            self.0.lock().insert(name.as_str().to_owned());
        }

        fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            self.0.lock().insert(name.as_str().to_owned());
        }

        fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            self.0.lock().insert(name.as_str().to_owned());
        }

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }
}
