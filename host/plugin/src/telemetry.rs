//! Names of metrics, in one place. Labels never carry usernames.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge, histogram};

use crate::egress::Denial;
use crate::limit::Limit;
use crate::load::{InUse, Load};
use crate::metric::Metric;
use crate::rarely::Rarely;
use crate::roster::PluginFault;
use crate::swap::{RollbackCause, RolledBack};
use crate::worker::DrainEnd;

const CALLS: &str = "muster_plugin_calls_total";
const CALL_SECONDS: &str = "muster_plugin_call_seconds";
const TRAPS: &str = "muster_plugin_traps_total";
const RETRIES: &str = "muster_plugin_retries_total";
const STORES: &str = "muster_plugin_stores_total";
const SWAPS: &str = "muster_plugin_swaps_total";
const ROLLBACKS: &str = "muster_plugin_rollbacks_total";
const CACHE_BYTES: &str = "muster_plugin_cache_bytes";
const CACHE: &str = "muster_plugin_cache_total";
const COMPILE_SECONDS: &str = "muster_plugin_compile_seconds";
const DRAINS: &str = "muster_plugin_drains_total";
const EGRESS: &str = "muster_egress_requests_total";
const EGRESS_SECONDS: &str = "muster_egress_request_seconds";
const EGRESS_DENIED: &str = "muster_egress_denied_total";
const EGRESS_CONNECTIONS: &str = "muster_egress_connections_total";
const EGRESS_CONNECT_FAILURES: &str = "muster_egress_connect_failures_total";
const EGRESS_REDIRECTS: &str = "muster_egress_redirects_total";
const EGRESS_RESTS: &str = "muster_egress_rests_total";
const EGRESS_RESTED: &str = "muster_egress_rested_total";
const EGRESS_RETRIES: &str = "muster_egress_retries_total";
const EGRESS_RENEWALS: &str = "muster_egress_renewals_total";
const LIMITS: &str = "muster_plugin_limit_reached_total";
const BREAKER_STATE: &str = "muster_breaker_state";
const BREAKER_TRANSITIONS: &str = "muster_breaker_transitions_total";
const BREAKER_REFUSED: &str = "muster_breaker_refused_total";

/// What is counted of plugins, their sandboxes and their builds.
pub const METRICS: &[Metric] = &[
    Metric::counter(CALLS, "Calls of a plugin's exports").by(&["vhost", "op", "outcome"]),
    Metric::histogram(
        CALL_SECONDS,
        "Wall time of a call, waiting for a store included",
    )
    .by(&["vhost", "op", "outcome"]),
    Metric::counter(TRAPS, "Stores lost to a trap or a limit").by(&["vhost", "kind"]),
    Metric::counter(RETRIES, "Fetches tried again after a trap").by(&["vhost"]),
    Metric::counter(STORES, "Stores made, by what for").by(&["vhost", "purpose"]),
    Metric::counter(
        LIMITS,
        "Limits that a plugin or its app reached, by the limit's key",
    )
    .by(&["vhost", "limit"]),
    Metric::counter(
        SWAPS,
        "New builds of a plugin, by what became of them: swapped, unchanged, or why \
         they were refused",
    )
    .by(&["vhost", "outcome"]),
    Metric::counter(
        ROLLBACKS,
        "Builds of a plugin that were given up for the one before, by cause",
    )
    .by(&["vhost", "cause"]),
    Metric::counter(
        DRAINS,
        "Replaced generations of a plugin, by whether their calls finished in time",
    )
    .by(&["vhost", "outcome"]),
    Metric::counter(
        CACHE,
        "Looks for compiled components that were kept, by outcome",
    )
    .by(&["outcome"]),
    Metric::gauge(
        CACHE_BYTES,
        "Size of the compiled components that are kept, of limits.plugin.cache_bytes",
    ),
    Metric::histogram(
        COMPILE_SECONDS,
        "Compiling a component, whatever came of it",
    ),
    Metric::gauge(
        BREAKER_STATE,
        "Whether a circuit breaker lets calls pass: closed (0), open (1), probing (2)",
    )
    .by(&["vhost", "breaker"]),
    Metric::counter(
        BREAKER_TRANSITIONS,
        "Changes of a circuit breaker's state, by the state that it came to",
    )
    .by(&["vhost", "breaker", "to"]),
    Metric::counter(BREAKER_REFUSED, "Calls that a circuit breaker refused")
        .by(&["vhost", "breaker"]),
];

