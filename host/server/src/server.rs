//! The running server: everything put together, and taken apart again.
//!
//! Owns the order of start (listeners are bound first, so that a taken port is
//! told at once; then the plugins are loaded; then connections are accepted)
//! and of the drain. Every task is tracked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_plugin::{EgressPolicy, Engine, EngineConfig, Plugin, Settings};
use muster_xmpp::error::StreamCondition;
use muster_xmpp::session::{SessionConfig, Software};
use muster_xmpp::{DomainPart, limits};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use zeroize::Zeroizing;

use crate::admission::{self, Admission, AdmissionLimits};
use crate::attempts::Attempts;
use crate::auth::Authenticator;
use crate::blocking::Blocking;
use crate::clients::{self, Beginning};
use crate::config::{self, Config, PluginSource};
use crate::descriptors::{self, Share};
use crate::hosts::{Hosts, VirtualHost};
use crate::http::{self, HttpLimits, HttpState, Peer, Tokens, Web, WebSettings};
use crate::listener::accept;
use crate::mailbox::MailboxLimits;
use crate::offline::Offline;
use crate::presence::Presences;
use crate::resumption::{ResumptionLimits, Resumptions};
use crate::rosters::{RefreshPort, Rosters, Source};
use crate::router::Router;
use crate::services::Services;
use crate::sessions::Sessions;
use crate::store::{OpenError, Store};
use crate::telemetry::{Metrics, UPKEEP_INTERVAL};
use crate::tls::{Certificates, ContextError, Entry, Purpose, Tls};
use crate::undelivered::Undelivered;

