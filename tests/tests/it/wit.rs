//! The contract as its own reference: everything in it is described, and the
//! limits that it names are those of the configuration.

use crate::tidy::{none, read};

/// The worlds and interfaces of ours; others' are below `deps`.
const OURS: [&str; 4] = [
    "examples/plugins/javascript/wit/plugin.wit",
    "examples/plugins/python/wit/plugin.wit",
    "host/plugin/bindings/wit/spin-variables.wit",
    "wit/roster.wit",
];

/// Whether a line declares something that has to be described. What a world
/// imports and exports by name is described where it is declared.
fn declares(line: &str, inside_type: bool) -> bool {
    const WORDS: [&str; 8] = [
        "package ",
        "interface ",
        "world ",
        "record ",
        "variant ",
        "enum ",
        "flags ",
        "resource ",
    ];
    let is_function = line.contains(": func(") || line.contains(": async func(");
    // A field, or a case.
    let is_member = inside_type && line.ends_with(',');
    is_function || is_member || WORDS.iter().any(|word| line.starts_with(word))
}

fn undescribed(path: &str) -> Vec<String> {
    let text = read(path);
    let mut found = Vec::new();
    let (mut described, mut inside_type) = (false, false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("///") {
            described = true;
            continue;
        }
        if declares(line, inside_type) && !described {
            found.push(format!("{path}:{}: {line}", number + 1));
        }
        let types = ["record ", "variant ", "enum ", "flags "];
        if types.iter().any(|word| line.starts_with(word)) {
            inside_type = true;
        } else if line.starts_with('}') {
            inside_type = false;
        }
        described = false;
    }
    found
}

#[test]
fn everything_in_the_contract_is_described() {
    none(
        "declared without a word",
        OURS.into_iter().flat_map(undescribed),
    );
    let document = read("docs/plugins.md");
    assert!(document.contains("](../wit/roster.wit)"));
}

/// The limits that a text names as `limits.…`, with the default behind in
/// parentheses, if there is one.
fn limits(text: &str) -> Vec<(String, Option<String>)> {
    let words = text.split("///").map(str::trim).collect::<Vec<_>>();
    let text = words.join(" ");
    let parts = text.split('`').collect::<Vec<_>>();
    let named = parts.iter().enumerate().filter_map(|(index, part)| {
        let key = part.strip_prefix("limits.")?;
        let is_key = key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.');
        let behind = parts.get(index + 1).copied().unwrap_or_default();
        let default = behind.trim_start().strip_prefix('(');
        let default = default.and_then(|it| it.split(')').next());
        let default = default.filter(|it| it.starts_with(|c: char| c.is_ascii_digit()));
        is_key.then(|| (format!("limits.{key}"), default.map(str::to_owned)))
    });
    named.collect()
}

/// `docs/limits.md` is held against the configuration.
#[test]
fn the_limits_in_the_contract_are_those_of_the_configuration() {
    let document = read("docs/limits.md");
    let stated = |key: &str| {
        let row = format!("| `{key}` | ");
        let row = document.lines().find_map(|line| line.strip_prefix(&row));
        let row = row.unwrap_or_else(|| panic!("there is no {key}"));
        let default = row.split('|').next().unwrap_or_default();
        default.trim().trim_matches('`').to_owned()
    };
    let named = limits(&read("wit/roster.wit"));
    let with_defaults = named
        .into_iter()
        .filter_map(|(key, default)| Some((key, default?)));
    let mut checked = 0;
    for (key, default) in with_defaults {
        assert_eq!(default.replace([',', ' '], ""), stated(&key), "{key}");
        checked += 1;
    }
    assert!(checked >= 10, "{checked}");
}
