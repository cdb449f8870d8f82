//! The plugin of one virtual host, as the server sees it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::accept;
use crate::engine::Engine;
use crate::error::LoadError;
use crate::generation::Generation;
use crate::refresh::Refresher;
use crate::roster::{FetchError, Fetched, HandleError, PluginFault};
use crate::settings::Settings;
use crate::solo::{self, Answer};

/// The plugin of one virtual host.
///
/// Calls run in the generation that is current when they begin.
pub struct Plugin {
    name: String,
    current: ArcSwap<Generation>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("generation", &self.current.load().number)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Compiles a component, checks what it imports and exports, tries one
    /// instance and starts its worker stores. Takes about half a second.
    ///
    /// # Errors
    /// [`LoadError`] names the reason; nothing is left running.
    pub async fn load(
        engine: &Engine,
        component: &[u8],
        settings: Settings,
    ) -> Result<Self, LoadError> {
        let name = settings.name.clone();
        let generation = Generation::load(engine, component, settings).await?;
        tracing::info!(
            vhost = name,
            generation = generation.number,
            "plugin loaded"
        );
        Ok(Self {
            name,
            current: ArcSwap::from_pointee(generation),
        })
    }

    /// The contacts of `username`, from the app. `known` is the validator of
    /// the list that the caller holds, if any.
    ///
    /// Answers within [`crate::Limits::call`]. Where the plugin traps, the
    /// call is made once more in a store of its own.
    ///
    /// # Errors
    /// [`FetchError`]; nothing of the user's roster may change then.
    pub async fn fetch(&self, username: &str, known: Option<&str>) -> Result<Fetched, FetchError> {
        let generation = self.current.load_full();
        let started = Instant::now();
        let limit = generation.shared.limits.call;
        let span = tracing::debug_span!("call", op = "fetch", generation = generation.number);
        let call = fetch_or_retry(&generation, username, known, started + limit).instrument(span);
        let result = match tokio::time::timeout_at(started + limit, call).await {
            Ok(Ok(answer)) => accept::fetched(answer, &generation.shared.limits),
            Ok(Err(PluginFault::Stuck)) | Err(_) => Err(FetchError::Timeout),
            Ok(Err(fault)) => Err(FetchError::Plugin(fault)),
        };
        let outcome = fetch_label(&result);
        generation
            .shared
            .meter
            .call("fetch", outcome, started.elapsed());
        result
    }

    /// Hands an HTTP request to the plugin, in a store of its own. The path
    /// and the query of the URI count; its scheme and authority are what the
    /// plugin sees as its own address. `refresher` answers what this one
    /// request asks of the host.
    ///
    /// Answers within [`crate::Limits::handle_call`].
    ///
    /// # Errors
    /// [`HandleError`]; what the plugin had asked for until then was done.
    pub async fn handle(
        &self,
        request: Request<Bytes>,
        refresher: Arc<dyn Refresher>,
    ) -> Result<Response<Bytes>, HandleError> {
        let limit = self.current.load().shared.limits.handle_call;
        self.handle_within(limit, request, refresher).await
    }

    /// The same with a time of the caller's choice, for work that nobody
    /// waits for at the other end of a connection.
    ///
    /// # Errors
    /// As [`Plugin::handle`].
    pub async fn handle_within(
        &self,
        limit: Duration,
        request: Request<Bytes>,
        refresher: Arc<dyn Refresher>,
    ) -> Result<Response<Bytes>, HandleError> {
        let generation = self.current.load_full();
        let started = Instant::now();
        let span = tracing::debug_span!("call", op = "handle", generation = generation.number);
        let result = solo::handle(&generation.shared, limit, request, refresher)
            .instrument(span)
            .await;
        let outcome = handle_label(&result);
        generation
            .shared
            .meter
            .call("handle", outcome, started.elapsed());
        result
    }

    /// Takes no more fetches, lets those that have begun finish until `drain`
    /// is over, and ends the rest.
    pub async fn shutdown(&self, drain: Duration) {
        self.current.load_full().workers.stop(drain).await;
    }
}

/// A fetch, and once more alone if the store died under it. It need not have
/// been this call's fault, and a fetch changes nothing.
async fn fetch_or_retry(
    generation: &Generation,
    username: &str,
    known: Option<&str>,
    deadline: Instant,
) -> Result<Answer, PluginFault> {
    match generation.workers.fetch(username, known, deadline).await {
        Err(
            PluginFault::Trap
            | PluginFault::TurnLimit
            | PluginFault::ResourceLimit
            | PluginFault::StackOverflow,
        ) => {
            generation.shared.meter.retry();
            solo::fetch(&generation.shared, username, known).await
        }
        answer => answer,
    }
}

fn fetch_label(result: &Result<Fetched, FetchError>) -> &'static str {
    match result {
        Ok(Fetched::Roster { .. }) => "roster",
        Ok(Fetched::Unchanged) => "unchanged",
        Err(FetchError::NotFound) => "not_found",
        Err(FetchError::Unavailable) => "unavailable",
        Err(FetchError::Timeout) => "timeout",
        Err(FetchError::Status(_)) => "status",
        Err(FetchError::Malformed(_)) => "malformed",
        Err(FetchError::TooLarge) => "too_large",
        Err(FetchError::Denied) => "denied",
        Err(FetchError::Plugin(fault)) => fault.label(),
    }
}

fn handle_label(result: &Result<Response<Bytes>, HandleError>) -> &'static str {
    match result {
        Ok(_) => "response",
        Err(HandleError::Refused) => "refused",
        Err(HandleError::TooLarge) => "too_large",
        Err(HandleError::Timeout(_)) => "timeout",
        Err(HandleError::Overloaded) => "overloaded",
        Err(HandleError::Plugin(fault)) => fault.label(),
    }
}
