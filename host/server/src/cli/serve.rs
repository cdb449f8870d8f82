//! `muster serve`: the server until a signal.

use std::path::Path;
use std::time::Instant;

use sd_notify::NotifyState;

use super::failure::Failure;
use super::signals::{Hangups, Signals};
use super::{compiler, logging, runtime};
use crate::Server;
use crate::config::Config;
use crate::telemetry::otlp::Traces;

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let (layer, traces) = Traces::of(&config)?.unzip();
    logging::init(&config.log, layer);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = runtime()?;
    let result = runtime.block_on(serve(config, traces));
    // A second signal does not wait for what a blocking thread still does.
    runtime.shutdown_background();
    result
}

async fn serve(config: Config, traces: Option<Traces>) -> Result<(), Failure> {
    // Before the start, so that a signal in the midst of it is not lost.
    let mut signals = Signals::new()?;
    let mut hangups = Hangups::new()?;
    let exporting = traces.map(Traces::start);
    let drain_time = config.limits.drain;
    let server = tokio::select! {
        server = Server::start_with(config, compiler::child()) => server?,
        _ = signals.next() => return Ok(()),
    };
    for address in server.xmpp_addresses() {
        tracing::info!(%address, "listening for XMPP clients");
    }
    for address in server.xmpp_tls_addresses() {
        tracing::info!(%address, "listening for XMPP clients, under TLS");
    }
    for address in server.http_addresses() {
        tracing::info!(%address, "listening for HTTP requests");
    }
    for address in server.https_addresses() {
        tracing::info!(%address, "listening for HTTPS requests");
    }
    notify(NotifyState::Ready);

    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            () = hangups.next() => {
                tracing::info!("SIGHUP: reading certificates, keys, secrets, plugins and their settings again");
                server.reload();
                if let Some(exporting) = &exporting {
                    exporting.reload();
                }
            }
        }
    };
    tracing::info!(signal, "stopping");
    notify(NotifyState::Stopping);
    let deadline = Instant::now() + drain_time;
    drain(server, &mut signals).await;
    if let Some(exporting) = exporting {
        tokio::select! {
            () = exporting.finish(deadline) => {}
            _ = signals.next() => {}
        }
    }
    Ok(())
}

/// Stops in good order, or at once on another signal.
pub(super) async fn drain(server: Server, signals: &mut Signals) {
    tokio::select! {
        _ = server.shutdown() => tracing::info!("stopped"),
        signal = signals.next() => tracing::warn!(signal, "stopped at once"),
    }
}

/// Tells the service manager, if one asked for it.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
