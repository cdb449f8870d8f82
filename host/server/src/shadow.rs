//! A new build of a plugin beside the one that serves, for a while.
//!
//! Owns that there is one shadow a virtual host, when it ends, and that its last
//! report stays until the next one begins. What a shadow does is
//! `muster-kit`'s: it asks the app nothing, and nothing of it reaches a client.

use std::sync::Arc;
use std::time::Duration;

use muster_kit::replay::{ReplayError, Replayed, Terms};
use muster_kit::shadow::{Bounds, Event, Full, Shadow, Work};
use muster_plugin::{Candidate, Digest, Engine, Limits, Plugin, Tap, Verification};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config;
use crate::limit::Limit;
use crate::plugin_file::PluginFile;
use crate::recording;
use crate::settings_in_use::SettingsInUse;

/// The shadow of one virtual host.
pub(crate) struct Shadows {
    engine: Engine,
    plugin: Arc<Plugin>,
    about: muster_kit::record::About,
    reads: Arc<SettingsInUse>,
    verification: Verification,
    limits: Limits,
    bounds: Bounds,
    terms: config::ShadowLimits,
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
        plugin_file: &PluginFile,
        (host, limits): (&config::VirtualHost, &config::Limits),
        sandbox: Limits,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Self {
        Self {
            engine: engine.clone(),
            plugin: Arc::clone(plugin_file.plugin()),
            about: recording::about(host),
            reads: Arc::clone(plugin_file.reads()),
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
            bounds: Bounds {
                waiting: limits.plugin.shadow.waiting,
                bytes: limits.plugin.record_bytes,
                users: limits.plugin.shadow.users,
            },
            terms: limits.plugin.shadow,
            tasks,
            stop,
            current: Mutex::default(),
        }
    }

    /// Loads the build as it would be loaded to serve, and lets it run beside
    /// for so long, or as long as one may.
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
            settings: self.reads.current(),
            verification: self.verification.clone(),
            limits: self.limits.clone(),
        };
        let lasting = lasting.min(self.terms.time);
        let tell = counting(&self.about.domain);
        let beginning = Shadow::begin(&self.engine, candidate, terms, self.bounds, tell);
        let (shadow, work) = beginning.await?;
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

    /// Until such a component has arrived.
    pub(crate) fn upload_timeout(&self) -> Duration {
        self.terms.upload_timeout
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

/// Counts what becomes of what it hears.
fn counting(vhost: &str) -> impl Fn(Event) + Send + Sync + 'static {
    let vhost: Arc<str> = vhost.into();
    let count = move |outcome: &'static str, fetches: usize| {
        let name = "muster_shadow_fetches_total";
        let vhost = Arc::clone(&vhost);
        metrics::counter!(name, "vhost" => vhost, "outcome" => outcome).increment(fetches as u64);
    };
    move |event| match event {
        Event::Compared(outcome) => count(outcome, 1),
        Event::LeftOut(fetches) => count("left_out", fetches),
        Event::Full(Full::Waiting) => Limit::PluginShadowWaiting.reached(),
        Event::Full(Full::Users) => Limit::PluginShadowUsers.reached(),
        Event::Full(Full::Bytes) => Limit::PluginRecordBytes.reached(),
    }
}
