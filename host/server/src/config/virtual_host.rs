//! `[[virtual_host]]`: one XMPP domain, who may log in to it and where its rosters come from.
//!
//! Owns the rules that keep passwords from travelling in the clear and the wildcard login on
//! loopback. Names are prepared here as RFC 7622 wants, so that they compare as bytes later.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jid::{DomainPart, NodePart};
use muster_contract::UrlTemplate;
use muster_xmpp::sasl::{AccountCredentials, MAX_PASSWORD_BYTES};
use secrecy::{ExposeSecret, SecretString};
use stringprep::saslprep;
use url::{Host, Url};

use super::contact_addresses::ContactAddresses;
use super::fault::{Place, Problem};
use super::listeners::{Http, Xmpp};
use super::reader::{Located, Section};
use super::tls::{Demand, HostTls};
use super::web::Web;
use super::{secret_file, users_file};

/// One XMPP domain.
#[derive(Debug)]
pub struct VirtualHost {
    /// The domain (RFC 7622 §3.2); unique in the configuration.
    pub domain: DomainPart,
    /// Where web clients reach it (`https://chat.example.com`), for host-meta; without it the
    /// address that the request names.
    pub public_url: Option<Url>,
    /// Who may log in.
    pub auth: Auth,
    /// Whether messages are kept for users of whom nobody is there (XEP-0160). Default true.
    pub offline_messages: bool,
    /// Where the rosters come from.
    pub roster: Roster,
    /// Its certificate. There is one if `xmpp.require_tls`.
    pub tls: Option<HostTls>,
    /// Where people reach who runs it.
    pub contact_addresses: ContactAddresses,
}

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
    },
    /// `kind = "any"`: every user name with every password. Every XMPP listener is on loopback.
    Any,
}

/// What a listed user proves to know.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The password itself, as written in the configuration.
    Password(SecretString),
    /// Its SCRAM keys, as written by `muster user add`.
    Scram(Arc<AccountCredentials>),
}

/// `[virtual_host.roster]`
#[derive(Debug, Clone)]
pub struct Roster {
    /// The component that talks to the app.
    pub plugin: PluginSource,
    /// Where the contacts of a user are; parses as a [`UrlTemplate`]. Its origin is all that the
    /// plugin may reach.
    pub http_roster_url: String,
    /// Whether the *name* in `http_roster_url` may resolve to a loopback or private address. An
    /// address written out, and `localhost`, need no permission. Default false.
    pub allow_private_addresses: bool,
}

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// `plugin = "builtin"`: the one inside this program.
    Builtin,
    /// The path of a component, made absolute by the directory of the configuration file.
    File(PathBuf),
}

impl VirtualHost {
    /// Every virtual host of the file; `None` if one of them cannot be used.
    pub(super) fn read_all(
        root: &mut Section<'_>,
        xmpp: Option<&Xmpp>,
        http: Option<&Http>,
        web: Option<&Web>,
    ) -> Option<Vec<Self>> {
        let mut lines = HashMap::new();
        let mut certificates = Demand::of(xmpp, http, web);
        let web = http.and_then(|http| web?.beyond_loopback(http));
        let public = xmpp.and_then(Xmpp::beyond_loopback).or(web);
        let hosts = root.sections("virtual_host", |section| {
            let domain = domain(section, &mut lines);
            let public_url = public_url(section);
            let offline_messages = section.value("offline_messages", true);
            let auth = section.section("auth", |auth| Auth::read(auth, public));
            let roster = section.section("roster", Roster::read);
            let tls = HostTls::read(section, domain.as_ref(), &mut certificates);
            let contact_addresses = section.section("contact_addresses", ContactAddresses::read);
            Some(Self {
                domain: domain?,
                public_url,
                auth: auth?,
                offline_messages,
                roster: roster?,
                tls,
                contact_addresses,
            })
        });
        certificates.check(root);
        if !root.has("virtual_host") {
            root.error(&root.place("virtual_host"), Problem::NoVirtualHost);
        }
        hosts.into_iter().collect()
    }
}

