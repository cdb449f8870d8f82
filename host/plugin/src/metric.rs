//! What a metric is: its name, type, labels and meaning.
//!
//! Owns nothing that counts; a list of these is what is described to the
//! recorder, written down in `docs/metrics.md`, and known to whoever checks a
//! query. The unit is in the name, as Prometheus wants it, so it is read from
//! there: one that differed could not be stated.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Upper bounds of the histograms of seconds, unless a metric has its own.
pub const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it is called, with the suffix of its unit.
    pub name: &'static str,
    /// How its values are to be read.
    pub kind: MetricKind,
    /// The names of its labels, without those that the type brings (`le`).
    pub labels: &'static [&'static str],
    /// What it tells, in one sentence.
    pub meaning: &'static str,
}

/// How the values of a metric are to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// Goes up, and starts at zero with the process.
    Counter,
    /// What is now.
    Gauge,
    /// How often values came, below each of these bounds.
    Histogram(&'static [f64]),
}

impl MetricKind {
    /// Its name in Prometheus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

impl Metric {
    /// A counter without labels.
    pub const fn counter(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, MetricKind::Counter, meaning)
    }

    /// A gauge without labels.
    pub const fn gauge(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, MetricKind::Gauge, meaning)
    }

    /// A histogram of latencies without labels.
    pub const fn histogram(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, MetricKind::Histogram(LATENCY_BUCKETS), meaning)
    }

    const fn new(name: &'static str, kind: MetricKind, meaning: &'static str) -> Self {
        Self {
            name,
            kind,
            labels: &[],
            meaning,
        }
    }

    /// The same with these labels.
    pub const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// The same with these upper bounds.
    pub const fn within(self, bounds: &'static [f64]) -> Self {
        Self {
            kind: MetricKind::Histogram(bounds),
            ..self
        }
    }

    /// What one of its values is a number of.
    pub fn unit(&self) -> Unit {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        if name.ends_with("_seconds") {
            Unit::Seconds
        } else if name.ends_with("_bytes") {
            Unit::Bytes
        } else {
            Unit::Count
        }
    }

    /// Tells the recorder that is installed what it is.
    pub fn describe(&self) {
        match self.kind {
            MetricKind::Counter => describe_counter!(self.name, self.unit(), self.meaning),
            MetricKind::Gauge => describe_gauge!(self.name, self.unit(), self.meaning),
            MetricKind::Histogram(_) => describe_histogram!(self.name, self.unit(), self.meaning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_in_the_name() {
        for (name, unit) in [
            ("a_seconds", Unit::Seconds),
            ("a_seconds_total", Unit::Seconds),
            ("a_bytes", Unit::Bytes),
            ("a_total", Unit::Count),
            ("seconds_of_a", Unit::Count),
        ] {
            assert_eq!(Metric::gauge(name, "").unit(), unit, "{name}");
        }
    }
}
