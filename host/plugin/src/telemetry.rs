//! Names of metrics, in one place. Labels never carry usernames.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::egress::Denial;
use crate::roster::PluginFault;
use crate::swap::RolledBack;
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
const BREAKER_STATE: &str = "muster_breaker_state";
const BREAKER_TRANSITIONS: &str = "muster_breaker_transitions_total";
const BREAKER_REFUSED: &str = "muster_breaker_refused_total";

/// Describes the sandbox's metrics to the recorder that is installed.
pub fn describe_metrics() {
    describe_counter!(CALLS, Unit::Count, "Calls of a plugin's exports");
    describe_histogram!(CALL_SECONDS, Unit::Seconds, "Wall time of a call");
    describe_counter!(TRAPS, Unit::Count, "Stores lost to a trap or a limit");
    describe_counter!(RETRIES, Unit::Count, "Fetches tried again after a trap");
    describe_counter!(STORES, Unit::Count, "Stores made");
    describe_counter!(
        SWAPS,
        Unit::Count,
        "New builds of a plugin, by what became of them: swapped, unchanged, or why they were refused"
    );
    describe_counter!(
        ROLLBACKS,
        Unit::Count,
        "Builds of a plugin that were given up for the one before, by cause"
    );
    describe_counter!(
        DRAINS,
        Unit::Count,
        "Replaced generations of a plugin, by whether their calls finished in time"
    );
    describe_counter!(
        CACHE,
        Unit::Count,
        "Looks for compiled components that were kept, by outcome"
    );
    describe_histogram!(
        COMPILE_SECONDS,
        Unit::Seconds,
        "Compiling a component, whatever came of it"
    );
    describe_gauge!(
        CACHE_BYTES,
        Unit::Bytes,
        "Size of the compiled components that are kept, of limits.plugin.cache_bytes"
    );
    describe_counter!(EGRESS, Unit::Count, "Requests of plugins to apps");
    describe_histogram!(
        EGRESS_SECONDS,
        Unit::Seconds,
        "Time until an app's response began"
    );
    describe_counter!(EGRESS_DENIED, Unit::Count, "Requests refused at the gate");
    describe_counter!(
        EGRESS_CONNECTIONS,
        Unit::Count,
        "Connections opened to apps"
    );
    describe_gauge!(
        BREAKER_STATE,
        Unit::Count,
        "Whether a circuit breaker lets calls pass: closed (0), open (1), probing (2)"
    );
    describe_counter!(
        BREAKER_TRANSITIONS,
        Unit::Count,
        "Changes of a circuit breaker's state, by the state that it came to"
    );
    describe_counter!(
        BREAKER_REFUSED,
        Unit::Count,
        "Calls that a circuit breaker refused"
    );
}

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

/// What is counted for one plugin.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    vhost: String,
}

impl Meter {
    pub(crate) fn new(vhost: &str) -> Self {
        Self {
            vhost: vhost.to_owned(),
        }
    }

    pub(crate) fn call(&self, op: &'static str, outcome: &'static str, took: Duration) {
        counter!(CALLS, "vhost" => self.vhost.clone(), "op" => op, "outcome" => outcome)
            .increment(1);
        histogram!(CALL_SECONDS, "vhost" => self.vhost.clone(), "op" => op)
            .record(took.as_secs_f64());
    }

    pub(crate) fn trap(&self, fault: PluginFault) {
        counter!(TRAPS, "vhost" => self.vhost.clone(), "kind" => fault.label()).increment(1);
    }

    pub(crate) fn retry(&self) {
        counter!(RETRIES, "vhost" => self.vhost.clone()).increment(1);
    }

    pub(crate) fn store(&self, purpose: &'static str) {
        counter!(STORES, "vhost" => self.vhost.clone(), "purpose" => purpose).increment(1);
    }

    pub(crate) fn swap(&self, outcome: &'static str) {
        counter!(SWAPS, "vhost" => self.vhost.clone(), "outcome" => outcome).increment(1);
    }

    pub(crate) fn rolled_back(&self, rolled_back: &RolledBack) {
        let cause = rolled_back.cause.label();
        tracing::error!(
            vhost = self.vhost,
            from = %rolled_back.from,
            to = %rolled_back.to,
            cause,
            "rolled back to the build of the plugin before"
        );
        counter!(ROLLBACKS, "vhost" => self.vhost.clone(), "cause" => cause).increment(1);
    }

    pub(crate) fn drained(&self, end: DrainEnd) {
        counter!(DRAINS, "vhost" => self.vhost.clone(), "outcome" => end.label()).increment(1);
    }

    pub(crate) fn request(&self, outcome: &'static str, took: Duration) {
        counter!(EGRESS, "vhost" => self.vhost.clone(), "outcome" => outcome).increment(1);
        histogram!(EGRESS_SECONDS, "vhost" => self.vhost.clone()).record(took.as_secs_f64());
    }

    pub(crate) fn denied(&self, denial: Denial) {
        counter!(EGRESS_DENIED, "vhost" => self.vhost.clone(), "reason" => denial.label())
            .increment(1);
    }

    pub(crate) fn connection(&self) {
        counter!(EGRESS_CONNECTIONS, "vhost" => self.vhost.clone()).increment(1);
    }

    pub(crate) fn breaker_state(&self, name: &str) -> Gauge {
        gauge!(BREAKER_STATE, "vhost" => self.vhost.clone(), "breaker" => name.to_owned())
    }

    pub(crate) fn breaker_refused(&self, name: &str) -> Counter {
        counter!(BREAKER_REFUSED, "vhost" => self.vhost.clone(), "breaker" => name.to_owned())
    }

    pub(crate) fn breaker_transitions(&self, name: &str, to: &'static str) -> Counter {
        let (vhost, name) = (self.vhost.clone(), name.to_owned());
        counter!(BREAKER_TRANSITIONS, "vhost" => vhost, "breaker" => name, "to" => to)
    }

    pub(crate) fn vhost(&self) -> &str {
        &self.vhost
    }
}
