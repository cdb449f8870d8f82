//! The typed configuration: what the operator's TOML file says, as plain data.
//!
//! Owns the names, defaults and bounds of every key, and the rules between keys. A [`Config`]
//! that exists is usable: nothing checks it again later. Owns no behaviour; the listeners,
//! sessions, rosters and the plugin take their part of it when they are built. The text goes
//! through three layers: `reader` (tables and values with their places), `limits` and
//! `virtual_host` (the sections), and `fault` (what was wrong, all of it at once).

mod app_secret;
mod audit_limits;
mod auth;
mod backend_limits;
mod breaker_limits;
mod contact_addresses;
mod fault;
mod guard;
mod jwt;
mod limits;
mod listeners;
mod origin;
mod plugin;
mod plugin_limits;
mod plugin_settings;
mod quantity;
mod reader;
mod refresh;
mod secret_file;
mod sections;
mod shadow_limits;
mod storage;
mod telemetry;
mod tls;
mod token_keys;
pub mod users_file;

mod virtual_host;
mod web;

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use app_secret::{AppSecret, SecretFault, SecretSource};
pub use audit_limits::AuditLimits;
pub use auth::{Auth, CaFile, Credential};
pub use backend_limits::BackendLimits;
pub use breaker_limits::BreakerLimits;
pub use contact_addresses::ContactAddresses;
pub use fault::{Fault, Faults, Position, Problem, Severity};
pub use guard::Guard;
pub use jwt::JwtAuth;
pub use limits::{BoshLimits, HttpLimits, Limits, RateLimits, StanzaLimits, TlsLimits, XmppLimits};
pub use listeners::{Admin, Http, Log, LogFormat, Xmpp};
pub use origin::{AccessFault, Egress, OriginAccess};
pub use plugin::{HostPlugin, Reload};
pub use plugin_limits::PluginLimits;
pub(crate) use plugin_settings::OF_THE_HOST;
pub use plugin_settings::{PluginSettings, SettingsFault};
pub use refresh::RefreshLimits;
pub(crate) use sections::Sections;
pub use shadow_limits::ShadowLimits;
pub use storage::{Storage, StorageLimits};
pub use telemetry::{Otlp, Telemetry, TelemetryLimits};
pub use tls::HostTls;
pub use token_keys::{KeyFault, KeySource, TokenAlgorithm, TokenKey, TokenKeys};
pub use virtual_host::{OnBackendFailure, PluginSource, Roster, VirtualHost};
pub use web::{Origins, Web};

use reader::Document;
use virtual_host::Surroundings;

/// Everything that the operator decides. Its `Debug` form shows no token and no password.
#[derive(Debug)]
pub struct Config {
    /// `[xmpp]`: where clients connect.
    pub xmpp: Xmpp,
    /// `[http]`: where the app and the operator connect.
    pub http: Http,
    /// `[web]`: what is there for web clients.
    pub web: Web,
    /// `[admin]`: who may ask for a refresh.
    pub admin: Admin,
    /// `[[virtual_host]]`, at least one, in the order of the file; domains are unique.
    pub virtual_hosts: Vec<VirtualHost>,
    /// `[storage]`: where the server keeps what has to outlive it.
    pub storage: Storage,
    /// `[limits]`: the bounds of everything that peers can make grow.
    pub limits: Limits,
    /// `[telemetry]`: where traces go.
    pub telemetry: Telemetry,
    /// `[log]`: how the process tells what it does.
    pub log: Log,
    /// The file that it is of, where [`PluginSettings`] are read again; `None` for a text.
    pub file: Option<PathBuf>,
    /// What it said, for who wonders later what has changed; `None` likewise.
    pub(crate) sections: Option<Sections>,
    /// What is accepted but worth a word: file permissions, short tokens.
    pub warnings: Vec<Fault>,
}

impl Config {
    /// Reads and parses the file at `path`.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`] when the file cannot be read, [`LoadError::Faults`] with every
    /// fault of its content.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|source| LoadError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            file: Some(path.to_owned()),
            sections: Some(Sections::of(&text)),
            ..Self::parse(&text, path)?
        })
    }

    /// Parses `text`; `origin` is the file that it came from, named in faults. Relative paths
    /// inside are taken from the directory of `origin`; the files that they name are read here.
    ///
    /// # Errors
    /// Every fault of the text and of the files that it names, in the order of the text.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, Faults> {
        let document = Document::parse(text, origin);
        // What is missing from a text that is not TOML says nothing.
        let config = match document.is_sound() {
            true => Self::read(&document),
            false => None,
        };
        let (faults, warnings) = document.finish();
        match config {
            Some(config) if faults.is_empty() => Ok(Self { warnings, ..config }),
            _ => Err(Faults::new(faults, warnings)),
        }
    }

    fn read(document: &Document<'_>) -> Option<Self> {
        document.root(|root| {
            let xmpp = root.section("xmpp", Xmpp::read);
            let http = root.section("http", Http::read);
            let web = root.section("web", |web| Web::read(web, xmpp.as_ref(), http.as_ref()));
            let admin = root.section("admin", |admin| Admin::read(admin, http.as_ref()));
            let storage = root.section("storage", Storage::read);
            let limits = root.section("limits", Limits::read);
            let telemetry = root.section("telemetry", Telemetry::read);
            let log = root.section("log", Log::read);
            let surroundings = Surroundings {
                xmpp: xmpp.as_ref(),
                http: http.as_ref(),
                web: web.as_ref(),
                limits: &limits,
            };
            let virtual_hosts = VirtualHost::read_all(root, &surroundings);
            Some(Self {
                xmpp: xmpp?,
                http: http?,
                web: web?,
                admin: admin?,
                virtual_hosts: virtual_hosts?,
                storage,
                limits,
                telemetry,
                log,
                file: None,
                sections: None,
                warnings: Vec::new(),
            })
        })
    }
}

/// Why there is no configuration. Reach: the process does not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read, or is not UTF-8.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file can be read but does not say something usable.
    #[error(transparent)]
    Faults(#[from] Faults),
}

#[cfg(test)]
mod tests;