/// What is counted of their requests to apps.
pub const EGRESS_METRICS: &[Metric] = &[
    Metric::counter(EGRESS, "Requests of plugins to apps").by(&["vhost", "outcome"]),
    Metric::histogram(EGRESS_SECONDS, "Time until an app's response began")
        .by(&["vhost", "outcome"]),
    Metric::counter(EGRESS_DENIED, "Requests refused at the gate").by(&["vhost", "reason"]),
    Metric::counter(EGRESS_CONNECTIONS, "Connections opened to apps").by(&["vhost"]),
    Metric::counter(
        EGRESS_CONNECT_FAILURES,
        "Connections to apps that did not come about, by reason",
    )
    .by(&["vhost", "reason"]),
    Metric::counter(EGRESS_REDIRECTS, "Redirects of apps that were followed").by(&["vhost"]),
    Metric::counter(
        EGRESS_RESTS,
        "Answers of apps, and of plugins that are handlers, that asked to be left alone for a while (Retry-After)",
    )
    .by(&["vhost"]),
    Metric::counter(
        EGRESS_RESTED,
        "Requests, and fetches of a handler, that came while who was asked was left alone, by what became of them: waited, refused",
    )
    .by(&["vhost", "outcome"]),
    Metric::counter(
        EGRESS_RETRIES,
        "Requests to apps that were made once more after a failure, by reason",
    )
    .by(&["vhost", "reason"]),
    Metric::counter(
        EGRESS_RENEWALS,
        "Changes of secrets and certificates towards apps that were taken",
    )
    .by(&["vhost"]),
];

/// A look into the cache has found something, or not.
pub(crate) fn cached(outcome: &'static str) {
    counter!(CACHE, "outcome" => outcome).increment(1);
}

/// So large are the files of the cache.
pub(crate) fn cache_bytes(bytes: u64) {
    gauge!(CACHE_BYTES).set(bytes as f64);
}

/// A component was compiled, or refused by the compiler.
pub(crate) fn compiled(took: Duration) {
    histogram!(COMPILE_SECONDS).record(took.as_secs_f64());
}

/// What is counted for one plugin. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Meter(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    vhost: String,
    /// What was told in the log of each limit, in the order of [`Limit::ALL`].
    limits: [Rarely; Limit::ALL.len()],
    denial: Rarely,
    connect: Rarely,
    in_use: Arc<InUse>,
    rest: Rarely,
    /// The largest linear memory of a store so far, in bytes.
    memory: AtomicUsize,
}

impl Meter {
    pub(crate) fn new(vhost: &str) -> Self {
        Self(Arc::new(Counted {
            vhost: vhost.to_owned(),
            limits: Default::default(),
            denial: Rarely::default(),
            connect: Rarely::default(),
            in_use: Arc::default(),
            rest: Rarely::default(),
            memory: AtomicUsize::new(0),
        }))
    }

