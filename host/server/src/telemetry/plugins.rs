//! What the plugins use at the moment, as they tell when they are asked.

use muster_plugin::Metric;

use super::sampled::Samples;
use crate::hosts::Hosts;

const WAITING: Metric = Metric::gauge(
    "muster_plugin_waiting_calls",
    "Fetches that wait for a store, of limits.plugin.waiting_calls",
)
.by(&["vhost"]);
const IN_FLIGHT: Metric = Metric::gauge(
    "muster_egress_requests_in_flight",
    "Requests to apps that are under way, of limits.backend.concurrent_requests",
)
.by(&["vhost"]);
const STORES: Metric =
    Metric::gauge("muster_plugin_stores", "Stores that there are").by(&["vhost"]);
const MEMORY: Metric = Metric::gauge(
    "muster_plugin_memory_bytes",
    "Memory of those stores, each at most limits.plugin.memory_bytes",
)
.by(&["vhost"]);
const CPU: Metric = Metric::counter(
    "muster_plugin_cpu_seconds_total",
    "CPU time that plugins have computed",
)
.by(&["vhost"]);

const RECORDED: Metric = Metric::gauge(
    "muster_plugin_recorded_fetches",
    "Fetches that are kept for muster plugin record, of virtual_host.plugin.record",
)
.by(&["vhost"]);
const RECORDED_BYTES: Metric = Metric::gauge(
    "muster_plugin_recorded_bytes",
    "Memory of these, and of what else is kept with them, of limits.plugin.record_bytes",
)
.by(&["vhost"]);

pub(super) const METRICS: &[Metric] = &[
    WAITING,
    IN_FLIGHT,
    STORES,
    MEMORY,
    CPU,
    RECORDED,
    RECORDED_BYTES,
];

/// Adds what they say now.
pub(super) fn sample(samples: &mut Samples, hosts: &Hosts) {
    let mut loads: Vec<_> = hosts
        .iter()
        .map(|host| (host.domain.to_string(), host.plugin.current_load()))
        .collect();
    loads.sort_by(|one, other| one.0.cmp(&other.0));
    let mut family = |metric: &Metric, value: &dyn Fn(&muster_plugin::Load) -> f64| {
        let values = loads.iter();
        samples.family(
            metric,
            values.map(|(vhost, load)| ([vhost.clone()], value(load))),
        );
    };
    family(&WAITING, &|load| load.waiting_calls as f64);
    family(&IN_FLIGHT, &|load| load.requests as f64);
    family(&STORES, &|load| load.stores as f64);
    family(&MEMORY, &|load| load.memory_bytes as f64);
    family(&CPU, &|load| load.cpu.as_secs_f64());
    sample_recordings(samples, hosts);
}

/// Where something is recorded.
fn sample_recordings(samples: &mut Samples, hosts: &Hosts) {
    let loads = hosts.iter().filter_map(|host| {
        let load = host.recordings.load()?;
        Some((host.domain.to_string(), load))
    });
    let mut loads: Vec<_> = loads.collect();
    loads.sort_by(|one, other| one.0.cmp(&other.0));
    let mut family = |metric: &Metric, value: &dyn Fn(&(usize, usize)) -> usize| {
        let values = loads.iter();
        samples.family(
            metric,
            values.map(|(vhost, load)| ([vhost.clone()], value(load) as f64)),
        );
    };
    family(&RECORDED, &|(fetches, _)| *fetches);
    family(&RECORDED_BYTES, &|(_, bytes)| *bytes);
}
