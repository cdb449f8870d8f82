//! A host with a hostile plugin for one of its domains, in a process of its own,
//! while two hundred bystanders of that domain and of another one talk.

use muster_tests::app::App;
use muster_tests::bystanders::Bystanders;
use muster_tests::client::{Client, error_of};
use muster_tests::http::{Reply, exchange, request};
use muster_tests::metrics::Metrics;
use muster_tests::muster::{ANYONE, Setup, TOKEN};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, Stage, items};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The domain whose plugin is hostile.
pub(crate) const HOSTILE: &str = "hostile.test";
/// Calls of its plugin that never end are over after this time.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// How the metrics call it.
const VHOST: &str = "vhost=\"hostile.test\"";

/// Tells a figure for docs/reliability.md.
#[expect(
    clippy::print_stdout,
    reason = "whoever runs it with --nocapture wants to know"
)]
pub(crate) fn figure(promise: u32, figure: &str) {
    println!("promise {promise}: {figure}");
}

/// The call that took longest of some.
#[derive(Debug, Default)]
pub(crate) struct Slowest(Duration, String);

impl Slowest {
    pub(crate) fn took(&mut self, what: &str, time: Duration) {
        if time > self.0 {
            *self = Slowest(time, what.to_owned());
        }
    }
}

impl fmt::Display for Slowest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slowest(time, what) = self;
        write!(
            formatter,
            "the slowest ({what}) had its error after {time:.0?}"
        )
    }
}

pub(crate) struct Arena {
    pub(crate) process: Process,
    /// The domain of the built-in plugin.
    pub(crate) stage: Stage,
    /// The domain of the hostile one.
    pub(crate) hostile: Stage,
    bystanders: Vec<Bystanders>,
    _component: TempDir,
}

impl Arena {
    /// With the plugin whose deed the username chooses.
    pub(crate) async fn open() -> Arena {
        Arena::of(muster_test_plugins::hostile()).await
    }

    /// The same with the turn that is the default.
    pub(crate) async fn with_whole_turns() -> Arena {
        Arena::new(muster_test_plugins::hostile(), "100ms").await
    }

    /// With this component. Without circuit breakers and last known
    /// rosters, so that each deed is done: what they do is in `breaker` and `stale`.
    pub(crate) async fn of(component: &[u8]) -> Arena {
        // On a machine that does much else, a turn is long in coming to its end.
        Arena::new(component, "30ms").await
    }

    async fn new(component: &[u8], turn: &str) -> Arena {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("hostile.wasm");
        std::fs::write(&path, component).expect("a file");
        let app = Arc::new(App::start().await);
        let seconds = TIMEOUT.as_secs();
        let setup = Setup::for_app(&app)
            .with(&format!(
                "[limits.backend]\ntimeout = \"{seconds}s\"\n\
                 [limits.plugin]\nhandle_timeout = \"{seconds}s\"\nturn = \"{turn}\"\n\
                 [limits.xmpp]\nconnects_per_minute = 1000000\n\
                 [limits.plugin.breaker]\nfailures = 1000000\n\
                 [limits.backend.breaker]\nfailures = 1000000"
            ))
            .plugin(&path)
            .host(HOSTILE, ANYONE, &app.roster_url())
            // So that each deed is done for whoever asks, whatever was known before.
            .roster_keys("on_backend_failure = \"reject\"");
        let process = Process::start(binary(), &setup).await;
        let stage = Stage::at(app, process.xmpp(), process.http());
        let hostile = stage.with_domain(HOSTILE);
        let bystanders = vec![
            Bystanders::assemble(&stage, 140).await,
            Bystanders::assemble(&hostile, 60).await,
        ];
        Arena {
            process,
            stage,
            hostile,
            bystanders,
            _component: directory,
        }
    }

    /// Nobody was disturbed.
    pub(crate) async fn close(self) {
        for bystanders in self.bystanders {
            let p99 = bystanders.dismiss().await;
            // 100 ms are promised of a release build with cores to itself; here
            // every test of the binary runs at the same time.
            assert!(p99 < Duration::from_secs(2), "{p99:?}");
        }
        // A guest's own panic is a line of the plugin.
        let log = self.process.log();
        let panic = |line: &&str| line.contains("panicked") && !line.contains("plugin=");
        assert_eq!(log.lines().find(panic), None);
    }

    /// How often something was counted for the hostile domain.
    pub(crate) async fn count(&self, metric: &str, label: &str) -> f64 {
        let metrics = Metrics::scrape(self.stage.http()).await;
        metrics.sum(metric, &[VHOST, label])
    }

    /// How many lines of the log have all of these words.
    pub(crate) fn told(&self, words: &[&str]) -> usize {
        let log = self.process.log();
        let told = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(told).count()
    }

    /// Logs in and asks for the roster; the error, or the items.
    pub(crate) async fn roster(&self, user: &str) -> (Client, Result<Vec<String>, String>) {
        self.timed_roster(user, &mut Slowest::default()).await
    }

    /// The same; `slowest` hears how long the roster took.
    pub(crate) async fn timed_roster(
        &self,
        user: &str,
        slowest: &mut Slowest,
    ) -> (Client, Result<Vec<String>, String>) {
        let mut session = self.hostile.bound(user).await;
        let began = Instant::now();
        let reply = session.roster().await;
        slowest.took(user, began.elapsed());
        let answer = match reply.attr("type") {
            Some("error") => Err(error_of(&reply)),
            _ => Ok(items(&reply)),
        };
        (session, answer)
    }

    /// The next one who means no harm is served, as if nothing had been.
    pub(crate) async fn assert_serving(&self, after: &str) {
        let (session, roster) = self.roster("honest").await;
        assert_eq!(
            roster,
            Ok(vec!["marie@example.test both".to_owned()]),
            "after {after}"
        );
        session.leave().await;
    }

    /// A request under `/roster_admin/` to the hostile plugin.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        let authorization = format!("Bearer {TOKEN}");
        let fields = [
            ("Host", HOSTILE),
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        let path = format!("/roster_admin/{path}");
        let request = request("POST", &path, &fields, body.as_bytes());
        exchange(self.stage.http(), &request).await
    }
}

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// An account of the domain of the built-in plugin.
pub(crate) fn neighbour(name: &str) -> String {
    format!("{name}@{DOMAIN}")
}
