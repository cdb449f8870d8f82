//! The plugin of one virtual host, as the server sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::breaker::{BreakerStatus, Open, Pass};
use crate::candidate::Candidate;
use crate::egress::EgressPolicy;
use crate::engine::Engine;
use crate::error::{LoadError, RollbackError};
use crate::generation::{Call, Generation, Surroundings};
use crate::inspect::Digest;
use crate::limit::Limit;
use crate::load::Load;
use crate::many::{self, Many, ManyError};
use crate::refresh::Refresher;
use crate::roster::{FetchError, Fetched, HandleError, PluginFault};
use crate::settings::Settings;
use crate::solo::Errand;
use crate::swap::{self, Line, Occasion, Refusal, Status, Swapped, Verification};
use crate::tap::{Overheard, Tap};

/// The plugin of one virtual host.
///
/// Calls run in the generation that is current when they begin.
pub struct Plugin {
    surroundings: Surroundings,
    verification: Arc<Verification>,
    line: Arc<Line>,
    /// One swap at a time. Calls and rollbacks do not wait for it.
    swapping: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.surroundings.meter.vhost())
            .field("generation", &self.line.current().number)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Verifies a component, compiles it, checks what it imports and exports,
    /// tries one instance and starts its worker stores. Takes about half a
    /// second, or some milliseconds where the engine has a cache.
    ///
    /// # Errors
    /// [`LoadError`] names the reason; nothing is left running.
    pub async fn load(
        engine: &Engine,
        candidate: Candidate,
        settings: Settings,
    ) -> Result<Self, LoadError> {
        let verification = Arc::new(settings.verification.clone());
        let surroundings = Surroundings::new(engine, settings)?;
        let loading = swap::build(&surroundings, &verification, &candidate, Occasion::Start);
        let build = loading.await?;
        let first = Generation::start(build, &surroundings);
        tracing::info!(
            vhost = surroundings.meter.vhost(),
            generation = first.number,
            digest = %candidate.digest(),
            "plugin loaded"
        );
        Ok(Self {
            line: Line::new(first, &surroundings),
            surroundings,
            verification,
            swapping: tokio::sync::Mutex::new(()),
        })
    }

    /// Replaces the build by another one that has shown that it works: all
    /// that [`Plugin::load`] checks, and a fetch for
    /// [`Verification::self_test_user`]. Calls go on meanwhile, and none is
    /// lost: those that have begun finish where they began. The build before
    /// stands by for a while, and takes over again by itself if the new one
    /// does worse.
    ///
    /// The bytes that serve already, with the settings that they have, change
    /// nothing. One swap at a time;
    /// dropping the future before it is ready leaves everything as it was.
    ///
    /// # Errors
    /// [`LoadError`] names the reason, which is also kept in
    /// [`Plugin::status`]; the build before goes on serving.
    pub async fn swap(&self, candidate: Candidate) -> Result<Swapped, LoadError> {
        let _turn = self.swapping.lock().await;
        let digest = candidate.digest();
        match self.try_swap(candidate).await {
            Ok(swapped) => {
                self.tell(&swapped);
                Ok(swapped)
            }
            Err(error) => {
                self.refused(&error, Some(digest));
                Err(error)
            }
        }
    }

    async fn try_swap(&self, candidate: Candidate) -> Result<Swapped, LoadError> {
        let current = self.line.current();
        let surroundings = &self.surroundings;
        let build = &current.build;
        if build.status.digest == candidate.digest() && build.config == surroundings.config() {
            return Ok(Swapped {
                generation: current.number,
                digest: candidate.digest(),
                replaced: None,
            });
        }
        let building = swap::build(surroundings, &self.verification, &candidate, Occasion::Swap);
        let build = building.await?;
        let place = self.line.place().await?;
        self.line
            .take(Generation::start(build, surroundings), place)
    }

    fn tell(&self, swapped: &Swapped) {
        let outcome = if swapped.replaced.is_some() {
            "swapped"
        } else {
            "unchanged"
        };
        self.surroundings.meter.swap(outcome);
        tracing::info!(
            vhost = self.surroundings.meter.vhost(),
            generation = swapped.generation,
            digest = %swapped.digest,
            outcome,
            "plugin reloaded"
        );
    }

    /// From now on builds read these settings, those of
    /// [`Settings::config`](crate::Settings): the next one that
    /// [`Plugin::swap`] takes, which may have the bytes that serve. Those that
    /// there are keep theirs, and come back with them.
    pub fn configure(&self, config: Vec<(String, String)>) {
        self.surroundings.configure(config);
    }

    /// Counts, tells and keeps that a component was not taken: for faults that
    /// came before there was a [`Candidate`], such as a file that cannot be
    /// read. [`Plugin::swap`] does so by itself.
    pub fn refused(&self, error: &LoadError, digest: Option<Digest>) {
        let refusal = Refusal::new(error, digest);
        let meter = &self.surroundings.meter;
        meter.swap(refusal.reason);
        tracing::error!(
            vhost = meter.vhost(),
            reason = refusal.reason,
            digest = digest.map(tracing::field::display),
            "a new build of the plugin was refused, and the one before goes on serving: {}; {}",
            refusal.message,
            refusal.remedy
        );
        self.line.refused(refusal);
    }

    /// Goes back to the build before the last swap, at once if it still stands
    /// by. There is one way back, not two: the build that is given up is gone.
    ///
    /// # Errors
    /// [`RollbackError`]; nothing changes.
    pub async fn rollback(&self) -> Result<Swapped, RollbackError> {
        self.line.roll_back(&self.surroundings)
    }

    /// All there is to know about it now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.line.status()
    }

    /// What the bytes of the build that serves now hash to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.line.current().build.status.digest
    }

    /// What of the build that serves now decides how it reads an answer: a hash
    /// of its bytes and its settings.
    #[must_use]
    pub fn identity(&self) -> Digest {
        self.line.current().build.identity
    }

    /// The contacts of `username`, from the app. `known` is the validator of
    /// the list that the caller holds, if any.
    ///
    /// Answers within [`crate::Limits::call`], or a moment later. Where the
    /// plugin traps, the call is made once more in a store of its own.
    ///
    /// # Errors
    /// [`FetchError`]; nothing of the user's roster may change then.
    pub async fn fetch(&self, username: &str, known: Option<&str>) -> Result<Fetched, FetchError> {
        let started = Instant::now();
        let call = Call {
            username,
            known,
            deadline: started + self.surroundings.limits.call,
        };
        let span = tracing::debug_span!("call", op = "fetch", generation = self.number());
        let taps = self.surroundings.outbound.taps.get().unwrap_or_default();
        let heard: Vec<_> = taps
            .iter()
            .map(|tap| (tap.begins(&[username]), tap))
            .collect();
        let result = match self.try_fetch(&call).instrument(span).await {
            Err(FetchError::Plugin(PluginFault::Stuck)) => Err(FetchError::Timeout),
            result => result,
        };
        let meter = &self.surroundings.meter;
        match &result {
            Err(FetchError::Timeout) => meter.limit(Limit::Timeout),
            Err(FetchError::Plugin(PluginFault::Overloaded)) => meter.limit(Limit::WaitingCalls),
            _ => {}
        }
        meter.call("fetch", fetch_label(&result), started.elapsed());
        for (begun, tap) in heard {
            tap.fetched(begun, username, known, &result);
        }
        result
    }

    /// The contacts of each of `usernames`, from the app in one request, in
    /// their order. Answers within [`crate::Limits::call`], or a moment later.
    ///
    /// # Errors
    /// [`ManyError`]; nothing of any of these rosters may change then.
    pub async fn fetch_many(&self, usernames: &[String]) -> Result<Many, ManyError> {
        let started = Instant::now();
        let deadline = started + self.surroundings.limits.call;
        let span = tracing::debug_span!("call", op = "fetch_many", generation = self.number());
        let taps = self.surroundings.outbound.taps.get().unwrap_or_default();
        let begins = |tap: &Arc<dyn Tap>| {
            let names: Vec<_> = usernames.iter().map(String::as_str).collect();
            tap.begins(&names)
        };
        let heard: Vec<_> = taps.iter().map(|tap| (begins(tap), tap)).collect();
        let pass = self.surroundings.breakers.fetch();
        let result = match pass {
            Ok(pass) => {
                let generation = self.line.current();
                let Generation { shared, build, .. } = &*generation;
                let call = many::fetch_many(shared, build, usernames, deadline);
                let result = call.instrument(span).await;
                judge(pass, many_fault(&result));
                result
            }
            Err(_) => Err(FetchError::Plugin(PluginFault::CircuitOpen).into()),
        };
        let meter = &self.surroundings.meter;
        if matches!(result, Err(ManyError::Fetch(FetchError::Timeout))) {
            meter.limit(Limit::Timeout);
        }
        meter.call("fetch_many", many_label(&result), started.elapsed());
        for (begun, tap) in heard {
            tap.fetched_many(begun, usernames, &result);
        }
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
        let limit = self.surroundings.limits.handle_call;
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
        let started = Instant::now();
        let span = tracing::debug_span!("call", op = "handle", generation = self.number());
        let (mut refresher, mut heard) = (refresher, None);
        if let Some(taps) = self.surroundings.outbound.taps.get() {
            let most = self.surroundings.limits.refresh_usernames;
            let overheard = Overheard::new(refresher, most);
            refresher = Arc::clone(&overheard) as _;
            heard = Some((request.clone(), overheard, taps));
        }
        let errand = Errand {
            limit,
            request,
            refresher,
        };
        let result = self.try_handle(errand).instrument(span).await;
        let meter = &self.surroundings.meter;
        meter.call("handle", handle_label(&result), started.elapsed());
        if let Some((request, overheard, taps)) = heard {
            for tap in taps.iter() {
                tap.handled(&request, overheard.usernames(), result.as_ref().ok());
            }
        }
        result
    }

    /// What it uses at the moment.
    #[must_use]
    pub fn current_load(&self) -> Load {
        Load {
            waiting_calls: self.line.current().workers.waiting(),
            requests: self.surroundings.outbound.under_way(),
            ..self.surroundings.meter.load()
        }
    }

    /// Lets somebody listen to what passes between the plugin, its app and the
    /// host, until [`Plugin::listen_no_more`].
    pub fn listen(&self, tap: &Arc<dyn Tap>) {
        self.surroundings.outbound.taps.add(tap);
    }

    /// Calls that have begun may still tell it their end.
    pub fn listen_no_more(&self, tap: &Arc<dyn Tap>) {
        self.surroundings.outbound.taps.remove(tap);
    }

    /// The largest linear memory that a store of it has had so far, all memories
    /// of the store together, in bytes.
    #[must_use]
    pub fn largest_memory(&self) -> usize {
        self.surroundings.meter.largest_memory()
    }

    /// The states of the circuit breakers: the plugin's own, and those of the
    /// origins that it may ask.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        self.surroundings.breakers.status()
    }

    /// Whether requests to the app are held back now: it, or the plugin, has asked
    /// for a pause, or a breaker is not closed. What fails then says nothing of its load.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.surroundings.outbound.holds_back() || self.line.current().rests()
    }

    /// The app says that it is back, or its operator does: requests to it are
    /// tried again at once. Returns how many breakers were not closed.
    pub fn app_is_back(&self) -> usize {
        self.surroundings.outbound.app_is_back();
        self.line.app_is_back();
        self.surroundings.breakers.app_is_back()
    }

    /// Changes whenever the app is known to answer again: a breaker of an
    /// origin has closed, or [`Plugin::app_is_back`] was called.
    #[must_use]
    pub fn returns(&self) -> watch::Receiver<u64> {
        self.surroundings.breakers.returns()
    }

    /// Takes other origins, secrets and certificates for what the plugin may
    /// reach, whichever build of it serves. Requests that have begun go on
    /// under the old ones; no later one uses their connections.
    ///
    /// # Errors
    /// TLS cannot be configured with them; the old ones stay.
    pub fn renew_egress(&self, policy: EgressPolicy) -> Result<(), rustls::Error> {
        self.surroundings.outbound.renew(policy)
    }

    /// Takes no more fetches, lets those that have begun finish until `drain`
    /// is over, and ends the rest.
    pub async fn shutdown(&self, drain: Duration) {
        self.line.shutdown(drain).await;
    }

    /// A fetch, if the breaker lets it through.
    async fn try_fetch(&self, call: &Call<'_>) -> Result<Fetched, FetchError> {
        let pass = self.surroundings.breakers.fetch();
        let pass = pass.map_err(|_| PluginFault::CircuitOpen)?;
        let result = self.line.fetch(call).await;
        judge(pass, fetch_fault(&result));
        result
    }

    /// A request, if the breaker lets it through.
    async fn try_handle(&self, errand: Errand) -> Result<Response<Bytes>, HandleError> {
        let pass = self.surroundings.breakers.handle();
        let pass = pass.map_err(|Open { retry_after }| HandleError::CircuitOpen { retry_after })?;
        let result = self.line.handle(errand).await;
        judge(pass, handle_fault(&result));
        result
    }

    fn number(&self) -> u64 {
        self.line.current().number
    }
}