    /// A store has so much linear memory now.
    pub(crate) fn memory(&self, bytes: usize) {
        self.0.memory.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(crate) fn largest_memory(&self) -> usize {
        self.0.memory.load(Ordering::Relaxed)
    }

    /// A limit was reached: counts it, and tells it in the log now and then.
    pub(crate) fn limit(&self, limit: Limit) {
        counter!(LIMITS, "vhost" => self.label(), "limit" => limit.key()).increment(1);
        let told = self.0.limits.get(limit as usize);
        if !limit.is_ordinary() && told.is_some_and(Rarely::is_due) {
            tracing::warn!(
                vhost = self.vhost(),
                limit = limit.key(),
                "a limit of the plugin is reached; told once a minute, counted in {LIMITS}"
            );
        }
    }

    pub(crate) fn call(&self, op: &'static str, outcome: &'static str, took: Duration) {
        counter!(CALLS, "vhost" => self.label(), "op" => op, "outcome" => outcome).increment(1);
        histogram!(CALL_SECONDS, "vhost" => self.label(), "op" => op, "outcome" => outcome)
            .record(took.as_secs_f64());
    }

    pub(crate) fn trap(&self, fault: PluginFault) {
        counter!(TRAPS, "vhost" => self.label(), "kind" => fault.label()).increment(1);
    }

    pub(crate) fn retry(&self) {
        counter!(RETRIES, "vhost" => self.label()).increment(1);
    }

    pub(crate) fn store(&self, purpose: &'static str) {
        counter!(STORES, "vhost" => self.label(), "purpose" => purpose).increment(1);
    }

    pub(crate) fn swap(&self, outcome: &'static str) {
        counter!(SWAPS, "vhost" => self.label(), "outcome" => outcome).increment(1);
    }

    pub(crate) fn rolled_back(&self, rolled_back: &RolledBack) {
        let cause = rolled_back.cause.label();
        let (vhost, from, to) = (self.vhost(), rolled_back.from, rolled_back.to);
        // What the operator orders wakes nobody up.
        if matches!(rolled_back.cause, RollbackCause::Operator) {
            tracing::info!(vhost, %from, %to, cause, "rolled back to the build of the plugin before");
        } else {
            tracing::error!(vhost, %from, %to, cause, "rolled back to the build of the plugin before");
        }
        counter!(ROLLBACKS, "vhost" => self.label(), "cause" => cause).increment(1);
    }

    pub(crate) fn drained(&self, end: DrainEnd) {
        counter!(DRAINS, "vhost" => self.label(), "outcome" => end.label()).increment(1);
    }

    pub(crate) fn request(&self, outcome: &'static str, took: Duration) {
        counter!(EGRESS, "vhost" => self.label(), "outcome" => outcome).increment(1);
        histogram!(EGRESS_SECONDS, "vhost" => self.label(), "outcome" => outcome)
            .record(took.as_secs_f64());
    }

    /// A request was refused; whether to tell it in the log.
    pub(crate) fn denied(&self, denial: Denial) -> bool {
        counter!(EGRESS_DENIED, "vhost" => self.label(), "reason" => denial.label()).increment(1);
        self.0.denial.is_due()
    }

    /// A connection did not come about; whether to tell it in the log.
    pub(crate) fn connect_failed(&self, reason: &'static str) -> bool {
        counter!(EGRESS_CONNECT_FAILURES, "vhost" => self.label(), "reason" => reason).increment(1);
        self.0.connect.is_due()
    }

    /// An app asks to be left alone; whether to tell it in the log.
    pub(crate) fn rest(&self) -> bool {
        counter!(EGRESS_RESTS, "vhost" => self.label()).increment(1);
        self.0.rest.is_due()
    }

    /// A request came meanwhile.
    pub(crate) fn rested(&self, outcome: &'static str) {
        counter!(EGRESS_RESTED, "vhost" => self.label(), "outcome" => outcome).increment(1);
    }

    /// A request is made once more.
    pub(crate) fn request_retried(&self, reason: &'static str) {
        counter!(EGRESS_RETRIES, "vhost" => self.label(), "reason" => reason).increment(1);
    }

    pub(crate) fn redirect(&self) {
        counter!(EGRESS_REDIRECTS, "vhost" => self.label()).increment(1);
    }

    pub(crate) fn renewal(&self) {
        counter!(EGRESS_RENEWALS, "vhost" => self.label()).increment(1);
    }

    pub(crate) fn connection(&self) {
        counter!(EGRESS_CONNECTIONS, "vhost" => self.label()).increment(1);
    }

    pub(crate) fn breaker_state(&self, name: &str) -> Gauge {
        gauge!(BREAKER_STATE, "vhost" => self.label(), "breaker" => name.to_owned())
    }

    pub(crate) fn breaker_refused(&self, name: &str) -> Counter {
        counter!(BREAKER_REFUSED, "vhost" => self.label(), "breaker" => name.to_owned())
    }

    pub(crate) fn breaker_transitions(&self, name: &str, to: &'static str) -> Counter {
        let (vhost, name) = (self.label(), name.to_owned());
        counter!(BREAKER_TRANSITIONS, "vhost" => vhost, "breaker" => name, "to" => to)
    }

    /// What stores have in use; each of them tells it.
    pub(crate) fn in_use(&self) -> &Arc<InUse> {
        &self.0.in_use
    }

    /// The part of the load that the stores tell.
    pub(crate) fn load(&self) -> Load {
        self.0.in_use.load()
    }

    pub(crate) fn vhost(&self) -> &str {
        &self.0.vhost
    }

    fn label(&self) -> String {
        self.0.vhost.clone()
    }
}
