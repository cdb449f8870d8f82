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
        let is_ours = name.starts_with("muster_") || name.starts_with("process_");
        assert!(is_ours && is_word(name), "{name}");
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

const DASHBOARD: &str = include_str!("../../../../contrib/grafana/muster.json");
const ALERTS: &str = include_str!("../../../../contrib/prometheus/muster.rules.yml");

/// The words of PromQL that look like names: functions, aggregations, keywords.
const PROMQL: &[&str] = &[
    "and",
    "by",
    "count",
    "histogram_quantile",
    "increase",
    "max",
    "max_over_time",
    "min",
    "min_over_time",
    "on",
    "or",
    "rate",
    "sum",
    "time",
    "unless",
    "vector",
    "without",
];

/// Labels that Prometheus gives to every series.
const GIVEN: &[&str] = &["instance", "job"];

/// The expressions of the dashboard.
fn panels() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    let mut expressions = Vec::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
        assert!(right <= 24 && panel["title"].is_string(), "{panel}");
        let targets = panel["targets"].as_array();
        assert_eq!(targets.is_none(), panel["type"] == "row", "{panel}");
        let targets = targets.into_iter().flatten();
        expressions.extend(targets.map(|it| it["expr"].as_str().unwrap().to_owned()));
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let queries = variables.iter().filter(|it| it["type"] == "query");
    for query in queries {
        let query = query["definition"].as_str().unwrap();
        let inner = query.strip_prefix("label_values(").unwrap();
        let (series, label) = inner.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
        expressions.push(format!("sum by ({label}) ({series})"));
    }
    expressions
}

fn alerts() -> Vec<String> {
    let lines = |key: &str| {
        let lines = ALERTS.lines().map(str::trim);
        let lines = lines.filter_map(|line| line.strip_prefix(key));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let expressions = lines("expr: ");
    assert_eq!(expressions.len(), lines("- alert: ").len());
    assert_eq!(expressions.len(), lines("summary: ").len());
    expressions
}

/// The words of an expression; what is in quotes or
/// in brackets is no word.
fn words(expression: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut quoted, mut bracket) = (false, false);
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => quoted = !quoted,
            '[' => bracket = true,
            ']' => bracket = false,
            _ if !quoted && !bracket && (first.is_ascii_alphabetic() || first == '_') => {
                let is_end = |it: char| !(it.is_ascii_alphanumeric() || it == '_');
                let end = rest.find(is_end).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                words.push(word);
                rest = after;
                continue;
            }
            _ => {}
        }
        rest = &rest[first.len_utf8()..];
    }
    words
}

/// The metric that a series belongs to; a histogram is asked for by its parts.
fn metric_of(series: &str) -> Option<(&'static Metric, bool)> {
    catalogue().find_map(|metric| match metric.kind {
        MetricKind::Histogram(_) => {
            let part = series.strip_prefix(metric.name)?;
            matches!(part, "_bucket" | "_sum" | "_count").then_some((metric, part == "_bucket"))
        }
        _ => (series == metric.name).then_some((metric, false)),
    })
}

/// What is asked for has to be there: else a panel is empty, or an alert silent,
/// on the night on which it is needed.
#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_there_are() {
    let expressions: Vec<_> = panels().into_iter().chain(alerts()).collect();
    assert!(expressions.len() > 120, "{}", expressions.len());
    for expression in expressions {
        let words = words(&expression);
        let mut labels: Vec<&str> = GIVEN.to_vec();
        let mut series = 0;
        for word in &words {
            if let Some((metric, buckets)) = metric_of(word) {
                series += 1;
                labels.extend(metric.labels);
                labels.extend(buckets.then_some("le"));
            }
        }
        for word in &words {
            let known = metric_of(word).is_some()
                || labels.contains(word)
                || PROMQL.contains(word)
                || *word == "up";
            assert!(known, "{word} in: {expression}");
        }
        assert!(series > 0 || words[0] == "up", "{expression}");
        let balance = |open, close| {
            let count = |which| expression.matches::<char>(which).count();
            assert_eq!(count(open), count(close), "{expression}");
        };
        balance('(', ')');
        balance('{', '}');
    }
}

/// What somebody looks for who was woken up: each has a panel.
#[test]
fn the_dashboard_shows_what_decides_in_a_storm() {
    let shown: Vec<_> = panels();
    let shown: std::collections::BTreeSet<_> = shown
        .iter()
        .flat_map(|expression| words(expression))
        .filter_map(|word| metric_of(word).map(|(metric, _)| metric.name))
        .collect();
    let subjects = [
        "muster_fetch",
        "muster_guard_",
        "muster_refresh",
        "muster_roster",
    ];
    let rests = [
        "muster_egress_rest",
        "muster_egress_retries",
        "muster_audit",
    ];
    let missing: Vec<_> = catalogue()
        .map(|metric| metric.name)
        .filter(|name| subjects.iter().chain(&rests).any(|it| name.starts_with(it)))
        .filter(|name| !shown.contains(name))
        .collect();
    assert_eq!(missing, [""; 0], "have no panel");
}
