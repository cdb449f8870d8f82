//! The plugin of each virtual host, as the configuration wants it.

use std::path::Path;
use std::sync::Arc;

use muster_plugin::{Engine, LoadError, Plugin, Settings, Stubs, SystemResolver};

use super::StartError;
use crate::config;
use crate::plugin_file::{self, PluginFile, PluginFileSettings, Stamp};
use crate::settings_in_use::SettingsInUse;

/// `file` is the configuration, if it is one.
pub(super) async fn load(
    engine: &Engine,
    (host, file): (&config::VirtualHost, Option<&Path>),
    limits: &config::Limits,
) -> Result<PluginFile, StartError> {
    let domain = &host.domain;
    let egress = host.egress.policy();
    let egress = egress.map_err(|source| StartError::Access {
        domain: domain.clone(),
        source: Box::new(source),
    })?;
    let reads = SettingsInUse::new(
        file.map(Path::to_owned),
        domain.clone(),
        own_settings(host, limits),
        host.plugin.settings.clone(),
    );
    let settings = Settings {
        name: domain.to_string(),
        config: reads.config(),
        egress,
        resolver: Arc::new(SystemResolver),
        stubs: match host.plugin.deny_all_stubs {
            true => Stubs::DenyAll,
            false => Stubs::Absent,
        },
        verification: host.plugin.verification.clone(),
        limits: plugin_limits(limits),
    };
    let file = PluginFileSettings {
        source: host.roster.plugin.clone(),
        reload: host.plugin.reload,
        limit: limits.plugin.component_bytes,
        poll: limits.plugin.poll,
    };
    let loaded = load_file(engine, (file, Arc::new(reads)), settings).await;
    loaded.map_err(|source| StartError::LoadPlugin {
        domain: domain.clone(),
        source,
    })
}

/// What the host itself tells the plugin, beside the operator's own words.
fn own_settings(host: &config::VirtualHost, limits: &config::Limits) -> Vec<(String, String)> {
    let own = [
        ("http_roster_url", host.roster.http_roster_url.clone()),
        ("domain", host.domain.to_string()),
        ("max_contacts", limits.backend.contacts.to_string()),
        (
            "max_response_bytes",
            limits.backend.response_bytes.to_string(),
        ),
        ("max_batch_bytes", limits.backend.batch_bytes.to_string()),
        ("max_names", limits.http.names.to_string()),
        ("max_request_bytes", limits.http.body_bytes.to_string()),
    ];
    let many = host.roster.http_rosters_url.clone();
    let many = many.map(|url| ("http_rosters_url", url));
    let own = own.into_iter().chain(many);
    let own = own.inspect(|(name, _)| {
        debug_assert!(config::OF_THE_HOST.contains(name), "{name} is reserved");
    });
    own.map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn load_file(
    engine: &Engine,
    (file, reads): (PluginFileSettings, Arc<SettingsInUse>),
    settings: Settings,
) -> Result<PluginFile, LoadError> {
    // Before it is read: whatever happens from now on is a change.
    let stamp = Stamp::of(&file.source);
    let candidate = plugin_file::read(&file.source, file.limit).await?;
    let plugin = Plugin::load(engine, candidate.clone(), settings).await?;
    Ok(PluginFile::new(
        Arc::new(plugin),
        (file, reads),
        stamp,
        &candidate,
    ))
}

/// Every bound of the sandbox is one of the configuration: none is left to a default in silence.
pub(super) fn plugin_limits(limits: &config::Limits) -> muster_plugin::Limits {
    let config::Limits {
        plugin, backend, ..
    } = limits;
    muster_plugin::Limits {
        component_bytes: plugin.component_bytes,
        memory_bytes: plugin.memory_bytes,
        table_elements: plugin.table_elements,
        handles: plugin.handles,
        host_call_bytes: plugin.host_call_bytes,
        turn: plugin.turn,
        call: backend.timeout,
        request: backend.request(),
        connect: backend.connect(),
        concurrent_requests: backend.concurrent_requests,
        longest_rest: backend.longest_rest,
        retry_share: backend.retry_share,
        handle_call: plugin.handle_timeout,
        workers: plugin.workers.map_or_else(one_a_processor, usize::from),
        concurrent_calls: plugin.concurrent_calls,
        waiting_calls: plugin.waiting_calls,
        calls_per_store: plugin.calls_per_store,
        retry_calls: plugin.retry_calls,
        handle_calls: plugin.handle_calls,
        lone_calls: plugin.lone_calls,
        refresh_usernames: limits.http.names,
        response_bytes: backend.response_bytes,
        batch_bytes: backend.batch_bytes,
        response_header_bytes: backend.header_bytes,
        request_bytes: backend.request_bytes,
        http2_stream_bytes: backend.http2_stream_bytes,
        http2_connection_bytes: backend.http2_connection_bytes,
        http2_ping: backend.http2_ping,
        http2_ping_timeout: backend.http2_ping_timeout,
        contacts: backend.contacts,
        groups: backend.groups,
        log_bytes_per_second: plugin.log_bytes_per_second,
        log_line_bytes: plugin.log_line_bytes,
        compile: plugin.compile_timeout,
        compile_memory_bytes: plugin.compile_memory_bytes,
        drain: plugin.drain,
        probation: plugin.probation,
        probation_calls: plugin.probation_calls,
        probation_regressions: plugin.probation_regressions,
        plugin_breaker: breaker(plugin.breaker),
        backend_breaker: breaker(backend.breaker),
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

fn one_a_processor() -> usize {
    muster_plugin::Limits::default().workers
}
