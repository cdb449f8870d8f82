//! Metrics that are read when somebody asks for them, in the Prometheus text
//! format: what the recorder has no handle for, or only as a whole number.

use std::fmt::Write as _;

use muster_plugin::Metric;

/// The text of what was read.
#[derive(Debug, Default)]
pub(super) struct Samples(String);

impl Samples {
    /// A metric without labels.
    pub(super) fn one(&mut self, metric: &Metric, value: f64) {
        self.family(metric, [([], value)]);
    }

    /// A metric with the values of its labels, in the order of their names.
    pub(super) fn family<const LABELS: usize>(
        &mut self,
        metric: &Metric,
        values: impl IntoIterator<Item = ([String; LABELS], f64)>,
    ) {
        let Metric { name, meaning, .. } = metric;
        // Writing to a string does not fail.
        let _ = writeln!(
            self.0,
            "# HELP {name} {meaning}\n# TYPE {name} {}",
            metric.kind.name()
        );
        for (labels, value) in values {
            let labels = metric.labels.iter().zip(labels);
            let labels: Vec<_> = labels
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(&value)))
                .collect();
            let _ = match labels.is_empty() {
                true => writeln!(self.0, "{name} {value}"),
                false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
            };
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_prometheus() {
        let mut samples = Samples::default();
        samples.one(&Metric::gauge("a", "An a."), 1.5);
        let labelled = Metric::counter("b_total", "A b.").by(&["x", "y"]);
        let values = [(["1".to_owned(), "say \"hi\"\n".to_owned()], 2.0)];
        samples.family(&labelled, values);
        assert_eq!(
            samples.into_text(),
            "# HELP a An a.\n# TYPE a gauge\na 1.5\n# HELP b_total A b.\n# TYPE b_total counter\nb_total{x=\"1\",y=\"say \\\"hi\\\"\\n\"} 2\n"
        );
    }
}
