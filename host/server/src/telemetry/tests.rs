//! The catalogue against the document and against Prometheus' own rules.

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");

/// A line of the document's tables.
fn row(metric: &Metric) -> String {
    let labels = metric.labels.iter().map(|label| format!("`{label}`"));
    let labels: Vec<_> = labels.collect();
    format!(
        "| `{}` | {} | {} | {} | {} |",
        metric.name,
        metric.kind.name(),
        unit(metric),
        labels.join(", "),
        metric.meaning,
    )
}

fn unit(metric: &Metric) -> &'static str {
    match metric.unit() {
        metrics::Unit::Count => "",
        unit => unit.as_str(),
    }
}

#[test]
fn every_metric_is_in_the_document_under_its_subject() {
    let expected = CATALOGUE.iter().map(|subject| {
        let rows: Vec<_> = subject.metrics.iter().map(row).collect();
        format!(
            "## {}\n\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n{}\n",
            subject.title,
            rows.join("\n")
        )
    });
    let missing: Vec<_> = expected.filter(|part| !DOCUMENT.contains(part)).collect();
    assert!(
        missing.is_empty(),
        "docs/metrics.md has not, word for word:\n\n{}",
        missing.join("\n")
    );
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
    let unknown = rows.filter(|line| !catalogue().any(|metric| row(metric) == **line));
    assert_eq!(unknown.collect::<Vec<_>>(), [""; 0], "no metrics of ours");
}

#[test]
fn names_follow_prometheus() {
    let mut seen = std::collections::BTreeSet::new();
    for Metric {
        name, kind, labels, ..
    } in catalogue()
    {
        assert!(seen.insert(name), "{name} twice");
        let is_word = |word: &str| word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
        assert!(name.starts_with("muster_") && is_word(name), "{name}");
        assert_eq!(
            name.ends_with("_total"),
            *kind == MetricKind::Counter,
            "{name}: counters, and no others, end so"
        );
        for label in *labels {
            assert!(is_word(label) && *label != "le", "{name}: {label}");
        }
        if let MetricKind::Histogram(bounds) = kind {
            assert!(bounds.is_sorted() && !bounds.is_empty(), "{name}");
        }
    }
}
