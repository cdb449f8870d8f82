//! Row 74: somebody sets the wall clock, or the machine sleeps. Sessions,
//! refreshes and the app's answers go by a clock that nobody sets; dates alone
//! go by the wall clock.

use muster_tests::app::App;
use muster_tests::bystanders::Bystanders;
use muster_tests::client::{Client, Received};
use muster_tests::http::exchange;
use muster_tests::metrics::Metrics;
use muster_tests::muster::{Setup, admin_request};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, Stage};
use muster_tests::within;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DAY: i64 = 86_400;

/// Nobody is turned away for coming quickly.
const MANY: &str = "[limits.xmpp]\nconnects_per_minute = 1000000";
/// Who is silent is asked soon, and given up soon.
const SOON: &str = "[limits.xmpp]\nconnects_per_minute = 1000000\n\
    idle_ping = \"4s\"\nping_timeout = \"4s\"";

/// A process with a wall clock of its own.
struct Scene {
    process: Process,
    stage: Stage,
    directory: TempDir,
}

impl Scene {
    async fn new(sections: &str) -> Scene {
        let directory = tempfile::tempdir().expect("a directory");
        let shift = shift(&directory);
        let clock = directory.path().join("clock");
        let before = format!(
            "LD_PRELOAD={} MUSTER_TEST_CLOCK={}",
            shift.display(),
            clock.display()
        );
        set(&directory, 0);
        let app = Arc::new(App::start().await);
        let setup = Setup::for_app(&app).with(sections);
        let process = Process::start_within(&before, "", binary(), &setup).await;
        Scene {
            stage: Stage::at(app, process.xmpp(), process.http()),
            process,
            directory,
        }
    }

    /// Sets the clock so many days off.
    fn set(&self, days: i64) {
        set(&self.directory, days * DAY);
    }

    /// A refresh as a job: the day on which it began, by the host's clock, and
    /// what it came to.
    async fn job(&self, user: &str) -> (String, Value) {
        let body = json!([self.stage.user(user)]).to_string();
        let fields = [
            ("Content-Type", "application/json"),
            ("Prefer", "respond-async"),
        ];
        let ask = admin_request(DOMAIN, ("POST", "refresh"), &fields, body.as_bytes());
        let begun = exchange(self.stage.http(), &ask).await;
        let location = begun.header("location").expect("a job").to_owned();
        let path = location.trim_start_matches("/roster_admin/");
        let job = within("the job", async {
            loop {
                let ask = admin_request(DOMAIN, ("GET", path), &[], b"");
                let job = exchange(self.stage.http(), &ask).await.json();
                if job["state"] == "done" {
                    return job;
                }
            }
        });
        let job = job.await;
        let created = job["created"].as_str().expect("a date");
        (created.chars().take(10).collect(), job)
    }
}

fn set(directory: &TempDir, seconds: i64) {
    let (file, next) = (directory.path().join("clock"), seconds.to_ne_bytes());
    // In place: the process has mapped these very bytes.
    let opened = std::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file);
    std::io::Write::write_all(&mut opened.expect("a file"), &next).expect("written");
}

/// Compiles what stands between the process and the system's clock.
fn shift(directory: &TempDir) -> std::path::PathBuf {
    let library = directory.path().join("shift.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clock/shift.c");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(status.expect("a C compiler").success());
    library
}

/// Answers what it is asked for, so that it counts as alive.
async fn answer_pings(mut client: Client, until: Instant) -> Client {
    while let Ok(received) = tokio::time::timeout_at(until.into(), client.hear()).await {
        let Received::Element(element) = received else {
            panic!("{} is disconnected: {received:?}", client.jid());
        };
        if element.attr("type") == Some("get") {
            let id = element.attr("id").expect("an id").to_owned();
            client
                .send(format!("<iq type='result' id='{id}' to='{DOMAIN}'/>"))
                .await;
        }
    }
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_forwards_or_back_disconnects_nobody() {
    let scene = Scene::new(MANY).await;
    let bystanders = Bystanders::assemble(&scene.stage, 200).await;
    // Says nothing, and has a minute until anybody asks.
    let mut john = scene.stage.online("john").await;
    let mut dates = Vec::new();
    for (round, days) in [0, 1, -1].into_iter().enumerate() {
        scene.set(days);
        // What has a deadline or an age keeps it.
        let marie = format!("marie{round}");
        scene.stage.contacts(&marie, json!({"john": {}}));
        let mut session = scene.stage.online(&marie).await;
        scene.stage.contacts(&marie, json!({}));
        scene.stage.refreshed(&[&marie]).await;
        session.push().await;
        let (date, job) = scene.job(&marie).await;
        assert_eq!(job["answer"]["code"], 200, "{job}");
        dates.push(date);
    }
    // The clock was set: the test would show nothing otherwise.
    assert!(dates[2] < dates[0] && dates[0] < dates[1], "{dates:?}");
    john.settle().await;
    let metrics = Metrics::scrape(scene.stage.http()).await;
    assert_eq!(metrics.sum("muster_peers_lost_total", &[]), 0.0);
    assert_eq!(metrics.sum("muster_streams_ended_total", &[]), 0.0);
    let p99 = bystanders.dismiss().await;
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
}

/// The process stands still for longer than each of its deadlines while clients
/// go on: when it goes on, it hears what they have said before it judges them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_suspended_disconnects_nobody() {
    let scene = Scene::new(SOON).await;
    let until = Instant::now() + Duration::from_secs(24);
    let mut alive = Vec::new();
    for n in 0..50 {
        let session = scene.stage.online(&format!("john{n}")).await;
        alive.push(tokio::spawn(answer_pings(session, until)));
    }
    // Some have just been asked, some are about to be.
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.process.signal("STOP").await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    scene.set(1);
    scene.process.signal("CONT").await;
    assert!(Instant::now() < until, "the machine is too slow to tell");
    let alive = futures_util::future::join_all(alive);
    for session in alive.await {
        session.expect("nobody is disconnected").settle().await;
    }
    let metrics = Metrics::scrape(scene.stage.http()).await;
    assert_eq!(metrics.sum("muster_peers_lost_total", &[]), 0.0);
    let mut late = scene.stage.online("late").await;
    late.settle().await;
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}
