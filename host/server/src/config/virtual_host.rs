//! `[[virtual_host]]`: one XMPP domain, who may log in to it and where its rosters come from.
//!
//! Names are prepared here as RFC 7622 wants, so that they compare as bytes later. Who may log in
//! is `auth`'s.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jid::DomainPart;
use muster_contract::{RosterUrl, UrlTemplate};
use muster_plugin::Origin;
use url::Url;

use super::auth::{Auth, check_http};
use super::backend_limits::BackendLimits;
use super::contact_addresses::ContactAddresses;
use super::fault::{Place, Problem};
use super::guard::Guard;
use super::limits::Limits;
use super::listeners::{Http, Xmpp};
use super::origin::Egress;
use super::plugin::HostPlugin;
use super::reader::{Located, Section};
use super::tls::{Demand, HostTls};
use super::web::Web;

/// Long enough for an app that is busy, and shorter than clients wait for an answer.
const STALE_AFTER: Duration = Duration::from_secs(2);

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
    /// `[[virtual_host.origin]]`: what its plugin may reach.
    pub egress: Egress,
    /// `[virtual_host.plugin]`: which components are taken as its plugin, and
    /// the sandbox of it.
    pub plugin: HostPlugin,
    /// `[virtual_host.backend.limits]` over `[limits.backend]`.
    pub backend: BackendLimits,
    /// `[virtual_host.guard]`: when removals are held back.
    pub guard: Guard,
    /// Its certificate. There is one if `xmpp.require_tls`.
    pub tls: Option<HostTls>,
    /// Where people reach who runs it.
    pub contact_addresses: ContactAddresses,
}

/// `[virtual_host.roster]`
#[derive(Debug, Clone)]
pub struct Roster {
    /// The component that talks to the app.
    pub plugin: PluginSource,
    /// Where the contacts of a user are; parses as a [`UrlTemplate`]. The plugin may `GET` of its
    /// origin.
    pub http_roster_url: String,
    /// Where many users are asked for in one request, if the app takes that; parses as
    /// [`RosterUrl::fixed`]. The plugin may `POST` to its origin.
    pub http_rosters_url: Option<String>,
    /// Whether the *name* in `http_roster_url`, or in `http_rosters_url`, may resolve to a loopback or private address. An
    /// address written out, and `localhost`, need no permission. Default false.
    pub allow_private_addresses: bool,
    /// What a user sees whose roster the app fails to tell. Default `stale`.
    pub on_backend_failure: OnBackendFailure,
    /// How long a roster get waits for the app before the last known roster is the answer.
    /// Default 2 s.
    pub stale_after: Duration,
    /// How old a roster may be that a further client of a user asks for; an older one is fetched
    /// anew. Default (no key): as old as the user's sessions.
    pub ttl: Option<Duration>,
    /// How often the roster of every user who is online is fetched anew by itself. Default (no
    /// key): never.
    pub resync_interval: Option<Duration>,
}

/// What a user sees whose roster the app fails to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBackendFailure {
    /// The last known roster; without one, as [`Reject`](Self::Reject). Rosters are kept in
    /// `[storage]` for it.
    Stale,
    /// An error for the request. Nothing is kept.
    Reject,
    /// A roster without contacts. Nothing is kept.
    Empty,
}

impl OnBackendFailure {
    const NAMES: [&'static str; 3] = ["stale", "reject", "empty"];
    const ALL: [Self; 3] = [Self::Stale, Self::Reject, Self::Empty];
}

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// `plugin = "builtin"`: the one inside this program.
    Builtin,
    /// The path of a component, made absolute by the directory of the configuration file.
    File(PathBuf),
}

/// What the rules of virtual hosts need to know of the rest of the file; a section that cannot be
/// used is `None`.
pub(super) struct Surroundings<'c> {
    pub(super) xmpp: Option<&'c Xmpp>,
    pub(super) http: Option<&'c Http>,
    pub(super) web: Option<&'c Web>,
    pub(super) limits: &'c Limits,
}

impl VirtualHost {
    /// Every virtual host of the file; `None` if one of them cannot be used.
    pub(super) fn read_all(root: &mut Section<'_>, rest: &Surroundings<'_>) -> Option<Vec<Self>> {
        let Surroundings {
            xmpp,
            http,
            web,
            limits,
        } = *rest;
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
            let egress = Egress::read(section, roster.as_ref());
            let plugin = section.section("plugin", |plugin| HostPlugin::read(plugin, limits));
            let backend = section.section("backend", |backend| {
                backend.section("limits", |section| {
                    BackendLimits::read(section, &limits.backend)
                })
            });
            let guard = section.section("guard", Guard::read);
            let tls = HostTls::read(section, domain.as_ref(), &mut certificates);
            let contact_addresses = section.section("contact_addresses", ContactAddresses::read);
            Some(Self {
                domain: domain?,
                public_url,
                auth: auth?,
                offline_messages,
                roster: roster?,
                egress: egress?,
                plugin,
                backend,
                guard,
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
        if let Some(Located { value, place }) = &url {
            if let Err(reason) = UrlTemplate::parse(value) {
                section.error(place, Problem::NotATemplate { reason });
            } else if let Err(reason) = Origin::of_url(value) {
                section.error(place, Problem::NotReachable { reason });
            }
        }
        let many = section.located::<String>("http_rosters_url");
        if let Some(Located { value, place }) = &many {
            if let Err(reason) = RosterUrl::fixed(value) {
                section.error(place, Problem::NotATemplate { reason });
            } else if let Err(reason) = Origin::of_url(value) {
                section.error(place, Problem::NotReachable { reason });
            }
        }
        Some(Self {
            plugin: plugin?,
            http_roster_url: url?.value,
            http_rosters_url: many.map(|many| many.value),
            allow_private_addresses: section.value("allow_private_addresses", false),
            on_backend_failure: section
                .word(
                    "on_backend_failure",
                    &OnBackendFailure::NAMES,
                    &OnBackendFailure::ALL,
                )
                .unwrap_or(OnBackendFailure::Stale),
            stale_after: section.value("stale_after", STALE_AFTER),
            ttl: section.optional("ttl"),
            resync_interval: section.optional("resync_interval"),
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
