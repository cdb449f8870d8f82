//! Trying the cases of a fixture, one after the other, in one loaded plugin.
//!
//! Each fetch has a store of its own here, so that no case hangs on what the
//! one before has left in the plugin's memory; and no breaker opens, because
//! an app that fails is what many cases are about.

mod answer;
mod list;
mod scene;

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_plugin::{
    AllowedOrigin, BreakerPolicy, Candidate, EgressPolicy, Engine, Limits, LoadError, Plugin,
    Settings, Stubs, Verification,
};

pub(crate) use self::answer::Host;
pub(crate) use self::list::in_words;
use self::scene::Scene;
use crate::fixture::{Case, Deed, Fixture};
use crate::report::{CaseReport, Report};
use crate::stage::Stage;

/// Loads the plugin and tries the cases whose names contain `filter`.
///
/// # Errors
/// [`LoadError`]: the plugin cannot be loaded.
pub async fn run(
    engine: &Engine,
    candidate: &Candidate,
    fixture: &Fixture,
    filter: &str,
) -> Result<Report, LoadError> {
    let started = Instant::now();
    let attempts = Attempts::load(engine, candidate, fixture, limits(fixture.timeout)).await?;
    let load = started.elapsed();
    let mut cases = Vec::new();
    for case in &fixture.cases {
        if case.name.contains(filter) {
            cases.push(attempts.attempt(case).await);
        }
    }
    attempts.end().await;
    Ok(Report {
        path: fixture.path.clone(),
        load,
        cases,
    })
}

/// A loaded plugin in front of the app of a fixture.
pub(crate) struct Attempts<'a> {
    fixture: &'a Fixture,
    scene: Arc<Scene>,
    plugin: Plugin,
}

impl<'a> Attempts<'a> {
    pub(crate) async fn load(
        engine: &Engine,
        candidate: &Candidate,
        fixture: &'a Fixture,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        let scene = Arc::new(Scene::default());
        let settings = settings(fixture, Stage::new(Arc::clone(&scene) as _), limits);
        let plugin = Plugin::load(engine, candidate.clone(), settings).await?;
        Ok(Self {
            fixture,
            scene,
            plugin,
        })
    }

    /// One case; the time is that of the call alone.
    pub(crate) async fn attempt(&self, case: &Case) -> CaseReport {
        let Self {
            fixture,
            scene,
            plugin,
        } = self;
        scene.begin(&case.app);
        let started = Instant::now();
        let (kind, took, mut differences) = match &case.deed {
            Deed::Fetch {
                username,
                known,
                expect,
            } => {
                let fetched = plugin.fetch(username, known.as_deref()).await;
                let took = started.elapsed();
                let owner = crate::fixture::expect::owner(username, &fixture.domain);
                ("fetch", took, list::differences(&owner, expect, fetched))
            }
            Deed::Refresh {
                request,
                outcomes,
                expect,
            } => {
                let host = Arc::new(Host::new(outcomes.clone()));
                let answered = plugin.handle(request.clone(), Arc::clone(&host) as _).await;
                let took = started.elapsed();
                let differences = answer::differences(expect, answered, &host.asked());
                ("refresh", took, differences)
            }
        };
        differences.extend(scene.end());
        CaseReport {
            name: case.name.clone(),
            kind,
            took,
            differences,
        }
    }

    /// The largest memory that a store has had, in bytes.
    pub(crate) fn largest_memory(&self) -> usize {
        self.plugin.largest_memory()
    }

    pub(crate) async fn end(self) {
        self.plugin.shutdown(Duration::ZERO).await;
    }
}

/// Those of a virtual host, but for what the test is about.
fn settings(fixture: &Fixture, stage: Arc<Stage>, limits: Limits) -> Settings {
    let mut config = vec![
        ("http_roster_url".to_owned(), fixture.url.clone()),
        ("domain".to_owned(), fixture.domain.to_string()),
    ];
    let own = fixture.settings.iter();
    config.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    let origins = fixture
        .origins
        .iter()
        .map(|(origin, methods)| AllowedOrigin {
            methods: methods.clone(),
            ..AllowedOrigin::get(origin.clone())
        });
    Settings {
        name: fixture.domain.to_string(),
        config,
        egress: EgressPolicy {
            origins: origins.collect(),
        },
        resolver: stage,
        stubs: match fixture.deny_all_stubs {
            true => Stubs::DenyAll,
            false => Stubs::Absent,
        },
        verification: Verification::default(),
        limits,
    }
}

/// A store for each fetch, and no breaker.
pub(crate) fn limits(timeout: Duration) -> Limits {
    let never = BreakerPolicy {
        failures: u32::MAX,
        ..BreakerPolicy::default()
    };
    let defaults = Limits::default();
    Limits {
        workers: 1,
        calls_per_store: 1,
        request: timeout,
        // The plugin has time to tell what it made of it.
        call: defaults.call.max(timeout * 2),
        // An author waits for a large guest; what a server would say to it is
        // for `muster plugin validate`.
        compile: Duration::from_secs(600),
        // A fixture says each request that is made.
        retry_share: 0,
        longest_rest: Duration::ZERO,
        plugin_breaker: never,
        backend_breaker: never,
        ..defaults
    }
}

#[cfg(test)]
mod tests;
