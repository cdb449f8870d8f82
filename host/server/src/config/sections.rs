//! Which sections of a configuration file have changed since the start.
//!
//! All of the file but the settings of plugins is read once, so that who changes
//! something else and sends SIGHUP has to be told. Owns no values: what is kept of
//! them are hashes, and what is told are the sections.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

/// The tables that are read again, as the path of one ends.
const READ_AGAIN: &str = ".plugin.settings";

/// A file as it was at the start.
#[derive(Debug)]
pub(crate) struct Sections {
    /// So that a hash tells nothing of a secret.
    key: RandomState,
    /// By the path of a key.
    values: BTreeMap<String, u64>,
}

impl Sections {
    /// Those of a text; of one that is no TOML there are none.
    pub(super) fn of(text: &str) -> Self {
        let key = RandomState::new();
        let values = hashed(text, &key).unwrap_or_default();
        Self { key, values }
    }

    /// The sections of the file now in which something is otherwise and needs a
    /// restart; `None` if it cannot be read.
    pub(crate) fn changed(&self, file: &Path) -> Option<BTreeSet<String>> {
        let text = std::fs::read_to_string(file).map(Zeroizing::new).ok()?;
        let now = hashed(&text, &self.key)?;
        let keys = self.values.keys().chain(now.keys());
        let changed = keys.filter(|key| self.values.get(*key) != now.get(*key));
        let sections = changed.map(|key| key.rsplit_once('.').map_or("", |(section, _)| section));
        let sections = sections.filter(|section| !section.ends_with(READ_AGAIN));
        Some(sections.map(str::to_owned).collect())
    }
}

fn hashed(text: &str, key: &RandomState) -> Option<BTreeMap<String, u64>> {
    let root = DeTable::parse(text).ok()?;
    let mut values = BTreeMap::new();
    of_table("", root.get_ref(), key, &mut values);
    Some(values)
}

fn of_table(path: &str, table: &DeTable<'_>, key: &RandomState, into: &mut BTreeMap<String, u64>) {
    for (name, value) in table.iter() {
        let path = match path {
            "" => name.get_ref().to_string(),
            path => format!("{path}.{}", name.get_ref()),
        };
        of_value(&path, value.get_ref(), key, into);
    }
}

fn of_value(path: &str, value: &DeValue<'_>, key: &RandomState, into: &mut BTreeMap<String, u64>) {
    match value {
        DeValue::Table(table) => of_table(path, table, key, into),
        DeValue::Array(values) if values.iter().any(|it| it.get_ref().is_table()) => {
            for (index, value) in values.iter().enumerate() {
                of_value(&format!("{path}[{index}]"), value.get_ref(), key, into);
            }
        }
        value => {
            into.insert(path.to_owned(), key.hash_one(written(value).as_str()));
        }
    }
}

/// A value that is no table, as it counts.
fn written(value: &DeValue<'_>) -> Zeroizing<String> {
    Zeroizing::new(match value {
        DeValue::String(text) => format!("\"{text}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(word) => word.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => {
            let values = values.iter().map(|it| written(it.get_ref()).to_string());
            values.collect::<Vec<_>>().join(",")
        }
        DeValue::Table(_) => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_otherwise_is_told_by_its_section() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("muster.toml");
        let before = "[limits.plugin]\nturn = \"50ms\"\n[[virtual_host]]\ndomain = \"a\"\n\
            auth = { kind = \"static\", users = { john = \"secret\" } }\n\
            [virtual_host.plugin.settings]\npage_size = \"50\"\n";
        let sections = Sections::of(before);
        assert!(!format!("{sections:?}").contains("secret"));
        for (from, to, expected) in [
            ("", "", &[][..]),
            ("\n", "\n\n# a word\n", &[]),
            ("\"50\"", "\"70\"", &[]),
            ("page_size = \"50\"", "other = \"x\"", &[]),
            ("\"50ms\"", "\"60ms\"", &["limits.plugin"]),
            ("turn = \"50ms\"\n", "", &["limits.plugin"]),
            ("john = ", "paul = ", &["virtual_host[0].auth.users"]),
            ("domain = \"a\"", "domain = \"b\"", &["virtual_host[0]"]),
            (
                "[limits.plugin]",
                "[limits.xmpp]",
                &["limits.plugin", "limits.xmpp"],
            ),
        ] {
            let now = match from {
                "" => before.to_owned(),
                from => before.replacen(from, to, 1),
            };
            std::fs::write(&file, now).unwrap();
            let changed = sections.changed(&file).unwrap();
            assert_eq!(changed.into_iter().collect::<Vec<_>>(), expected, "{to}");
        }
        std::fs::write(&file, "[[[").unwrap();
        assert_eq!(sections.changed(&file), None);
    }
}
