//! `[virtual_host.auth]`: who may log in.
//!
//! Owns the kinds and which key belongs to which, and the rules that keep passwords from
//! travelling in the clear and the wildcard login on loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jid::NodePart;
use muster_xmpp::sasl::{AccountCredentials, MAX_PASSWORD_BYTES};
use rustls::RootCertStore;
use secrecy::{ExposeSecret, SecretString};
use stringprep::saslprep;
use url::{Host, Url};

use super::fault::{Place, Problem};
use super::jwt::JwtAuth;
use super::reader::{Located, Section};
use super::{secret_file, users_file};
use crate::tls::read_roots;

/// `[virtual_host.auth]`
#[derive(Debug)]
pub enum Auth {
    /// `kind = "static"`: the users are listed, by local part (RFC 7622 §3.3).
    Static {
        /// The users of `users` and of `users_file`; at least one.
        users: HashMap<NodePart, Credential>,
    },
    /// `kind = "http"`: the app is asked for each login. The password must come in the clear
    /// from the client, so that only PLAIN can be offered.
    Http {
        /// Takes a POST of `{"username","password"}`: `https`, or loopback, or explicitly
        /// allowed.
        url: Url,
        /// For the whole answer. Default 5 s.
        timeout: Duration,
        /// The authorities that may vouch for the app, in place of Mozilla's.
        ca_file: Option<CaFile>,
    },
    /// `kind = "jwt"`: the app has signed a token, which takes the place of a password.
    Jwt(JwtAuth),
    /// `kind = "any"`: every user name with every password. Every XMPP listener is on loopback.
    Any,
}

/// Authorities of the operator's own.
#[derive(Debug, Clone)]
pub struct CaFile {
    /// The PEM file, made absolute by the directory of the configuration; read again on SIGHUP.
    pub path: PathBuf,
    /// What was in it.
    pub roots: Arc<RootCertStore>,
}

/// What a listed user proves to know.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The password itself, as written in the configuration.
    Password(SecretString),
    /// Its SCRAM keys, as written by `muster user add`.
    Scram(Arc<AccountCredentials>),
}

/// The kinds of `auth`, and which keys belong to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Static,
    Http,
    Jwt,
    Any,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Static, Self::Http, Self::Jwt, Self::Any];
    const NAMES: [&'static str; 4] = ["static", "http", "jwt", "any"];

    const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Http => "http",
            Self::Jwt => "jwt",
            Self::Any => "any",
        }
    }
}

impl Auth {
    /// `public` is an address at which others than this machine can log in.
    pub(super) fn read(section: &mut Section<'_>, public: Option<SocketAddr>) -> Option<Self> {
        if !section.has("kind") {
            section.missing("kind", "kind = \"static\"");
        }
        let kind = section.word("kind", &Kind::NAMES, &Kind::ALL);
        let users = users(section);
        let url = section.located::<Url>("url");
        let timeout = section.value("timeout", Duration::from_secs(5));
        let allow_plain_http = section.value("allow_plain_http", false);
        let ca_file = ca_file(section);
        let jwt = JwtAuth::read(section, kind == Some(Kind::Jwt));
        let kind = kind?;
        refuse_keys_of_others(section, kind);
        match kind {
            Kind::Static => {
                if !section.has("users") && !section.has("users_file") {
                    section.error(&section.place("users"), Problem::NoUsers);
                }
                Some(Self::Static { users })
            }
            Kind::Http => {
                if !section.has("url") {
                    section.missing("url", "url = \"http://127.0.0.1:8080/auth\"");
                }
                let Located { value: url, place } = url?;
                check_http(section, &url, &place);
                if !allow_plain_http {
                    refuse_plain_http(section, &url, &place);
                }
                if url.scheme() == "http" && section.has("ca_file") {
                    section.error(&section.place("ca_file"), Problem::WithoutTls);
                }
                Some(Self::Http {
                    url,
                    timeout,
                    ca_file,
                })
            }
            Kind::Jwt => jwt.map(Self::Jwt),
            Kind::Any => {
                if let Some(address) = public {
                    section.error(
                        &section.place("kind"),
                        Problem::AnyBeyondLoopback { address },
                    );
                }
                Some(Self::Any)
            }
        }
    }
}

