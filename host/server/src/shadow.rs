//! A new build of a plugin beside the one that serves, for a while.
//!
//! Owns that there is one shadow a virtual host, when it ends, and that its last
//! report stays until the next one begins. What a shadow does is
//! `muster-kit`'s: it asks the app nothing, and nothing of it reaches a client.

use std::sync::Arc;
use std::time::Duration;

use muster_kit::replay::{ReplayError, Replayed, Terms};
use muster_kit::shadow::{Bounds, Shadow, Work};
use muster_plugin::{Candidate, Digest, Engine, Limits, Plugin, Tap, Verification};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config;
use crate::recording;

/// Fetches that wait for a shadow; it makes them one by one, and what comes
/// faster is left out and counted.
const WAITING: usize = 256;
/// Users of whom differences are kept.
const USERS: usize = 1_000;

/// The shadow of one virtual host.
pub(crate) struct Shadows {
    engine: Engine,
    plugin: Arc<Plugin>,
    about: muster_kit::record::About,
    settings: config::PluginSettings,
    verification: Verification,
    limits: Limits,
    tape_bytes: usize,
    tasks: TaskTracker,
    /// The process ends.
    stop: CancellationToken,
    /// A leaf lock.
    current: Mutex<Option<Running>>,
}

/// One that runs, or has run.
struct Running {
    shadow: Arc<Shadow>,
    sha256: Digest,
    ends: Instant,
    stop: CancellationToken,
}

/// What there is to know of a shadow.
#[derive(Debug)]
pub(crate) struct ShadowStatus {
    /// Its bytes.
    pub(crate) sha256: Digest,
    /// Until it ends by itself; zero when it has ended.
    pub(crate) left: Duration,
    /// What was found so far.
    pub(crate) report: Replayed,
}

/// Why there is no shadow. Reach: the request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShadowError {
    /// There is one.
    #[error("another build runs beside the plugin of this host already")]
    Busy,
    /// It cannot run.
    #[error(transparent)]
    Build(#[from] ReplayError),
}

impl Shadows {
    pub(crate) fn new(
        engine: &Engine,
        plugin: Arc<Plugin>,
        (host, limits): (&config::VirtualHost, &config::Limits),
        sandbox: Limits,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Self {
        Self {
            engine: engine.clone(),
            plugin,
            about: recording::about(host),
            settings: host.plugin.settings.clone(),
            verification: Verification {
                // Its point is to be another one, and the app is not asked.
                sha256: None,
                self_test_user: None,
                ..host.plugin.verification.clone()
            },
            limits: Limits {
                workers: 1,
                ..sandbox
            },
            tape_bytes: limits.plugin.record_bytes,
            tasks,
            stop,
            current: Mutex::default(),
        }
    }

    /// Loads the build as it would be loaded to serve, and lets it run beside
    /// for so long.
    ///
    /// # Errors
    /// [`ShadowError`]; what serves is not touched by any of it.
    pub(crate) async fn begin(
        &self,
        candidate: Candidate,
        lasting: Duration,
    ) -> Result<ShadowStatus, ShadowError> {
        if self.is_running() {
            return Err(ShadowError::Busy);
        }
        let sha256 = candidate.digest();
        let terms = Terms {
            name: format!("shadow.{}", self.about.domain),
            about: self.about.clone(),
            settings: recording::settings(&self.settings),
            verification: self.verification.clone(),
            limits: self.limits.clone(),
        };
        let bounds = Bounds {
            waiting: WAITING,
            tape_bytes: self.tape_bytes,
            users: USERS,
        };
        let (shadow, work) = Shadow::begin(&self.engine, candidate, terms, bounds).await?;
        let ends = Instant::now() + lasting;
        let stop = self.stop.child_token();
        {
            let mut current = self.current.lock();
            // Two may have been loading.
            if current.as_ref().is_some_and(Running::is_running) {
                return Err(ShadowError::Busy);
            }
            *current = Some(Running {
                shadow: Arc::clone(&shadow),
                sha256,
                ends,
                stop: stop.clone(),
            });
        }
        self.run(shadow, work, ends, stop);
        tracing::info!(vhost = self.about.domain, %sha256, ?lasting, "a build runs beside the plugin");
        self.status().ok_or(ShadowError::Busy)
    }

    /// Bytes of a component, at most.
    pub(crate) fn component_bytes(&self) -> usize {
        self.limits.component_bytes
    }

    /// What there is to know of the last one.
    pub(crate) fn status(&self) -> Option<ShadowStatus> {
        let current = self.current.lock();
        let running = current.as_ref()?;
        let left = running.ends.saturating_duration_since(Instant::now());
        Some(ShadowStatus {
            sha256: running.sha256,
            left: match running.stop.is_cancelled() {
                true => Duration::ZERO,
                false => left,
            },
            report: running.shadow.report(),
        })
    }

    /// Ends it before its time.
    pub(crate) fn end(&self) -> Option<ShadowStatus> {
        if let Some(running) = self.current.lock().as_ref() {
            running.stop.cancel();
        }
        self.status()
    }

    fn is_running(&self) -> bool {
        self.current
            .lock()
            .as_ref()
            .is_some_and(Running::is_running)
    }

    /// Listens until it ends; a task for the listening, one for the work.
    fn run(&self, shadow: Arc<Shadow>, work: Work, ends: Instant, stop: CancellationToken) {
        let tap: Arc<dyn Tap> = shadow;
        self.plugin.listen(&tap);
        self.tasks.spawn(work.run(stop.clone()));
        let plugin = Arc::clone(&self.plugin);
        self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(ends) => {}
                () = stop.cancelled() => {}
            }
            plugin.listen_no_more(&tap);
            stop.cancel();
        });
    }
}

impl Running {
    fn is_running(&self) -> bool {
        !self.stop.is_cancelled() && self.ends > Instant::now()
    }
}
