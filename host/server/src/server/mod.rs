//! The running server: everything put together, and taken apart again.
//!
//! Owns the order of start (listeners are bound first, so that a taken port is
//! told at once; then the plugins are loaded; then connections are accepted)
//! and of the drain. Every task is tracked.

mod bounds;
mod error;
mod listening;
mod plugins;
mod wiring;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_plugin::{Compiler, Status, Swapped};
use muster_xmpp::DomainPart;
use muster_xmpp::error::StreamCondition;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::error::{ReloadError, StartError};
use self::listening::{Each, Surface};
use crate::admission::{self, Admission};
use crate::clients::Beginning;
use crate::config::{Config, Sections};
use crate::http::{self, Desks, HttpLimits, HttpState, Tokens, Web, WebSettings};
use crate::panics;
use crate::services::Services;
use crate::store::Store;
use crate::telemetry::{Metrics, UPKEEP_INTERVAL};

/// How long a plugin's calls may go on after everything that could wait for
/// them has ended.
const PLUGIN_DRAIN: Duration = Duration::from_millis(500);

/// A running server. Dropping it without [`Server::shutdown`] ends the
/// listeners and leaves the streams to the runtime.
pub struct Server {
    addresses: Each<Vec<SocketAddr>>,
    services: Arc<Services>,
    tasks: TaskTracker,
    drain: Duration,
    /// The configuration as it was at the start, if it is a file.
    started_with: Option<(PathBuf, Sections)>,
}

impl Server {
    /// Starts everything that `config` says. When this returns, clients and
    /// the app are served.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        Self::start_with(config, Compiler::InProcess).await
    }

    /// The same with a compiler of the caller's choice for plugins: one in a
    /// process of its own can be stopped, and its memory is bounded.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_with(mut config: Config, compiler: Compiler) -> Result<Server, StartError> {
        let metrics = Metrics::install();
        panics::watch();
        bounds::fit_descriptors(&mut config);
        let (listeners, addresses) = listening::bind(&config).await?;
        let refresh = config.limits.refresh.clone();
        let http = HttpSide::of(&config);
        let drain = config.limits.drain;
        let certificate_poll = config.limits.tls.certificate_poll;
        let started_with = config.file.clone().zip(config.sections.take());
        let tasks = TaskTracker::new();
        let services = Arc::new(wiring::services(config, compiler, tasks.clone()).await?);
        let stop = services.stop.clone();
        if let Some(tls) = &services.tls {
            tasks.spawn(Arc::clone(tls).watch(certificate_poll, stop.clone()));
        }
        for host in services.hosts.iter() {
            tasks.spawn(Arc::clone(&host.plugin_file).watch(stop.clone()));
        }
        let (hosts, rosters) = (&services.hosts, &services.rosters);
        let desks = Desks::new(hosts, rosters, &refresh, &tasks, &stop);
        let desks = desks.map_err(StartError::Entropy)?;
        http.serve(desks, listeners, &services, &metrics, &tasks);
        tasks.spawn(upkeep(metrics, services.store.clone(), stop));
        Ok(Server {
            addresses,
            services,
            tasks,
            drain,
            started_with,
        })
    }

    /// Where XMPP clients connect, in the order of the configuration.
    pub fn xmpp_addresses(&self) -> &[SocketAddr] {
        &self.addresses.xmpp
    }

    /// Where XMPP clients connect that speak TLS from the first byte on, likewise.
    pub fn xmpp_tls_addresses(&self) -> &[SocketAddr] {
        &self.addresses.xmpp_tls
    }

    /// Where the app and the operator connect, in the order of the configuration.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.addresses.http
    }

    /// Where they connect by HTTPS, likewise.
    pub fn https_addresses(&self) -> &[SocketAddr] {
        &self.addresses.https
    }

    /// Reads the files of the certificates, of the keys of tokens, of the plugins, their settings in
    /// the configuration, and the secrets and certificates towards the apps, again. Sessions go on; what cannot be used leaves what was
    /// before in its place, and is told in the log.
    pub fn reload(&self) {
        self.tell_what_needs_a_restart();
        for host in self.services.hosts.iter() {
            host.plugin_file.ask();
            if let Err(fault) = host.auth.reload() {
                tracing::error!(domain = %host.domain, %fault, "what decides about logins stays as it was");
            }
            if let Err(fault) = host.renew_egress() {
                tracing::error!(domain = %host.domain, %fault, "secrets and certificates towards the app stay as they were");
            }
        }
        if let Some(tls) = &self.services.tls {
            tls.reload();
        }
    }

    /// Who changes something else in the configuration and has it read again is not to believe that
    /// it holds now.
    fn tell_what_needs_a_restart(&self) {
        let Some((file, sections)) = &self.started_with else {
            return;
        };
        let changed = sections.changed(file).unwrap_or_default();
        if !changed.is_empty() {
            let sections = changed.into_iter().collect::<Vec<_>>().join(", ");
            tracing::warn!(
                sections,
                "these sections of the configuration have changed and are read at the start alone: they need a restart"
            );
        }
    }

    /// Takes the plugin of `domain` from its file, with its settings in the configuration, as both
    /// are now, and says what came of it.
    ///
    /// # Errors
    /// [`ReloadError`]; the build before goes on serving.
    pub async fn reload_plugin(&self, domain: &str) -> Result<Swapped, ReloadError> {
        let domain = DomainPart::new(domain).ok();
        let host = domain.and_then(|domain| self.services.hosts.at(&domain));
        let host = host.ok_or(ReloadError::UnknownHost)?;
        Ok(host.plugin_file.reload().await?)
    }

    /// What there is to know of the plugins now, one of each virtual host.
    pub fn plugins(&self) -> Vec<Status> {
        let hosts = self.services.hosts.iter();
        hosts.map(|host| host.plugin.status()).collect()
    }

    /// Where web clients alone connect, in the order of the configuration.
    pub fn web_addresses(&self) -> &[SocketAddr] {
        &self.addresses.web
    }

    /// Where they connect by HTTPS, likewise.
    pub fn web_tls_addresses(&self) -> &[SocketAddr] {
        &self.addresses.web_tls
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
        self.services.rosters.flush().await;
        self.services.store.close().await;
        drained
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.services.stop.cancel();
    }
}

