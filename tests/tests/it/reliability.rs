//! docs/reliability.md and docs/hostile-input.md keep their word: the tests and
//! files that their tables name exist, and no promise is without one.

use crate::tidy::{files, functions, none, read};
use std::collections::BTreeSet;

/// The cell of each row that names tests: of the tables that have one.
fn named_in(document: &str, heading: &str) -> Vec<String> {
    let mut column = None;
    let mut cells = Vec::new();
    for line in read(document).lines() {
        let Some(row) = line.strip_prefix('|') else {
            column = None;
            continue;
        };
        let row: Vec<&str> = row
            .trim_end_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        match column {
            None => column = Some(row.iter().position(|cell| *cell == heading)),
            Some(Some(at)) => cells.extend(row.get(at).map(|cell| (*cell).to_owned())),
            Some(None) => {}
        }
    }
    cells.retain(|cell| !cell.starts_with("---"));
    cells
}

/// What stands in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether there is such a function, file or folder.
fn exists(word: &str, functions: &BTreeSet<String>, files: &[String]) -> bool {
    if !word.contains('/') && !word.ends_with(".rs") {
        let name = word.rsplit("::").next().unwrap_or_default();
        return functions.contains(name);
    }
    let path = match (word.strip_prefix("it/"), word.strip_prefix("plugin/")) {
        (Some(rest), _) => format!("tests/tests/it/{rest}"),
        (_, Some(rest)) => format!("host/plugin/tests/it/{rest}"),
        _ => word.to_owned(),
    };
    let below = format!("/{path}");
    let is_it = |file: &String| file.starts_with(&path) || file.ends_with(&below);
    files.iter().any(is_it)
}

#[test]
fn every_test_that_is_named_exists() {
    let functions = functions();
    let files = files(&[".rs"]).into_iter();
    let files: Vec<String> = files.map(|path| path.display().to_string()).collect();
    for (document, heading) in [
        ("docs/hostile-input.md", "test"),
        ("docs/reliability.md", "shown by"),
    ] {
        let cells = named_in(document, heading);
        assert!(cells.len() > 10, "{document}: {cells:?}");
        let words = cells.iter().flat_map(|cell| quoted(cell));
        let missing = words.filter(|word| !exists(word, &functions, &files));
        none(document, missing.map(str::to_owned));
    }
}

#[test]
fn every_promise_has_its_tests() {
    let text = read("docs/reliability.md");
    let promises = text.lines().filter_map(|line| {
        let row: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let number: usize = row.first()?.parse().ok()?;
        Some((number, quoted(row.get(2)?).count()))
    });
    let promises: Vec<(usize, usize)> = promises.collect();
    let numbers: Vec<usize> = promises.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    let bare = promises.iter().filter(|(_, tests)| *tests == 0);
    none("promises without a test", bare.map(|it| it.0.to_string()));
}
