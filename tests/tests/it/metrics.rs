//! What `/metrics` has, against docs/metrics.md: every series is one of the
//! table, with its type and no other labels. (That the table is the catalogue of
//! the source is a unit test.)

use std::collections::{BTreeMap, BTreeSet};

use muster_tests::app::Answer;
use muster_tests::http::{exchange, request};
use muster_tests::muster::TOKEN;
use muster_tests::stage::{DOMAIN, Stage};
use serde_json::json;

use crate::tidy::{files, none, read};

/// The type and the labels of each metric, by its name.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let document = read("docs/metrics.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3]
            .split(", ")
            .map(|it| it.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (
            cells[0].trim_matches('`').to_owned(),
            (cells[1].to_owned(), labels),
        )
    });
    rows.collect()
}

/// Names of labels in a series; values may hold whatever.
fn labels(series: &str) -> BTreeSet<String> {
    let inside = series
        .split_once('{')
        .map_or("", |(_, rest)| rest.trim_end_matches('}'));
    let mut names = BTreeSet::new();
    let mut rest = inside;
    while let Some((name, after)) = rest.split_once("=\"") {
        names.insert(name.trim_start_matches(',').to_owned());
        // A quotation mark in a value has a backslash before it.
        let ends = after.match_indices('"').map(|(at, _)| at);
        let end = ends.into_iter().find(|at| !after[..*at].ends_with('\\'));
        rest = &after[end.expect("the end of a value") + 1..];
    }
    names
}

#[tokio::test]
async fn every_series_is_as_the_document_says() {
    let stage = Stage::own("").await;
    stage.contacts("john", json!({"marie@example.test": {"name": "Marie"}}));
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"aaron@example.test": {}}));
    stage.refreshed(&["john"]).await;
    john.push().await;
    stage.answer("john", Answer::Status(500));
    stage.refresh(&["john", "nobody", "no user"]).await;
    let token = format!("Bearer {TOKEN}");
    let fields = [("Host", DOMAIN), ("Authorization", token.as_str())];
    for path in ["/admin/plugins", "/nowhere"] {
        exchange(stage.http(), &request("GET", path, &fields, b"")).await;
    }
    let text = exchange(stage.http(), &request("GET", "/metrics", &fields, b""))
        .await
        .text();
    let documented = documented();
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(
                documented.get(name).map(|it| it.0.as_str()),
                Some(kind),
                "{line}"
            );
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap_or_default();
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
            let name = name.strip_suffix(part)?;
            documented
                .get(name)
                .is_some_and(|it| it.0 == "histogram")
                .then_some(name)
        });
        let name = whole.unwrap_or(name);
        let (kind, known) = documented.get(name).unwrap_or_else(|| panic!("{line}"));
        let mut found = labels(series);
        if kind == "histogram" {
            found.remove("le");
        }
        assert_eq!(&found, known, "{line}");
        seen.insert(name.to_owned());
    }
    for name in [
        "muster_sessions",
        "muster_roster_pushes_total",
        "muster_plugin_call_seconds",
        "muster_plugin_cpu_seconds_total",
        "muster_plugin_memory_bytes",
        "muster_egress_requests_in_flight",
        "muster_build_info",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(seen.contains(name), "{name}");
    }
}

/// Whoever counts something describes it, and the other way round.
#[test]
fn what_is_counted_is_described() {
    let documented = documented();
    let sources = files(&[".rs"]).into_iter().filter(|path| {
        let name = path.to_string_lossy();
        name.starts_with("host/") && name.contains("/src/") && !name.contains("tests")
    });
    let mut counted = BTreeSet::new();
    for path in sources {
        let text = read(&path);
        for (at, _) in text.match_indices("\"muster_") {
            let word = text[at + 1..].split('"').next().unwrap_or_default();
            let is_name = word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
            // A target of the log is no metric.
            if is_name && !["muster_", "muster_server", "muster_plugin"].contains(&word) {
                counted.insert(word.to_owned());
            }
        }
    }
    let unknown = counted
        .iter()
        .filter(|name| !documented.contains_key(*name));
    none(
        "metrics that docs/metrics.md does not have",
        unknown.cloned(),
    );
    let imagined = documented.keys().filter(|name| name.starts_with("muster_"));
    let imagined = imagined.filter(|name| !counted.contains(*name));
    none("metrics that nothing counts", imagined.cloned());
}