/// `lines` has the line of each domain so far.
fn domain(section: &mut Section<'_>, lines: &mut HashMap<DomainPart, usize>) -> Option<DomainPart> {
    let Located { value: text, place } =
        section.required::<String>("domain", "domain = \"example.test\"")?;
    let domain = match DomainPart::from_str(&text) {
        Ok(domain) => domain,
        Err(reason) => {
            section.error(&place, Problem::NotADomain { text, reason });
            return None;
        }
    };
    let line = section.line(&place);
    let first = *lines.entry(domain.clone()).or_insert(line);
    if first != line {
        let domain = domain.to_string();
        section.error(&place, Problem::RepeatedDomain { domain, first });
    }
    Some(domain)
}

/// A path is accepted: a proxy may serve the routes below one.
fn public_url(section: &mut Section<'_>) -> Option<Url> {
    let Located { value: url, place } = section.located::<Url>("public_url")?;
    check_http(section, &url, &place);
    if url.query().is_some() {
        section.error(&place, Problem::Query);
    }
    Some(url)
}

/// The kinds of `auth`, and which keys belong to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Static,
    Http,
    Any,
}

impl Kind {
    const NAMES: [&'static str; 3] = ["static", "http", "any"];

    const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Http => "http",
            Self::Any => "any",
        }
    }
}

impl Auth {
    /// `public` is an address at which others than this machine can log in.
    fn read(section: &mut Section<'_>, public: Option<SocketAddr>) -> Option<Self> {
        if !section.has("kind") {
            section.missing("kind", "kind = \"static\"");
        }
        let kind = section.word("kind", &Kind::NAMES, &[Kind::Static, Kind::Http, Kind::Any]);
        let users = users(section);
        let url = section.located::<Url>("url");
        let timeout = section.value("timeout", Duration::from_secs(5));
        let allow_plain_http = section.value("allow_plain_http", false);
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
                Some(Self::Http { url, timeout })
            }
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

/// A key without effect is as wrong as an unknown one: the operator expects something of it.
fn refuse_keys_of_others(section: &Section<'_>, kind: Kind) {
    let keys = [
        ("users", Kind::Static),
        ("users_file", Kind::Static),
        ("url", Kind::Http),
        ("timeout", Kind::Http),
        ("allow_plain_http", Kind::Http),
    ];
    for (key, owner) in keys {
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

fn check_http(section: &Section<'_>, url: &Url, place: &Place) {
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

fn refuse_plain_http(section: &Section<'_>, url: &Url, place: &Place) {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "http" && !loopback {
        let host = url.host_str().unwrap_or_default().to_owned();
        section.error(place, Problem::PasswordsInTheClear { host });
    }
}

impl Roster {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let plugin = match section.located::<PathBuf>("plugin") {
            Some(Located { value, place }) if value.as_os_str() != "builtin" => {
                Some(plugin_file(section, &value, &place))
            }
            _ => Some(PluginSource::Builtin),
        };
        let example = "http_roster_url = \"http://127.0.0.1:8080/contacts/%s\"";
        let url = section.required::<String>("http_roster_url", example);
        if let Some(Located { value, place }) = &url
            && let Err(reason) = UrlTemplate::parse(value)
        {
            section.error(place, Problem::NotATemplate { reason });
        }
        Some(Self {
            plugin: plugin?,
            http_roster_url: url?.value,
            allow_private_addresses: section.value("allow_private_addresses", false),
        })
    }
}

fn plugin_file(section: &Section<'_>, path: &std::path::Path, place: &Place) -> PluginSource {
    let path = section.resolve(path);
    if let Err(error) = std::fs::metadata(&path) {
        let reason = error.to_string();
        section.error(
            place,
            Problem::Unreadable {
                path: path.clone(),
                reason,
            },
        );
    }
    PluginSource::File(path)
}