/// The HTTP side, as the configuration wants it.
struct HttpSide {
    tokens: Tokens,
    web: WebSettings,
    limits: HttpLimits,
    admission: Arc<Admission>,
}

impl HttpSide {
    fn of(config: &Config) -> HttpSide {
        let limits = &config.limits.http;
        HttpSide {
            tokens: Tokens::new(&config.admin.tokens, config.admin.allow_unauthenticated),
            web: WebSettings::of(config),
            limits: HttpLimits {
                header_timeout: limits.header_timeout,
                body_timeout: limits.body_timeout,
                body_bytes: limits.body_bytes,
                roster_bytes: config.limits.backend.response_bytes,
                names: limits.names,
                audit: config.limits.audit,
            },
            admission: Admission::new(
                bounds::http_admission(limits),
                admission::HTTP,
                config.web.trusted_proxies.clone(),
            ),
        }
    }

    /// Serves the HTTP side, and the XMPP clients beside it.
    fn serve(
        self,
        desks: Desks,
        listeners: Each<Vec<TcpListener>>,
        services: &Arc<Services>,
        metrics: &Metrics,
        tasks: &TaskTracker,
    ) {
        let state = HttpState {
            hosts: Arc::clone(&services.hosts),
            services: Arc::clone(services),
            listening: listeners.counts(),
            desks,
            rosters: Arc::clone(&services.rosters),
            tokens: self.tokens,
            limits: self.limits,
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            draining: services.stop.clone(),
        };
        let web = Arc::new(Web::new(self.web, Arc::clone(services), tasks.clone()));
        // Listeners of their own take the web clients off the others.
        let shared = listeners.web.is_empty() && listeners.web_tls.is_empty();
        let surface = |router| Surface {
            router,
            limits: self.limits,
            admission: Arc::clone(&self.admission),
            draining: services.stop.clone(),
        };
        let all = surface(http::router(
            Arc::new(state),
            shared.then(|| Arc::clone(&web)),
        ));
        let web = surface(http::web_router(web));
        let clients = |listeners, name, beginning| {
            listening::serve_clients(listeners, name, &beginning, services, tasks);
        };
        clients(listeners.xmpp, "xmpp", Beginning::Plain);
        all.serve(listeners.http, None, tasks);
        web.serve(listeners.web, None, tasks);
        // The configuration has a certificate if there are such listeners.
        if let Some(tls) = &services.tls {
            clients(
                listeners.xmpp_tls,
                "xmpp-tls",
                Beginning::Tls(Arc::clone(tls)),
            );
            all.serve(listeners.https, Some(tls), tasks);
            web.serve(listeners.web_tls, Some(tls), tasks);
        }
    }
}

async fn upkeep(metrics: Metrics, store: Store, stop: CancellationToken) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        metrics.upkeep();
        store.tend();
    }
}

#[cfg(test)]
mod tests;
