//! docs/compliance.md keeps its word: what it names exists, and the DOAP file
//! says the same.

use std::collections::BTreeMap;

use crate::tidy::{functions, none, read};

/// Name of an extension → version and status.
type Extensions = BTreeMap<String, (String, String)>;

/// The rows of the tables whose first cell is not a heading or a rule.
fn rows() -> Vec<Vec<String>> {
    let rows = read("docs/compliance.md");
    let rows = rows.lines().filter(|line| line.starts_with('|'));
    let rows = rows.map(|line| {
        let line = line.trim_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    });
    rows.filter(|row: &Vec<String>| row.iter().any(|cell| cell.contains('`')))
        .collect()
}

fn documented() -> Extensions {
    let extensions = rows().into_iter().filter_map(|row| {
        let name = row.first()?.strip_prefix("[XEP-")?;
        let (number, _) = name.split_once(']')?;
        Some((number.to_owned(), (row[1].clone(), row[2].clone())))
    });
    extensions.collect()
}

fn machine_readable() -> Extensions {
    let text = read("docs/muster.doap.xml");
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).expect(from);
        rest.split_once(to).expect(to).0.to_owned()
    };
    let extensions = text.split("<xmpp:SupportedXep>").skip(1).map(|part| {
        let number = between(part, "extensions/xep-", ".html");
        let version = between(part, "<xmpp:version>", "</xmpp:version>");
        let status = between(part, "<xmpp:status>", "</xmpp:status>");
        (number, (version, status))
    });
    extensions.collect()
}

#[test]
fn the_two_forms_say_the_same() {
    let documented = documented();
    assert!(documented.len() > 3, "{documented:?}");
    assert_eq!(documented, machine_readable());
}

#[test]
fn every_test_that_is_named_exists() {
    let functions = functions();
    let missing = rows().into_iter().flat_map(|row| {
        let (name, tests) = (row[0].clone(), row.last().cloned().unwrap_or_default());
        let named: Vec<_> = tests
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        assert!(!named.is_empty(), "{name} names no test");
        named.into_iter().map(move |test| format!("{name}: {test}"))
    });
    let missing = missing.filter(|named| {
        let test = named.rsplit(": ").next().unwrap_or_default();
        !functions.contains(test)
    });
    none("tests that do not exist", missing);
}

#[test]
fn every_status_is_one_of_two() {
    let odd = rows().into_iter().filter(|row| {
        let status = if row.len() == 5 { &row[2] } else { &row[1] };
        status != "complete" && status != "partial"
    });
    none("a status", odd.map(|row| row.join(" | ")));
}
