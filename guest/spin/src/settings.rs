//! The plugin's settings, from Spin's variables.
//!
//! Owns the names: `http_roster_url` (required) and `max_names`. They are asked
//! for anew in every call, which costs the host a look into a list: under Spin
//! a variable may come from a provider that changes its mind.

use muster_contract::{DEFAULT_MAX_NAMES, TemplateError, UrlTemplate};
use spin_sdk::variables::{self, Error};

/// Why there is no setting. Reach: the call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// It is not there, or its provider failed.
    #[error("{key}: {source}")]
    Variable { key: &'static str, source: Error },
    /// No URL can be made of it.
    #[error("http_roster_url {0}")]
    Template(TemplateError),
    /// Not a number.
    #[error("max_names must be a number")]
    NotANumber,
}

/// Where a user's contacts are.
pub(crate) async fn template() -> Result<UrlTemplate, SettingsError> {
    let key = "http_roster_url";
    let text = variables::get(key).await;
    let text = text.map_err(|source| SettingsError::Variable { key, source })?;
    UrlTemplate::parse(&text).map_err(SettingsError::Template)
}

/// How many usernames one request may have.
pub(crate) async fn max_names() -> Result<usize, SettingsError> {
    let key = "max_names";
    match variables::get(key).await {
        Ok(text) => text.parse().map_err(|_| SettingsError::NotANumber),
        Err(Error::Undefined(_)) => Ok(DEFAULT_MAX_NAMES),
        Err(source) => Err(SettingsError::Variable { key, source }),
    }
}
