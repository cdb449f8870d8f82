//! One version of a plugin: its build, and worker stores that serve it.
//!
//! A call holds an `Arc<Generation>`; the last one that lets go closes the
//! queue, and the worker stores end by themselves. What outlives a generation
//! (the client to the app, the counters, the bounds of the virtual host) is in
//! [`Surroundings`]; which generation serves is decided in [`crate::swap`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_plugin_bindings::v0_1_batch::BatchingPre;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::accept;
use crate::breaker::Breakers;
use crate::engine::Engine;
use crate::error::LoadError;
use crate::guest_log::GuestLog;
use crate::inspect::Digest;
use crate::kind::{Answer, Pre};
use crate::linker::Stubs;
use crate::outbound::Outbound;
use crate::rest::{self, Rest};
use crate::roster::{FetchError, Fetched, PluginFault};
use crate::settings::{Limits, Settings};
use crate::solo;
use crate::store::{Purpose, StoreState};
use crate::swap::BuildStatus;
use crate::telemetry::Meter;
use crate::worker::Workers;

/// Numbers generations over the life of the process, for logs.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// How much later than its deadline a call is given up from outside. A store
/// answers those that it has begun at the deadline; so what is given up here
/// has only waited, and is not the plugin's fault.
const GRACE: Duration = Duration::from_millis(20);

/// A component that was checked and compiled, and joined to the linker, with its
/// settings.
pub(crate) struct Build {
    pub(crate) status: BuildStatus,
    pub(crate) pre: Pre,
    /// Its export for many users, if it has one.
    pub(crate) batch: Option<BatchingPre<StoreState>>,
    /// What it reads: a build keeps the settings that it was tried with.
    pub(crate) config: Arc<[(String, String)]>,
    /// Of its bytes and its settings.
    pub(crate) identity: Digest,
}

/// One version of a plugin.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) build: Arc<Build>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Workers,
}

/// What every store of a generation is made from.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) pre: Pre,
    pub(crate) config: Arc<[(String, String)]>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) log: Arc<GuestLog>,
    pub(crate) meter: Meter,
    /// Until when the handler has asked to be left alone; another generation
    /// has not.
    pub(crate) rest: Arc<Rest>,
    /// Guests that may go on computing after they were interrupted once, of all
    /// generations together.
    pub(crate) computing: Arc<Semaphore>,
    /// Stores that one call has for itself, of all generations together.
    pub(crate) retry_slots: Arc<Semaphore>,
    pub(crate) handle_slots: Arc<Semaphore>,
}

/// What all generations of one virtual host's plugin have in common.
pub(crate) struct Surroundings {
    pub(crate) engine: Engine,
    pub(crate) limits: Arc<Limits>,
    pub(crate) meter: Meter,
    pub(crate) stubs: Stubs,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) breakers: Arc<Breakers>,
    /// What the next build reads. A leaf lock, held for a look.
    config: Mutex<Arc<[(String, String)]>>,
    log: Arc<GuestLog>,
    computing: Arc<Semaphore>,
    retry_slots: Arc<Semaphore>,
    handle_slots: Arc<Semaphore>,
}

/// One question for one user's contacts.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) username: &'a str,
    /// The validator of the list that the caller holds.
    pub(crate) known: Option<&'a str>,
    pub(crate) deadline: Instant,
}

impl Surroundings {
    pub(crate) fn new(engine: &Engine, settings: Settings) -> Result<Self, LoadError> {
        let limits = Arc::new(settings.limits.consistent());
        let meter = Meter::new(&settings.name);
        let origins = settings.egress.origins.iter();
        let origins: Vec<_> = origins.map(|allowed| allowed.origin.clone()).collect();
        let breakers = Arc::new(Breakers::new(&origins, &limits, &meter));
        let outbound = Outbound::new(
            settings.egress,
            settings.resolver,
            Arc::clone(&limits),
            Arc::clone(&breakers),
            meter.clone(),
        );
        Ok(Self {
            engine: engine.clone(),
            breakers,
            config: Mutex::new(settings.config.into()),
            outbound: outbound.map_err(LoadError::Tls)?,
            log: GuestLog::new(&limits, meter.clone()),
            stubs: settings.stubs,
            computing: Arc::new(Semaphore::new(limits.workers)),
            retry_slots: Arc::new(Semaphore::new(limits.retry_calls)),
            handle_slots: Arc::new(Semaphore::new(limits.handle_calls)),
            meter,
            limits,
        })
    }

