//! Everything behind the listeners, joined: who is given what.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_plugin::{CacheConfig, Compiler, Engine, EngineConfig};
use muster_xmpp::session::{SessionConfig, Software};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::{StartError, bounds, plugins};
use crate::admission::{self, Admission};
use crate::attempts::Attempts;
use crate::auth::Authenticator;
use crate::blocking::Blocking;
use crate::config::{self, Config};
use crate::hosts::{Hosts, VirtualHost};
use crate::mailbox::MailboxLimits;
use crate::offline::Offline;
use crate::presence::Presences;
use crate::recording::Recordings;
use crate::resumption::{ResumptionLimits, Resumptions};
use crate::rosters::{Keeper, RefreshTerms, Rosters, Source};
use crate::router::Router;
use crate::services::Services;
use crate::sessions::Sessions;
use crate::shadow::Shadows;
use crate::store::Store;
use crate::tls::{Certificates, Entry, Tls};
use crate::undelivered::Undelivered;

/// Everything behind the listeners.
pub(super) async fn services(
    config: Config,
    compiler: Compiler,
    tasks: TaskTracker,
) -> Result<Services, StartError> {
    let limits = config.limits;
    let cache = CacheConfig {
        directory: config.storage.directory.join("plugin-cache"),
        bytes: limits.plugin.cache_bytes,
    };
    let store = open_store(config.storage, limits.storage).await?;
    let tls = tls(&config.virtual_hosts, limits.tls.handshake_timeout)?;
    let engine = Engine::new(&EngineConfig {
        compiler,
        cache: Some(cache),
        wasm_stack_bytes: limits.wasm_stack_bytes,
    })?;
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(StartError::Entropy)?;
    let stop = CancellationToken::new();
    let mut hosts = Vec::new();
    let mut sources = HashMap::new();
    for host in config.virtual_hosts {
        let limits = limits.of_host(&host);
        let described = (&host, config.file.as_deref());
        let plugin_file = Arc::new(plugins::load(&engine, described, &limits).await?);
        let plugin = Arc::clone(plugin_file.plugin());
        let source = Source::new(Arc::clone(&plugin), &host, &limits);
        let recordings = Recordings::start(&plugin_file, &host, &limits);
        let shadows = Shadows::new(
            &engine,
            &plugin_file,
            (&host, &limits),
            plugins::plugin_limits(&limits),
            (tasks.clone(), stop.clone()),
        );
        let auth = Authenticator::new(host.auth, secret.clone(), limits.xmpp.login_token_bytes);
        let auth = auth.map_err(|source| StartError::AppTls {
            domain: host.domain.clone(),
            source,
        })?;
        sources.insert(host.domain.clone(), Arc::new(source));
        hosts.push(VirtualHost {
            domain: host.domain,
            auth,
            offline_messages: host.offline_messages,
            plugin,
            recordings,
            shadows,
            reload_turn: Arc::default(),
            plugin_file,
            egress: host.egress,
            refresh: RefreshTerms::of(&limits, &host.roster),
            public_url: host.public_url,
            contact_addresses: host.contact_addresses,
        });
    }
    let session_config = SessionConfig {
        limits: bounds::stream_limits(&limits.xmpp),
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
    let rosters = Arc::new(Rosters::new(
        Arc::clone(&sessions),
        sources,
        Keeper::new(store.clone(), limits.storage.rosters_waiting),
        tasks.clone(),
        stop.clone(),
    ));
    rosters.start();
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
        admission: Admission::new(
            bounds::xmpp_admission(&limits.xmpp),
            admission::XMPP,
            Vec::new(),
        ),
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
        stop,
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