/// The authorities in `ca_file`; what is wrong with the file is noted.
pub(super) fn ca_file(section: &mut Section<'_>) -> Option<CaFile> {
    let Located { value, place } = section.located::<PathBuf>("ca_file")?;
    let path = section.resolve(&value);
    match read_roots(&path) {
        Ok(roots) => Some(CaFile { path, roots }),
        Err(error) => {
            section.error(&place, Problem::Certificate(error));
            None
        }
    }
}

/// A key without effect is as wrong as an unknown one: the operator expects something of it.
fn refuse_keys_of_others(section: &Section<'_>, kind: Kind) {
    let keys = [
        ("users", Kind::Static),
        ("users_file", Kind::Static),
        ("url", Kind::Http),
        ("timeout", Kind::Http),
        ("allow_plain_http", Kind::Http),
        ("ca_file", Kind::Http),
    ];
    let jwt = JwtAuth::KEYS.map(|key| (key, Kind::Jwt));
    for (key, owner) in keys.into_iter().chain(jwt) {
        if owner != kind && section.has(key) {
            let (owner, kind) = (owner.name(), kind.name());
            section.error(
                &section.place(key),
                Problem::KeyOfAnotherKind { owner, kind },
            );
        }
    }
}

/// The users of `users` and of `users_file`.
fn users(section: &mut Section<'_>) -> HashMap<NodePart, Credential> {
    let mut users = HashMap::new();
    let listed = section.pairs("users");
    if listed.as_ref().is_some_and(Vec::is_empty) {
        section.error(&section.place("users"), Problem::Empty);
    }
    for (Located { value: name, place }, password) in listed.unwrap_or_default() {
        check_password(section, &password, &place);
        match NodePart::from_str(&name) {
            Ok(name) => add_user(
                section,
                &mut users,
                name,
                &place,
                Credential::Password(password),
            ),
            Err(reason) => section.error(&place, Problem::NotAUsername { text: name, reason }),
        }
    }
    if let Some((text, path, place)) = secret_file::read(section, "users_file") {
        for (line, account) in users_file::parse(&text) {
            match account {
                Ok((name, credentials)) => {
                    let credential = Credential::Scram(Arc::new(credentials));
                    add_user(section, &mut users, name, &place, credential);
                }
                Err(reason) => {
                    let path = path.clone();
                    section.error(&place, Problem::UsersFile { path, line, reason });
                }
            }
        }
    }
    users
}

fn add_user(
    section: &Section<'_>,
    users: &mut HashMap<NodePart, Credential>,
    name: NodePart,
    place: &Place,
    credential: Credential,
) {
    let username = name.to_string();
    if users.insert(name, credential).is_some() {
        section.error(place, Problem::RepeatedUser { username });
    }
}

/// SCRAM can only use what SASLprep leaves (RFC 5802 §2.2).
fn check_password(section: &Section<'_>, password: &SecretString, place: &Place) {
    let password = password.expose_secret();
    let usable = saslprep(password).is_ok_and(|prepared| !prepared.is_empty());
    if !usable || password.len() > MAX_PASSWORD_BYTES {
        section.error(place, Problem::NotAPassword);
    }
}

/// What cannot be asked by HTTP.
pub(super) fn check_http(section: &Section<'_>, url: &Url, place: &Place) {
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = url.scheme().to_owned();
        section.error(place, Problem::Scheme { scheme });
    }
    if !url.username().is_empty() || url.password().is_some() {
        section.error(place, Problem::Userinfo);
    }
    if url.fragment().is_some() {
        section.error(place, Problem::Fragment);
    }
}

/// Whether what is sent there could be read on the way.
pub(super) fn is_in_the_clear(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && !loopback
}

fn refuse_plain_http(section: &Section<'_>, url: &Url, place: &Place) {
    if is_in_the_clear(url) {
        let host = url.host_str().unwrap_or_default().to_owned();
        section.error(place, Problem::PasswordsInTheClear { host });
    }
}