    /// What the next build reads.
    pub(crate) fn config(&self) -> Arc<[(String, String)]> {
        Arc::clone(&self.next_config())
    }

    /// From now on the next build reads this.
    pub(crate) fn configure(&self, config: Vec<(String, String)>) {
        *self.next_config() = config.into();
    }

    fn next_config(&self) -> MutexGuard<'_, Arc<[(String, String)]>> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stores of this build are made from.
    pub(crate) fn around(&self, build: &Build) -> Arc<Shared> {
        Arc::new(Shared {
            engine: self.engine.clone(),
            pre: build.pre.clone(),
            config: Arc::clone(&build.config),
            rest: Arc::new(Rest::new(self.limits.longest_rest)),
            limits: Arc::clone(&self.limits),
            outbound: Arc::clone(&self.outbound),
            log: Arc::clone(&self.log),
            meter: self.meter.clone(),
            computing: Arc::clone(&self.computing),
            retry_slots: Arc::clone(&self.retry_slots),
            handle_slots: Arc::clone(&self.handle_slots),
        })
    }
}

impl Generation {
    /// Starts worker stores for a build.
    pub(crate) fn start(build: Arc<Build>, surroundings: &Surroundings) -> Arc<Self> {
        let shared = surroundings.around(&build);
        Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            workers: Workers::start(&shared),
            build,
            shared,
        })
    }

    /// A fetch in this generation, and once more alone if its store died under
    /// it. Answers by the deadline or a moment later.
    ///
    /// # Errors
    /// As the caller of the plugin gets them, except that a call that had
    /// begun and was not answered is [`PluginFault::Stuck`] here.
    pub(crate) async fn fetch(&self, call: &Call<'_>) -> Result<Fetched, FetchError> {
        self.rested(call.deadline).await?;
        let limit = call.deadline + GRACE;
        let Shared { meter, limits, .. } = &*self.shared;
        match tokio::time::timeout_at(limit, self.fetch_or_retry(call)).await {
            Ok(Ok(answer)) => accept::fetched(answer, limits, &|limit| meter.limit(limit)),
            Ok(Err(fault)) => Err(FetchError::Plugin(fault)),
            Err(_) => Err(FetchError::Timeout),
        }
    }

    /// Waits until the handler wants to be asked again, if there is time for it.
    async fn rested(&self, deadline: Instant) -> Result<(), FetchError> {
        let Shared { meter, rest, .. } = &*self.shared;
        let Some(left) = rest.left() else {
            return Ok(());
        };
        let time = deadline.saturating_duration_since(Instant::now());
        match rest::wait(left, time, rest::lot()) {
            Some(wait) => {
                meter.rested("waited");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => {
                meter.rested("refused");
                Err(FetchError::Unavailable)
            }
        }
    }

    /// Whether the handler has asked to be left alone.
    pub(crate) fn rests(&self) -> bool {
        self.shared.rest.left().is_some()
    }

    /// The fault need not have been this call's, where calls share a store, and
    /// a fetch changes nothing.
    async fn fetch_or_retry(&self, call: &Call<'_>) -> Result<Answer, PluginFault> {
        let first = self.workers.fetch(call.username, call.known, call.deadline);
        match first.await {
            Err(
                PluginFault::Trap
                | PluginFault::TurnLimit
                | PluginFault::ResourceLimit
                | PluginFault::StackOverflow,
            ) if self.shared.pre.shares_stores() => {
                self.shared.meter.retry();
                solo::fetch(&self.shared, Purpose::Fetch, call.username, call.known).await
            }
            answer => answer,
        }
    }
}
