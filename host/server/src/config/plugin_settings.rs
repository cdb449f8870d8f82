//! `[virtual_host.plugin.settings]`: what the operator tells a plugin, in the plugin's own words.
//!
//! Owns the rules of names, the bounds, the sources of values, and how they are read again while the
//! server runs. Who reads them is the plugin,
//! all of them: a secret here is one that the plugin itself must know, such as the one that it
//! verifies a webhook's signature with.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use jid::DomainPart;
use toml::de::DeValue;
use zeroize::Zeroizing;

use super::fault::{Fault, Faults, Place, Problem};
use super::quantity::Value;
use super::reader::{Document, Located, Section};
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

// These three are no limits that an operator could want to move, and so have no keys: nobody but the
// operator makes settings grow, and what they catch is a mistake, such as the wrong file. What a
// plugin needs in bulk is its app's to tell.

/// Most settings of one plugin.
const MOST: usize = 64;
/// Longest name.
const NAME_BYTES: usize = 64;
/// Longest value, and longest file that one is read from.
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
    /// These.
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter();
        Self(
            pairs
                .map(|(name, value)| ((*name).to_owned(), Zeroizing::new((*value).to_owned())))
                .collect(),
        )
    }

    /// The pairs, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Those of a virtual host as the configuration states them now; nothing else of it is read, nor
    /// does it matter. And what is worth a word about them.
    ///
    /// # Errors
    /// [`SettingsFault`]: they cannot be used.
    pub(crate) fn read_again(
        file: &Path,
        domain: &DomainPart,
    ) -> Result<(Self, Vec<Fault>), SettingsFault> {
        let text = std::fs::read_to_string(file).map(Zeroizing::new);
        let text = text.map_err(|source| SettingsFault::Unreadable {
            path: file.to_owned(),
            source,
        })?;
        let document = Document::parse(&text, file);
        let found = match document.is_sound() {
            true => document.root(|root| Self::of_host(root, domain)),
            false => None,
        };
        let (faults, warnings) = document.finish_asked();
        match found {
            _ if !faults.is_empty() => Err(Faults::new(faults, warnings).into()),
            Some(settings) => Ok((settings, warnings)),
            None => Err(SettingsFault::NoSuchHost {
                domain: domain.clone(),
            }),
        }
    }

    fn of_host(root: &mut Section<'_>, domain: &DomainPart) -> Option<Self> {
        let hosts = root.sections("virtual_host", |host| {
            let named = host.optional::<String>("domain")?;
            let is_wanted = DomainPart::from_str(&named).is_ok_and(|named| named == *domain);
            is_wanted.then(|| host.section("plugin", Self::read))
        });
        hosts.into_iter().flatten().next()
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
                match read_short(&path) {
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

/// A text that is longer is not read to its end, and refused for its length.
fn read_short(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path)?;
    // White space at the end does not count.
    let most = VALUE_BYTES as u64 * 2;
    file.take(most).read_to_string(&mut text)?;
    Ok(text)
}

/// Why settings were not read again. Reach: the ones before stay in use.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFault {
    /// The configuration cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// It is no TOML, or what it says of these settings cannot be used.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// It has this virtual host no more.
    #[error("the configuration has no virtual host {domain} any more, which needs a restart")]
    NoSuchHost {
        /// Which.
        domain: DomainPart,
    },
    /// Reading broke off.
    #[error("the configuration could not be read to its end")]
    BrokenOff,
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
