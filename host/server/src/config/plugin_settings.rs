//! `[virtual_host.plugin.settings]`: what the operator tells a plugin, in the plugin's own words.
//!
//! Owns the rules of names, the bounds, and the sources of values. Who reads them is the plugin,
//! all of them: a secret here is one that the plugin itself must know, such as the one that it
//! verifies a webhook's signature with.

use std::fmt;
use std::path::PathBuf;

use toml::de::DeValue;
use zeroize::Zeroizing;

use super::fault::{Place, Problem};
use super::quantity::Value;
use super::reader::{Located, Section};
use super::secret_file::check_permissions;

/// The names that the host itself has values for.
pub(crate) const OF_THE_HOST: [&str; 8] = [
    "domain",
    "http_roster_url",
    "http_rosters_url",
    "max_batch_bytes",
    "max_contacts",
    "max_names",
    "max_request_bytes",
    "max_response_bytes",
];

/// Most settings of one plugin.
const MOST: usize = 64;
/// Longest name.
const NAME_BYTES: usize = 64;
/// Longest value.
const VALUE_BYTES: usize = 8 << 10;

/// Names and values, as they were when the configuration was read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PluginSettings(Vec<(String, Zeroizing<String>)>);

/// Only the names: a value may be a secret.
impl fmt::Debug for PluginSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        f.debug_set().entries(names).finish()
    }
}

impl PluginSettings {
    /// The pairs, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every fault is noted; of a table with faults nothing is used.
    pub(super) fn read(plugin: &mut Section<'_>) -> Self {
        let place = plugin.place("settings");
        let Some(pairs) = plugin.pairs::<Source>("settings") else {
            return Self::default();
        };
        if pairs.len() > MOST {
            plugin.error(&place, Problem::TooManySettings { most: MOST });
        }
        let settings = pairs.into_iter().filter_map(|(name, source)| {
            let Located { value: name, place } = name;
            if let Some(problem) = fault_of(&name) {
                plugin.error(&place, problem);
                return None;
            }
            let value = source.value(plugin, &place)?;
            if value.len() > VALUE_BYTES {
                plugin.error(&place, Problem::LongSetting { most: VALUE_BYTES });
                return None;
            }
            Some((name, value))
        });
        Self(settings.collect())
    }
}

fn fault_of(name: &str) -> Option<Problem> {
    let name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let is_name = name.len() <= NAME_BYTES
        && name.bytes().all(name_byte)
        && name.starts_with(|c: char| c.is_ascii_lowercase());
    if OF_THE_HOST.contains(&name) {
        return Some(Problem::SettingOfTheHost);
    }
    (!is_name).then_some(Problem::NotASettingName { most: NAME_BYTES })
}

/// Where the value of a setting comes from.
enum Source {
    Text(Zeroizing<String>),
    Environment(String),
    File(PathBuf),
}

impl Source {
    fn value(self, section: &Section<'_>, place: &Place) -> Option<Zeroizing<String>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Environment(name) => match std::env::var(&name) {
                Ok(value) => Some(value.into()),
                Err(_) => {
                    section.error(place, Problem::NotInEnvironment { name });
                    None
                }
            },
            Self::File(path) => {
                let path = section.resolve(&path);
                match std::fs::read_to_string(&path).map(Zeroizing::new) {
                    Ok(text) => {
                        check_permissions(section, &path, place);
                        Some(Zeroizing::new(text.trim_end().to_owned()))
                    }
                    Err(error) => {
                        let reason = error.to_string();
                        section.error(place, Problem::Unreadable { path, reason });
                        None
                    }
                }
            }
        }
    }
}

impl Value for Source {
    const EXPECTED: &'static str = "a string in quotes, { env = \"…\" } or { file = \"…\" }";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        if let Some(text) = value.as_str() {
            return Ok(Self::Text(text.to_owned().into()));
        }
        let table = value.as_table().ok_or_else(|| Self::mismatch(value))?;
        let mut pairs = table.iter();
        let pair = pairs.next().zip(pairs.next().is_none().then_some(()));
        let source = pair.and_then(|((key, value), ())| {
            let text = value.get_ref().as_str()?.to_owned();
            match key.get_ref().as_ref() {
                "env" => Some(Self::Environment(text)),
                "file" => Some(Self::File(text.into())),
                _ => None,
            }
        });
        source.ok_or_else(|| Self::mismatch(value))
    }
}
