//! The built-in plugin against fixtures: what passes passes, and what does not is told.

use std::path::Path;

use muster_plugin::{CacheConfig, EngineConfig};

use super::*;

/// Kept over runs, as an author's machine does.
fn engine() -> Engine {
    let directory = std::env::temp_dir().join("muster-kit-tests");
    let config = EngineConfig {
        cache: Some(CacheConfig {
            directory,
            bytes: 256 << 20,
        }),
        ..EngineConfig::default()
    };
    Engine::new(&config).unwrap()
}

async fn report(text: &str, filter: &str) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tests.toml");
    std::fs::write(&path, text).unwrap();
    let fixture = Fixture::read(Path::new(&path)).unwrap();
    let candidate = Candidate::builtin(muster_builtin::COMPONENT);
    run(&engine(), &candidate, &fixture, filter).await.unwrap()
}

#[tokio::test]
async fn what_is_as_expected_passes() {
    let report = report(include_str!("tests/good.toml"), "").await;
    assert_eq!(report.failed(), 0, "{report}");
    assert_eq!(report.cases.len(), 13);
}

#[tokio::test]
async fn a_filter_leaves_the_others_out() {
    let report = report(include_str!("tests/good.toml"), "webhook").await;
    assert_eq!(report.failed(), 0, "{report}");
    let names: Vec<_> = report.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["a webhook about two"]);
}

#[tokio::test]
async fn what_is_otherwise_is_told() {
    let report = report(include_str!("tests/bad.toml"), "").await;
    let told: Vec<_> = report
        .cases
        .iter()
        .map(|case| (case.name.as_str(), case.differences.clone()))
        .collect();
    let expected = [
        (
            "contacts that differ",
            vec![
                "- jane@example.test both []",
                "~ marie@example.test \"Marie\" to [\"friends\"], got marie@example.test \"Marie\" both []",
                "+ aaron@example.test both []",
                "expected the validator \"\\\"2\\\"\", got \"\\\"1\\\"\"",
                "expected 0 entries left out, got 1",
            ],
        ),
        (
            "an error in place of a list",
            vec!["expected a list of 0, got the error \"status 500\""],
        ),
        (
            "other requests than were written down",
            vec![
                "expected a list of 0, got the error \"status 501\"",
                "the app was asked what the fixture has no answer to: GET /contacts/john",
                "the app was not asked: GET /friends/john",
            ],
        ),
        (
            "a header that is not sent",
            vec!["GET /contacts/john: the header if-none-match is absent, expected \"\\\"1\\\"\""],
        ),
        (
            "another answer",
            vec![
                "expected a refresh of [\"marie\"], got one of [\"john\"]",
                "expected the status 202, got 200",
                "expected the header content-type \"text/plain\", got \"application/json\"",
                "expected the body {\"updated\":2}, got {\"status\":\"ok\",\"message\":\"roster update complete\",\"updated\":1,\"errors\":0}",
            ],
        ),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(name, lines)| (name, lines.into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!(told, expected, "{report}");
    let json = report.as_json();
    assert_eq!(json["failed"], 5);
    assert_eq!(json["cases"][1]["passed"], false);
}
