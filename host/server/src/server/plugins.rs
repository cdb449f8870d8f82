//! The plugin of each virtual host, as the configuration wants it.

use std::sync::Arc;

use muster_plugin::{EgressPolicy, Engine, LoadError, Plugin, Settings};

use super::StartError;
use crate::config;
use crate::plugin_file::{self, PluginFile, PluginFileSettings, Stamp};

pub(super) async fn load(
    engine: &Engine,
    host: &config::VirtualHost,
    limits: &config::Limits,
) -> Result<PluginFile, StartError> {
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
        verification: host.plugin.verification.clone(),
        limits: plugin_limits(limits),
    };
    let file = PluginFileSettings {
        source: host.roster.plugin.clone(),
        reload: host.plugin.reload,
        limit: limits.plugin.component_bytes,
        poll: limits.plugin.poll,
    };
    let loaded = load_file(engine, file, settings).await;
    loaded.map_err(|source| StartError::LoadPlugin {
        domain: domain.clone(),
        source,
    })
}

async fn load_file(
    engine: &Engine,
    file: PluginFileSettings,
    settings: Settings,
) -> Result<PluginFile, LoadError> {
    // Before it is read: whatever happens from now on is a change.
    let stamp = Stamp::of(&file.source);
    let candidate = plugin_file::read(&file.source, file.limit).await?;
    let plugin = Plugin::load(engine, candidate.clone(), settings).await?;
    Ok(PluginFile::new(Arc::new(plugin), file, stamp, &candidate))
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
        component_bytes: limits.plugin.component_bytes,
        compile: limits.plugin.compile_timeout,
        compile_memory_bytes: limits.plugin.compile_memory_bytes,
        drain: limits.plugin.drain,
        probation: limits.plugin.probation,
        probation_calls: limits.plugin.probation_calls,
        probation_regressions: limits.plugin.probation_regressions,
        plugin_breaker: breaker(limits.plugin.breaker),
        backend_breaker: breaker(limits.backend.breaker),
        ..default
    }
}

fn breaker(limits: config::BreakerLimits) -> muster_plugin::BreakerPolicy {
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    muster_plugin::BreakerPolicy {
        failures: count(limits.failures),
        window: limits.window,
        share: count(limits.share),
        probe_interval: limits.probe_interval,
    }
}