/// Why the server did not start. Reach: the process.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The WebAssembly engine cannot run here.
    #[error("cannot start the plugin engine")]
    Engine(#[from] muster_plugin::EngineError),
    /// The file of a plugin cannot be read.
    #[error("cannot read the plugin {}", path.display())]
    ReadPlugin {
        /// The configured path.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A plugin was refused.
    #[error("cannot load the plugin of {domain}")]
    LoadPlugin {
        /// The virtual host.
        domain: DomainPart,
        /// Why.
        source: muster_plugin::LoadError,
    },
    /// The `http_roster_url` names no origin that a plugin could be let out to.
    #[error("the http_roster_url of {domain} is unusable")]
    RosterUrl {
        /// The virtual host.
        domain: DomainPart,
        /// Why.
        source: muster_plugin::OriginError,
    },
    /// The store cannot be used.
    #[error("the store cannot be opened")]
    Storage(#[from] OpenError),
    /// A certificate cannot be used.
    #[error("TLS cannot be offered for {domain}")]
    Tls {
        /// The virtual host.
        domain: DomainPart,
        /// Why.
        source: ContextError,
    },
    /// The system has no random numbers to give.
    #[error("the system's random number generator failed: {0}")]
    Entropy(getrandom::Error),
}

/// How long a plugin's calls may go on after everything that could wait for
/// them has ended.
const PLUGIN_DRAIN: Duration = Duration::from_millis(500);

/// A running server. Dropping it without [`Server::shutdown`] ends the
/// listeners and leaves the streams to the runtime.
pub struct Server {
    xmpp_addresses: Vec<SocketAddr>,
    xmpp_tls_addresses: Vec<SocketAddr>,
    http_addresses: Vec<SocketAddr>,
    https_addresses: Vec<SocketAddr>,
    web_addresses: Vec<SocketAddr>,
    web_tls_addresses: Vec<SocketAddr>,
    services: Arc<Services>,
    tasks: TaskTracker,
    drain: Duration,
}

impl Server {
    /// Starts everything that `config` says. When this returns, clients and
    /// the app are served.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(mut config: Config) -> Result<Server, StartError> {
        let metrics = Metrics::install();
        fit_descriptors(&mut config);
        let (xmpp, xmpp_addresses) = listen(&config.xmpp.listen).await?;
        let (xmpp_tls, xmpp_tls_addresses) = listen(&config.xmpp.listen_tls).await?;
        let (http, http_addresses) = listen(&config.http.listen).await?;
        let (https, https_addresses) = listen(&config.http.listen_tls).await?;
        let (web_only, web_addresses) = listen(&config.web.listen).await?;
        let (web_only_tls, web_tls_addresses) = listen(&config.web.listen_tls).await?;
        let tokens = Tokens::new(&config.admin.tokens, config.admin.allow_unauthenticated);
        let http_limits = HttpLimits {
            header_timeout: config.limits.http.header_timeout,
            body_timeout: config.limits.http.body_timeout,
            body_bytes: config.limits.http.body_bytes,
        };
        let http_admission = Admission::new(
            http_admission(&config.limits.http),
            admission::HTTP,
            config.web.trusted_proxies.clone(),
        );
        let drain = config.limits.drain;
        let certificate_poll = config.limits.tls.certificate_poll;
        let web = WebSettings::of(&config);
        let tasks = TaskTracker::new();
        let services = Arc::new(services(config, tasks.clone()).await?);
        let stop = services.stop.clone();

        let plain = |listener| (listener, "xmpp", Beginning::Plain);
        let mut clients: Vec<_> = xmpp.into_iter().map(plain).collect();
        // The configuration has a certificate if there are such listeners.
        if let Some(tls) = &services.tls {
            let encrypted = |listener| (listener, "xmpp-tls", Beginning::Tls(Arc::clone(tls)));
            clients.extend(xmpp_tls.into_iter().map(encrypted));
            tasks.spawn(Arc::clone(tls).watch(certificate_poll, stop.clone()));
        }
        for (listener, name, beginning) in clients {
            let (services, connections) = (Arc::clone(&services), tasks.clone());
            let admission = Arc::clone(&services.admission);
            tasks.spawn(accept(
                listener,
                name,
                admission,
                stop.clone(),
                move |stream, peer, slot| {
                    let (beginning, services) = (beginning.clone(), Arc::clone(&services));
                    let client = clients::serve(stream, slot, beginning, services);
                    connections.spawn(client.instrument(tracing::info_span!("stream", %peer)));
                },
            ));
        }
        let state = HttpState {
            hosts: Arc::clone(&services.hosts),
            tokens,
            limits: http_limits,
            metrics: metrics.clone(),
            draining: stop.clone(),
        };
        let web = Arc::new(Web::new(web, Arc::clone(&services), tasks.clone()));
        // Listeners of their own take the web clients off the others.
        let shared = web_only.is_empty() && web_only_tls.is_empty();
        let router = http::router(Arc::new(state), shared.then(|| Arc::clone(&web)));
        let web_router = http::web_router(web);
        let mut surfaces = Vec::new();
        for (plain, encrypted, router) in
            [(http, https, router), (web_only, web_only_tls, web_router)]
        {
            let plain = plain.into_iter().map(|listener| (listener, "http", None));
            surfaces.extend(plain.map(|surface| (surface, router.clone())));
            if let Some(tls) = &services.tls {
                let encrypted = encrypted.into_iter();
                let encrypted = encrypted.map(|it| (it, "https", Some(Arc::clone(tls))));
                surfaces.extend(encrypted.map(|surface| (surface, router.clone())));
            }
        }
        for ((listener, name, tls), router) in surfaces {
            let (router, connections, draining) = (router.clone(), tasks.clone(), stop.clone());
            let admission = Arc::clone(&http_admission);
            tasks.spawn(accept(
                listener,
                name,
                admission,
                stop.clone(),
                move |stream, peer, slot| {
                    let (router, draining) = (router.clone(), draining.clone());
                    let served =
                        serve_http(stream, peer, tls.clone(), router, http_limits, draining);
                    connections.spawn(async move {
                        served.await;
                        drop(slot);
                    });
                },
            ));
        }
        tasks.spawn(upkeep(metrics, services.store.clone(), stop));
        Ok(Server {
            xmpp_addresses,
            xmpp_tls_addresses,
            http_addresses,
            https_addresses,
            web_addresses,
            web_tls_addresses,
            services,
            tasks,
            drain,
        })
    }

    /// Where XMPP clients connect, in the order of the configuration.
    pub fn xmpp_addresses(&self) -> &[SocketAddr] {
        &self.xmpp_addresses
    }

    /// Where XMPP clients connect that speak TLS from the first byte on, likewise.
    pub fn xmpp_tls_addresses(&self) -> &[SocketAddr] {
        &self.xmpp_tls_addresses
    }

    /// Where the app and the operator connect, in the order of the configuration.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.http_addresses
    }

    /// Where they connect by HTTPS, likewise.
    pub fn https_addresses(&self) -> &[SocketAddr] {
        &self.https_addresses
    }

    /// Reads the files of the certificates again. Sessions go on; a certificate that cannot be
    /// used leaves the one before in its place, and is told in the log.
    pub fn reload(&self) {
        if let Some(tls) = &self.services.tls {
            tls.reload();
        }
    }

    /// Where web clients alone connect, in the order of the configuration.
    pub fn web_addresses(&self) -> &[SocketAddr] {
        &self.web_addresses
    }

    /// Where they connect by HTTPS, likewise.
    pub fn web_tls_addresses(&self) -> &[SocketAddr] {
        &self.web_tls_addresses
    }

    /// Drains: no new connections, `<system-shutdown/>` to every stream,
    /// requests in flight are answered; for at most `limits.drain`. Returns
    /// whether everything ended in that time.
    pub async fn shutdown(self) -> bool {
        self.services.stop.cancel();
        self.services
            .sessions
            .close_all(&StreamCondition::SystemShutdown.into());
        self.tasks.close();
        let drained = tokio::time::timeout(self.drain, self.tasks.wait())
            .await
            .is_ok();
        if !drained {
            tracing::warn!(
                left = self.tasks.len(),
                "the drain took too long; what is left is cut"
            );
        }
        for host in self.services.hosts.iter() {
            host.plugin.shutdown(PLUGIN_DRAIN).await;
        }
        self.services.store.close().await;
        drained
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.services.stop.cancel();
    }
}