/// Tells the breaker how a call ended: whatever the app said, and whatever
/// the host could not do, is no fault of the plugin.
fn judge(pass: Pass, fault: Option<PluginFault>) {
    match fault {
        None => pass.success(),
        Some(fault) if fault.is_own() => pass.failure(fault.label()),
        Some(_) => drop(pass),
    }
}

/// The fault of the plugin, or of the host, that a fetch ended with.
fn fetch_fault(result: &Result<Fetched, FetchError>) -> Option<PluginFault> {
    match result {
        Err(FetchError::Plugin(fault)) => Some(*fault),
        _ => None,
    }
}

/// The same for many users.
fn many_fault(result: &Result<Many, ManyError>) -> Option<PluginFault> {
    match result {
        Err(ManyError::Fetch(FetchError::Plugin(fault))) => Some(*fault),
        _ => None,
    }
}

/// The fault of the plugin, or of the host, that a request ended with.
fn handle_fault(result: &Result<Response<Bytes>, HandleError>) -> Option<PluginFault> {
    match result {
        Ok(_) | Err(HandleError::Refused | HandleError::Wish | HandleError::TooLarge) => None,
        Err(HandleError::Timeout(_)) => Some(PluginFault::Stuck),
        Err(HandleError::Overloaded) => Some(PluginFault::Overloaded),
        Err(HandleError::CircuitOpen { .. }) => Some(PluginFault::CircuitOpen),
        Err(HandleError::Plugin(fault)) => Some(*fault),
    }
}

