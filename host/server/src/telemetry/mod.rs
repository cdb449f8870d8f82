//! What the server counts: the recorder, and the meaning of each metric.
//!
//! Owns the catalogue of all metrics, a subject a file; each metric is counted
//! where it happens. Labels never carry usernames. `docs/metrics.md` is held
//! against the catalogue, and so is whatever queries it. Logs are the command
//! line's affair.

mod connections;
mod guard;
mod logins;
pub(crate) mod otlp;
mod plugins;
mod process;
mod refresh;
mod rosters;
mod sampled;
mod sessions;
mod stanzas;
mod store;
#[cfg(test)]
mod tests;
mod web;

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use muster_plugin::{Metric, MetricKind};

pub(crate) use self::logins::login;
pub(crate) use self::rosters::pushed;
use self::sampled::Samples;
pub(crate) use self::sessions::{Carried, presence_coalesced, stream_ended};
pub(crate) use self::stanzas::stanza;
use crate::hosts::Hosts;

/// How often [`Metrics::upkeep`] should run.
pub(crate) const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The metrics of one subject.
struct Subject {
    /// The heading in `docs/metrics.md`.
    #[cfg_attr(not(test), expect(dead_code, reason = "a heading of the document"))]
    title: &'static str,
    metrics: &'static [Metric],
}

/// Every metric that the process may have.
const CATALOGUE: &[Subject] = &[
    Subject::new("Connections", connections::METRICS),
    Subject::new("Logins", logins::METRICS),
    Subject::new("Sessions", sessions::METRICS),
    Subject::new("Stanzas", stanzas::METRICS),
    Subject::new("Rosters", rosters::METRICS),
    Subject::new("The guard against mass removal", guard::METRICS),
    Subject::new("Refreshes, and what the operator orders", refresh::METRICS),
    Subject::new("Requests to apps", muster_plugin::EGRESS_METRICS),
    Subject::new("Plugins", muster_plugin::METRICS),
    Subject::new("Plugins at the moment", plugins::METRICS),
    Subject::new("The store", store::METRICS),
    Subject::new("Web clients", web::METRICS),
    Subject::new("Traces", otlp::METRICS),
    Subject::new("The process", process::METRICS),
];

impl Subject {
    const fn new(title: &'static str, metrics: &'static [Metric]) -> Subject {
        Subject { title, metrics }
    }
}

fn catalogue() -> impl Iterator<Item = &'static Metric> {
    CATALOGUE.iter().flat_map(|subject| subject.metrics)
}

/// The process's metrics.
#[derive(Clone)]
pub(crate) struct Metrics(Option<PrometheusHandle>);

impl Metrics {
    /// Installs the recorder, once in the process: several servers in one
    /// process share it. Where an embedding program has installed its own,
    /// what is counted goes there, and `/metrics` has only what is read.
    pub(crate) fn install() -> Metrics {
        process::begin();
        static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let handle = builder()?.install_recorder().ok()?;
            catalogue().for_each(Metric::describe);
            Some(handle)
        });
        Metrics(handle.clone())
    }

    /// The Prometheus text format: what was counted, and what is read now.
    pub(crate) fn render(&self, hosts: &Hosts) -> String {
        let mut samples = Samples::default();
        plugins::sample(&mut samples, hosts);
        process::sample(&mut samples);
        self.counted() + &samples.into_text()
    }

    /// What was counted alone.
    pub(crate) fn counted(&self) -> String {
        let counted = self.0.as_ref().map(PrometheusHandle::render);
        counted.unwrap_or_default()
    }

    /// Folds what the histograms have gathered; to be called now and then, so
    /// that they do not grow while nobody asks.
    pub(crate) fn upkeep(&self) {
        if let Some(handle) = &self.0 {
            handle.run_upkeep();
        }
    }
}

/// An exporter that knows the bounds of each histogram.
fn builder() -> Option<PrometheusBuilder> {
    catalogue().try_fold(PrometheusBuilder::new(), |builder, metric| {
        let MetricKind::Histogram(bounds) = metric.kind else {
            return Some(builder);
        };
        let name = Matcher::Full(metric.name.to_owned());
        builder.set_buckets_for_metric(name, bounds).ok()
    })
}

/// The names of the metrics that have a description.
#[cfg(test)]
pub(crate) fn described() -> std::collections::BTreeSet<&'static str> {
    catalogue().map(|metric| metric.name).collect()
}
