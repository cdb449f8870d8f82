//! What the sandbox counts, for tests: one recorder for all of them; each test
//! has a virtual host of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

type Counters = Arc<Mutex<HashMap<String, Arc<AtomicU64>>>>;

struct Counting(Counters);

/// The value of a counter with these labels, in the order of the call.
pub(crate) fn counter(name: &str, labels: &[(&str, &str)]) -> u64 {
    let labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let counters = counters().lock().unwrap();
    let counter = counters.get(&format!("{name} {}", labels.join(" ")));
    counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
}

/// How often `vhost` has reached the limit with this key.
pub(crate) fn limit(vhost: &str, key: &str) -> u64 {
    counter(
        "muster_plugin_limit_reached_total",
        &[("vhost", vhost), ("limit", key)],
    )
}

/// The recorder, which must be there before anything is counted.
pub(crate) fn counters() -> &'static Counters {
    static COUNTERS: OnceLock<Counters> = OnceLock::new();
    COUNTERS.get_or_init(|| {
        let counters = Counters::default();
        metrics::set_global_recorder(Counting(Arc::clone(&counters))).unwrap();
        counters
    })
}

impl Recorder for Counting {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        let mut counters = self.0.lock().unwrap();
        Counter::from_arc(Arc::clone(counters.entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