async fn listen(
    addresses: &[SocketAddr],
) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut bound = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let fault = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        bound.push(listener.local_addr().map_err(fault)?);
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

/// One connection to the HTTP side, by TLS or without.
async fn serve_http(
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    router: axum::Router,
    limits: HttpLimits,
    draining: CancellationToken,
) {
    let Some(tls) = tls else {
        let peer = Peer {
            address,
            secure: false,
        };
        return http::serve_connection(socket, peer, router, limits, draining).await;
    };
    let secured = tls.accept_until(&draining, socket, Purpose::Https).await;
    if let Some(secured) = secured {
        let peer = Peer {
            address,
            secure: true,
        };
        http::serve_connection(secured.stream, peer, router, limits, draining).await;
    }
}

async fn upkeep(metrics: Metrics, store: Store, stop: CancellationToken) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        metrics.upkeep();
        store.tend();
    }
}

/// Everything behind the listeners.
async fn services(config: Config, tasks: TaskTracker) -> Result<Services, StartError> {
    let limits = config.limits;
    let store = open_store(config.storage, limits.storage).await?;
    let tls = tls(&config.virtual_hosts, limits.tls.handshake_timeout)?;
    let engine = Engine::new(&EngineConfig::default())?;
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(StartError::Entropy)?;
    let mut hosts = Vec::new();
    let mut sources = HashMap::new();
    let mut ports = Vec::new();
    for host in config.virtual_hosts {
        let port = Arc::new(RefreshPort::new(host.domain.clone(), &limits));
        let plugin = Arc::new(load_plugin(&engine, &host, &limits, Arc::clone(&port)).await?);
        let source = Source::new(
            Arc::clone(&plugin),
            limits.refresh.concurrency,
            limits.backend.contacts,
        );
        sources.insert(host.domain.clone(), Arc::new(source));
        ports.push(port);
        hosts.push(VirtualHost {
            domain: host.domain,
            auth: Authenticator::new(host.auth, secret.clone()),
            offline_messages: host.offline_messages,
            plugin,
            public_url: host.public_url,
            contact_addresses: host.contact_addresses,
        });
    }
    let session_config = SessionConfig {
        limits: stream_limits(&limits.xmpp),
        hosts: hosts
            .iter()
            .map(|host| (host.domain.clone(), host.for_streams()))
            .collect(),
        encryption_required: config.xmpp.require_tls,
        software: Software {
            name: "Muster".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    };
    let hosts = Arc::new(Hosts::new(hosts));
    let sessions = Arc::new(Sessions::new(limits.xmpp.resources_per_user));
    let rosters = Arc::new(Rosters::new(Arc::clone(&sessions), sources));
    for port in ports {
        port.connect(&rosters);
    }
    let router = Arc::new(Router::new(Arc::clone(&hosts), Arc::clone(&sessions)));
    let presences = Arc::new(Presences::new(
        Arc::clone(&sessions),
        Arc::clone(&rosters),
        Arc::clone(&router),
    ));
    let offline = Arc::new(Offline::new(
        store.clone(),
        Arc::clone(&hosts),
        Arc::clone(&sessions),
        Arc::clone(&rosters),
        tasks,
    ));
    let undelivered = Undelivered::new(Arc::clone(&sessions), Arc::clone(&offline));
    let blocking = Blocking::new(
        store.clone(),
        Arc::clone(&sessions),
        Arc::clone(&rosters),
        Arc::clone(&router),
    );
    Ok(Services {
        session_config: Arc::new(session_config),
        admission: Admission::new(xmpp_admission(&limits.xmpp), admission::XMPP, Vec::new()),
        attempts: Attempts::new(limits.xmpp.login_failures, limits.xmpp.login_delay),
        arrivals: Attempts::new(limits.xmpp.sessions_per_minute, limits.xmpp.login_delay),
        hosts,
        sessions,
        store,
        rosters,
        router,
        presences,
        offline,
        blocking,
        started: std::time::Instant::now(),
        mailbox_limits: MailboxLimits {
            messages: limits.xmpp.mailbox_messages,
            bytes: limits.xmpp.mailbox_bytes,
        },
        tls,
        resumptions: Arc::new(Resumptions::new(ResumptionLimits {
            timeout: limits.xmpp.resume_timeout,
            parked: limits.xmpp.parked_sessions,
        })),
        undelivered,
        stop: CancellationToken::new(),
    })
}

/// On a thread for blocking work: repairing a large file takes a while.
async fn open_store(
    storage: config::Storage,
    limits: config::StorageLimits,
) -> Result<Store, StartError> {
    let opening = tokio::task::spawn_blocking(move || Store::open(&storage.directory, limits));
    match opening.await {
        Ok(opened) => Ok(opened?),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// The certificates of those hosts that have one.
fn tls(
    hosts: &[config::VirtualHost],
    handshake_timeout: Duration,
) -> Result<Option<Arc<Tls>>, StartError> {
    let mut entries = Vec::new();
    for host in hosts {
        let Some(tls) = &host.tls else { continue };
        let (files, certificate) = (tls.files.clone(), Arc::clone(&tls.certificate));
        let entry = Entry::new(host.domain.clone(), files, certificate);
        entries.push(entry.map_err(|source| StartError::Tls {
            domain: host.domain.clone(),
            source,
        })?);
    }
    let certificates = Certificates::new(entries);
    Ok(certificates.map(|certificates| Tls::new(certificates, handshake_timeout)))
}

async fn load_plugin(
    engine: &Engine,
    host: &config::VirtualHost,
    limits: &config::Limits,
    port: Arc<RefreshPort>,
) -> Result<Plugin, StartError> {
    let domain = &host.domain;
    let url = &host.roster.http_roster_url;
    let mut egress = EgressPolicy::for_url(url).map_err(|source| StartError::RosterUrl {
        domain: domain.clone(),
        source,
    })?;
    egress.allow_private = host.roster.allow_private_addresses;
    let settings = Settings {
        name: domain.to_string(),
        config: vec![
            ("http_roster_url".to_owned(), url.clone()),
            ("domain".to_owned(), domain.to_string()),
            (
                "max_contacts".to_owned(),
                limits.backend.contacts.to_string(),
            ),
            (
                "max_response_bytes".to_owned(),
                limits.backend.response_bytes.to_string(),
            ),
            ("max_names".to_owned(), limits.http.names.to_string()),
            (
                "max_request_bytes".to_owned(),
                limits.http.body_bytes.to_string(),
            ),
        ],
        egress,
        limits: plugin_limits(limits),
        refresher: port,
    };
    let loaded = match &host.roster.plugin {
        PluginSource::Builtin => Plugin::load(engine, muster_builtin::COMPONENT, settings).await,
        PluginSource::File(path) => {
            let component = tokio::fs::read(path).await;
            let component = component.map_err(|source| StartError::ReadPlugin {
                path: path.clone(),
                source,
            })?;
            Plugin::load(engine, &component, settings).await
        }
    };
    loaded.map_err(|source| StartError::LoadPlugin {
        domain: domain.clone(),
        source,
    })
}

fn plugin_limits(limits: &config::Limits) -> muster_plugin::Limits {
    let default = muster_plugin::Limits::default();
    muster_plugin::Limits {
        memory_bytes: limits.plugin.memory_bytes,
        turn: limits.plugin.turn,
        call: limits.backend.timeout,
        handle_call: limits.plugin.handle_timeout,
        workers: limits.plugin.workers.map_or(default.workers, usize::from),
        concurrent_calls: limits.plugin.concurrent_calls,
        calls_per_store: limits.plugin.calls_per_store,
        refresh_usernames: limits.http.names,
        response_bytes: limits.backend.response_bytes,
        response_header_bytes: limits.backend.header_bytes,
        contacts: limits.backend.contacts,
        ..default
    }
}

fn stream_limits(limits: &config::XmppLimits) -> limits::Limits {
    let stanza = |limits: config::StanzaLimits| limits::StanzaLimits {
        bytes: limits.bytes,
        elements: limits.elements,
        depth: limits.depth,
    };
    let rate = |limits: config::RateLimits| limits::RateLimits {
        bytes_per_second: limits.bytes_per_second,
        stanzas_per_second: limits.stanzas_per_second,
        burst: limits.burst,
    };
    limits::Limits {
        before_auth: stanza(limits.before_auth),
        after_auth: stanza(limits.after_auth),
        rate_before_auth: rate(limits.rate_before_auth),
        rate_after_auth: rate(limits.rate_after_auth),
        attributes: limits.attributes,
        auth_timeout: limits.auth_timeout,
        unacknowledged_stanzas: limits.mailbox_messages,
        unacknowledged_bytes: limits.mailbox_bytes,
        held_stanzas: limits.held_stanzas,
        idle_ping: limits.idle_ping,
        ping_timeout: limits.ping_timeout,
        ..limits::Limits::default()
    }
}

/// Lowers the numbers of connections to what the process may have.
fn fit_descriptors(config: &mut Config) {
    let limits = &mut config.limits;
    let configured = Share {
        xmpp: limits.xmpp.connections,
        http: limits.http.connections,
    };
    let outgoing = limits
        .refresh
        .concurrency
        .saturating_mul(config.virtual_hosts.len());
    let share = descriptors::fit(configured, outgoing);
    limits.xmpp.connections = share.xmpp;
    limits.http.connections = share.http;
}

fn xmpp_admission(limits: &config::XmppLimits) -> AdmissionLimits {
    AdmissionLimits {
        connections: limits.connections,
        per_address: limits.connections_per_address,
        per_minute: limits.connects_per_minute,
        unauthenticated: limits.unauthenticated,
    }
}

fn http_admission(limits: &config::HttpLimits) -> AdmissionLimits {
    AdmissionLimits {
        connections: limits.connections,
        per_address: limits.connections_per_address,
        per_minute: limits.connects_per_minute,
        unauthenticated: limits.connections,
    }
}