pub(crate) fn fetch_label(result: &Result<Fetched, FetchError>) -> &'static str {
    match result {
        Ok(Fetched::Roster { .. }) => "roster",
        Ok(Fetched::Unchanged) => "unchanged",
        Err(error) => fetch_error_label(error),
    }
}

fn fetch_error_label(error: &FetchError) -> &'static str {
    match error {
        FetchError::NotFound => "not_found",
        FetchError::Unavailable => "unavailable",
        FetchError::Timeout => "timeout",
        FetchError::Status(_) => "status",
        FetchError::Malformed(_) => "malformed",
        FetchError::TooLarge => "too_large",
        FetchError::Denied => "denied",
        FetchError::Plugin(fault) => fault.label(),
    }
}

fn many_label(result: &Result<Many, ManyError>) -> &'static str {
    match result {
        Ok(_) => "rosters",
        Err(ManyError::Unsupported) => "unsupported",
        Err(ManyError::Fetch(error)) => fetch_error_label(error),
    }
}

fn handle_label(result: &Result<Response<Bytes>, HandleError>) -> &'static str {
    match result {
        Ok(_) => "response",
        Err(HandleError::Refused) => "refused",
        Err(HandleError::Wish) => "malformed_wish",
        Err(HandleError::TooLarge) => "too_large",
        Err(HandleError::Timeout(_)) => "timeout",
        Err(HandleError::Overloaded) => "overloaded",
        Err(HandleError::CircuitOpen { .. }) => PluginFault::CircuitOpen.label(),
        Err(HandleError::Plugin(fault)) => fault.label(),
    }
}
