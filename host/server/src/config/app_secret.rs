//! `authorization = { … }`: the secret by which the app knows Muster, and where it comes from.
//!
//! Owns the two sources and the words for what is wrong with them; none of them quotes the secret.

use std::path::PathBuf;

use muster_plugin::{Authorization, AuthorizationError};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::fault::Problem;
use super::reader::{Located, Section};
use super::secret_file::check_permissions;

/// A secret, and how it is written into the header `Authorization`.
#[derive(Debug, Clone)]
pub struct AppSecret {
    /// What stands before it: `Bearer`, `Basic`, or nothing. Default `Bearer`.
    pub scheme: String,
    /// Where it comes from.
    pub source: SecretSource,
}

/// Where a secret comes from.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// An environment variable, as it was when the configuration was read.
    Environment(SecretString),
    /// A file; read again on SIGHUP. White space at its end does not belong to the secret.
    File(PathBuf),
}

/// Why there is no secret. Reach: the process at its start; afterwards nothing, the secret before
/// stays.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// What is there makes no header.
    #[error(transparent)]
    Unusable(#[from] AuthorizationError),
}

impl AppSecret {
    /// Reads the section; its faults are noted, and the secret itself looked at.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let scheme = Scheme::read(section);
        let name = section.located::<String>("env");
        let path = section.located::<PathBuf>("file");
        if !section.is_there() {
            return None;
        }
        let (source, place) = match (name, path) {
            (Some(Located { place, .. }), Some(_)) => {
                section.error(&place, Problem::SeveralSecrets);
                return None;
            }
            (Some(Located { value: name, place }), None) => match std::env::var(&name) {
                Ok(secret) => (SecretSource::Environment(secret.into()), place),
                Err(_) => {
                    section.error(&place, Problem::NotInEnvironment { name });
                    return None;
                }
            },
            (None, Some(Located { value, place })) => {
                let path = section.resolve(&value);
                check_permissions(section, &path, &place);
                (SecretSource::File(path), place)
            }
            (None, None) => {
                if !section.has("env") && !section.has("file") {
                    section.error(&section.place("env"), Problem::NoSecret);
                }
                return None;
            }
        };
        let secret = Self { scheme, source };
        match secret.authorization() {
            Ok(_) => Some(secret),
            Err(fault) => {
                section.error(&place, Problem::Secret { fault });
                None
            }
        }
    }

    /// Whether it can change while the process runs.
    pub(super) fn is_in_a_file(&self) -> bool {
        matches!(self.source, SecretSource::File(_))
    }

    /// The header, from the source as it is now.
    ///
    /// # Errors
    /// [`SecretFault`]; it quotes nothing.
    pub(crate) fn authorization(&self) -> Result<Authorization, SecretFault> {
        let from_file;
        let secret = match &self.source {
            SecretSource::Environment(secret) => secret,
            SecretSource::File(path) => {
                let text = std::fs::read_to_string(path).map(Zeroizing::new);
                let text = text.map_err(|source| SecretFault::Unreadable {
                    path: path.clone(),
                    source,
                })?;
                from_file = SecretString::from(text.trim_end());
                &from_file
            }
        };
        Ok(Authorization::new(&self.scheme, secret)?)
    }
}

/// The key `scheme`, which may be empty.
struct Scheme;

impl Scheme {
    fn read(section: &mut Section<'_>) -> String {
        let scheme = section.located::<Word>("scheme");
        scheme.map_or_else(|| "Bearer".to_owned(), |found| found.value.0)
    }
}

/// A string that may be empty.
struct Word(String);

impl super::quantity::Value for Word {
    const EXPECTED: &'static str = "a string in quotes, such as \"Bearer\"";

    fn read(value: &toml::de::DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        Ok(Self(text.to_owned()))
    }
}
