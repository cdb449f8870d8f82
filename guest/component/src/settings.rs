//! The plugin's settings, from `wasi:config/store`.
//!
//! Owns the keys: `http_roster_url` (required), `http_rosters_url` (where many
//! users are asked for at once; without it they are not), `max_contacts`,
//! `max_response_bytes`, `max_batch_bytes`, `max_names` and `max_request_bytes`
//! (the host's bounds, where they are not the defaults).

use std::sync::OnceLock;

use muster_contract::{
    DEFAULT_MAX_CONTACTS, DEFAULT_MAX_NAMES, RosterUrl, TemplateError, UrlTemplate,
};

use crate::bindings::wasi::config::store;

const DEFAULT_MAX_RESPONSE_BYTES: usize = 4 << 20;
const DEFAULT_MAX_BATCH_BYTES: usize = 8 << 20;
const DEFAULT_MAX_REQUEST_BYTES: usize = 1 << 20;

/// What the operator configured.
pub(crate) struct Settings {
    pub(crate) template: UrlTemplate,
    pub(crate) rosters_url: Option<RosterUrl>,
    pub(crate) max_contacts: usize,
    pub(crate) max_response_bytes: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) max_names: usize,
    pub(crate) max_request_bytes: usize,
}

/// Why there are no settings. Reach: every call, until the configuration changes.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("the host does not answer for {key}")]
    Store { key: &'static str },
    #[error("{key} is not configured")]
    Missing { key: &'static str },
    #[error("http_roster_url {0}")]
    Template(TemplateError),
    #[error("http_rosters_url {0}")]
    RostersUrl(TemplateError),
    #[error("{key} must be a number")]
    NotANumber { key: &'static str },
}

/// The settings, read at the first call.
pub(crate) fn settings() -> Result<&'static Settings, SettingsError> {
    static SETTINGS: OnceLock<Result<Settings, SettingsError>> = OnceLock::new();
    SETTINGS.get_or_init(read).as_ref().map_err(Clone::clone)
}

fn read() -> Result<Settings, SettingsError> {
    let key = "http_roster_url";
    let template = get(key)?.ok_or(SettingsError::Missing { key })?;
    Ok(Settings {
        template: UrlTemplate::parse(&template).map_err(SettingsError::Template)?,
        rosters_url: get("http_rosters_url")?
            .map(|url| RosterUrl::fixed(&url))
            .transpose()
            .map_err(SettingsError::RostersUrl)?,
        max_contacts: number("max_contacts", DEFAULT_MAX_CONTACTS)?,
        max_response_bytes: number("max_response_bytes", DEFAULT_MAX_RESPONSE_BYTES)?,
        max_batch_bytes: number("max_batch_bytes", DEFAULT_MAX_BATCH_BYTES)?,
        max_names: number("max_names", DEFAULT_MAX_NAMES)?,
        max_request_bytes: number("max_request_bytes", DEFAULT_MAX_REQUEST_BYTES)?,
    })
}

fn get(key: &'static str) -> Result<Option<String>, SettingsError> {
    store::get(key).map_err(|_| SettingsError::Store { key })
}

fn number(key: &'static str, default: usize) -> Result<usize, SettingsError> {
    match get(key)? {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| SettingsError::NotANumber { key }),
    }
}
