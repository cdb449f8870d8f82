//! `[xmpp]`, `[http]`, `[admin]` and `[log]`: where peers connect, who may ask for a refresh, and
//! how the process tells what it does.
//!
//! Owns the rules that keep plaintext logins and an unguarded refresh route on loopback.

use std::net::SocketAddr;

use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;

use super::fault::{Place, Problem};
use super::reader::{Located, Section};
use super::secret_file;

/// `[xmpp]`
#[derive(Debug, Clone)]
pub struct Xmpp {
    /// Addresses for client streams (RFC 6120 §3), with STARTTLS if there is a certificate.
    /// Default `127.0.0.1:5222`; port 0 takes a free port. Empty only if `listen_tls` is not.
    pub listen: Vec<SocketAddr>,
    /// Addresses for client streams under TLS from the first byte on (XEP-0368). Default none.
    pub listen_tls: Vec<SocketAddr>,
    /// Whether a stream must be under TLS before a login. Default true; false only if every
    /// address of `listen` is on loopback.
    pub require_tls: bool,
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct Http {
    /// Addresses for `/roster_admin/…`, `/healthz`, `/readyz` and `/metrics`. Default
    /// `127.0.0.1:5280`; port 0 takes a free port. Empty only if `listen_tls` is not.
    pub listen: Vec<SocketAddr>,
    /// Addresses for the same under TLS. Default none.
    pub listen_tls: Vec<SocketAddr>,
}

/// `[admin]`
#[derive(Debug, Clone)]
pub struct Admin {
    /// Bearer tokens, each as good as the others: those of `tokens` and of `token_file`. Empty
    /// only if `allow_unauthenticated`.
    pub tokens: Vec<SecretString>,
    /// Whether a refresh needs no token. Default false; true only if every address of
    /// `http.listen` and `http.listen_tls` is on loopback.
    pub allow_unauthenticated: bool,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// Default text.
    pub format: LogFormat,
    /// A level, or a filter as of tracing-subscriber. Default `info`. Parses as an [`EnvFilter`].
    pub level: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Xmpp {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let Listen { plain, tls } = Listen::read(section, Some(([127, 0, 0, 1], 5222).into()));
        let require_tls = section.value("require_tls", true);
        if !require_tls {
            for Located { value, place } in plain.iter().flatten() {
                if !value.ip().is_loopback() {
                    let address = *value;
                    section.error(place, Problem::PlaintextBeyondLoopback { address });
                }
            }
        }
        Some(Self {
            listen: values(plain?),
            listen_tls: values(tls?),
            require_tls,
        })
    }

    /// The first address that others than this machine can reach.
    pub(super) fn beyond_loopback(&self) -> Option<SocketAddr> {
        beyond_loopback(self.listen.iter().chain(&self.listen_tls))
    }
}

impl Http {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let Listen { plain, tls } = Listen::read(section, Some(([127, 0, 0, 1], 5280).into()));
        Some(Self {
            listen: values(plain?),
            listen_tls: values(tls?),
        })
    }
}

/// Shorter tokens are accepted with a warning: 16 characters of base64 are 96 bits.
const SHORT_TOKEN: usize = 16;

impl Admin {
    pub(super) fn read(section: &mut Section<'_>, http: Option<&Http>) -> Option<Self> {
        let listed = section.list::<SecretString>("tokens");
        // Tokens that are there and cannot be used have their faults already.
        let none = listed
            .as_ref()
            .map_or(!section.has("tokens"), Vec::is_empty);
        let mut tokens = listed.unwrap_or_default();
        tokens.extend(token_file(section));
        for Located { value, place } in &tokens {
            check_token(section, value, place);
        }
        let allow_unauthenticated = section.value("allow_unauthenticated", false);
        let beyond =
            http.and_then(|http| beyond_loopback(http.listen.iter().chain(&http.listen_tls)));
        match (allow_unauthenticated, beyond) {
            (true, Some(address)) => {
                let problem = Problem::UnauthenticatedBeyondLoopback { address };
                section.error(&section.place("allow_unauthenticated"), problem);
            }
            (false, _) if none && !section.has("token_file") => {
                section.error(&section.place("tokens"), Problem::NoToken);
            }
            _ => {}
        }
        Some(Self {
            tokens: values(tokens),
            allow_unauthenticated,
        })
    }
}

/// One token a line; empty lines and lines that begin with `#` do not count.
fn token_file(section: &mut Section<'_>) -> Vec<Located<SecretString>> {
    let Some((text, path, place)) = secret_file::read(section, "token_file") else {
        return Vec::new();
    };
    let lines = text.lines().map(str::trim);
    let tokens: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Located {
            value: SecretString::from(line),
            place: place.clone(),
        })
        .collect();
    if tokens.is_empty() {
        section.error(&place, Problem::NoTokenInFile { path });
    }
    tokens
}

/// RFC 6750 §2.1, `b64token`.
fn check_token(section: &Section<'_>, token: &SecretString, place: &Place) {
    let token = token.expose_secret();
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let length = token.len();
    if !token.bytes().all(accepted) {
        section.error(place, Problem::TokenCharacters);
    } else if length < SHORT_TOKEN {
        section.warn(place, Problem::ShortToken { length });
    }
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let formats = [LogFormat::Text, LogFormat::Json];
        let format = section.word("format", &["text", "json"], &formats);
        let level = section.located::<String>("level");
        if let Some(level) = &level
            && EnvFilter::try_new(&level.value).is_err()
        {
            section.error(&level.place, Problem::NotAFilter);
        }
        Self {
            format: format.unwrap_or(LogFormat::Text),
            level: level.map_or_else(|| "info".to_owned(), |level| level.value),
        }
    }
}

/// The addresses of a section; `None` where they are not usable.
pub(super) struct Listen {
    pub(super) plain: Option<Vec<Located<SocketAddr>>>,
    pub(super) tls: Option<Vec<Located<SocketAddr>>>,
}

impl Listen {
    /// Reads `listen`, which without the key is `default`, and `listen_tls`. Without a default
    /// both may be empty.
    pub(super) fn read(section: &mut Section<'_>, default: Option<SocketAddr>) -> Self {
        let stated = section.has("listen");
        let plain = section.list::<SocketAddr>("listen");
        let tls = if section.has("listen_tls") {
            section.list::<SocketAddr>("listen_tls")
        } else {
            section.list::<SocketAddr>("listen_tls");
            Some(Vec::new())
        };
        let place = section.place("listen");
        let plain = match plain {
            None if !stated => Some(Vec::from_iter(default.map(|value| Located {
                value,
                place: place.clone(),
            }))),
            plain => plain,
        };
        if let (Some(plain), Some(tls)) = (&plain, &tls) {
            if plain.is_empty() && tls.is_empty() && default.is_some() {
                section.error(&place, Problem::Empty);
            }
            let all: Vec<_> = plain.iter().chain(tls).collect();
            for (index, Located { value, place }) in all.iter().enumerate() {
                let mut earlier = all.iter().take(index);
                // Port 0 asks for any free port, which may be asked for twice.
                if value.port() != 0 && earlier.any(|other| other.value == *value) {
                    let address = *value;
                    section.error(place, Problem::RepeatedAddress { address });
                }
            }
        }
        Self { plain, tls }
    }
}

pub(super) fn beyond_loopback<'a>(
    mut addresses: impl Iterator<Item = &'a SocketAddr>,
) -> Option<SocketAddr> {
    addresses
        .find(|address| !address.ip().is_loopback())
        .copied()
}

pub(super) fn values<T>(located: Vec<Located<T>>) -> Vec<T> {
    located.into_iter().map(|found| found.value).collect()
}
