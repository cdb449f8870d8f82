//! Rows 52 to 54 and 56 in a process of its own, with two hundred bystanders:
//! however the app fails, each refresh has its answer in time, names the fault
//! in the log and in a metric, changes nothing, and nobody else notices.

use crate::backend::gzip_bomb;
use muster_tests::app::{Answer, App};
use muster_tests::bystanders::Bystanders;
use muster_tests::client::{Client, Mechanism};
use muster_tests::metrics::Metrics;
use muster_tests::muster::{ANYONE, Setup, Summary, refresh};
use muster_tests::process::Process;
use muster_tests::stage::{Stage, items};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The domain whose app fails, and how the metrics call it.
const FAILING: &str = "failing.test";
const VHOST: &str = "vhost=\"failing.test\"";
/// The total deadline of a fetch, in place of 5 s.
const DEADLINE: Duration = Duration::from_secs(3);
/// What the host may need more than the largest answer that it takes, for the
/// calls that the bystanders make in the meantime.
const MEMORY: usize = 192 << 20;

/// A fault, and the outcome of the fetch by which the metrics name it.
type Fault = (&'static str, &'static str, Answer);

fn faults() -> Vec<Fault> {
    let body = |bytes: &[u8]| Answer::Body(bytes.to_vec());
    let reset = |text: &str| Answer::Reset(text.as_bytes().to_vec());
    let ok = "HTTP/1.1 200 OK\r\n";
    let many = |count: usize| -> Value {
        let contacts = (0..count).map(|n| (format!("c{n}@example.test"), json!({})));
        Value::Object(contacts.collect())
    };
    vec![
        ("silence", "timeout", Answer::Silence),
        (
            "1 B/s",
            "timeout",
            Answer::Drip(many(10), Duration::from_secs(1)),
        ),
        ("500", "status", Answer::Status(500)),
        ("429", "status", Answer::Status(429)),
        ("204", "status", Answer::Status(204)),
        (
            "reset in the body",
            "unavailable",
            reset(&format!("{ok}Content-Length: 30\r\n\r\n{{")),
        ),
        (
            "a length too long",
            "unavailable",
            Answer::wrong_length("{}", 10),
        ),
        (
            "a length too short",
            "malformed",
            Answer::wrong_length("{}", 1),
        ),
        ("gzip", "malformed", gzip_bomb()),
        ("HTML", "malformed", body(b"<html>Sign in</html>")),
        (
            "bad UTF-8",
            "malformed",
            body(b"{\"a@b.c\": {\"name\": \"\xff\"}}"),
        ),
        ("[]", "malformed", body(b"[]")),
        ("null", "malformed", body(b"null")),
        ("truncated", "malformed", body(b"{\"new@example.test\": {")),
        ("1 GB", "too_large", Answer::Flood(1 << 30)),
        ("no end", "too_large", Answer::Endless),
        (
            "200,000 contacts",
            "too_large",
            Answer::Contacts(many(200_000)),
        ),
        (
            "10,000 header fields",
            "too_large",
            Answer::Headers(10_000, json!({})),
        ),
    ]
}

struct Scene {
    process: Process,
    stage: Stage,
    app: App,
    john: Client,
    before: Vec<String>,
}

impl Scene {
    async fn new(failing_url: impl FnOnce(&App) -> String) -> Scene {
        let app = App::start().await;
        let sound = Arc::new(App::start().await);
        let setup = Setup::for_app(&sound)
            .host(FAILING, ANYONE, &failing_url(&app))
            .with(&format!(
                "[limits.backend]\ntimeout = \"{}ms\"\n\
                 [limits.backend.breaker]\nfailures = 1000000\n\
                 [limits.xmpp]\nconnects_per_minute = 1000000",
                DEADLINE.as_millis()
            ));
        let process = Process::start(binary(), &setup).await;
        app.set_contacts("john", json!({"marie@failing.test": {"name": "Marie"}}));
        let account = format!("john@{FAILING}");
        let login = Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain);
        let mut john = login.await;
        let before = items(&john.roster().await);
        john.available().await;
        Scene {
            stage: Stage::at(sound, process.xmpp(), process.http()),
            process,
            app,
            john,
            before,
        }
    }

    async fn refresh(&self) -> Summary {
        refresh(self.stage.http(), FAILING, &["john"]).await
    }

    async fn count(&self, metric: &str, label: &str) -> f64 {
        let metrics = Metrics::scrape(self.stage.http()).await;
        metrics.sum(metric, &[VHOST, label])
    }

    /// Fetches that came to this, or to their deadline: a machine that does much
    /// else may not get through 200,000 contacts before.
    async fn counted(&self, outcome: &str) -> f64 {
        let mut counted = 0.0;
        for outcome in BTreeSet::from([outcome, "timeout"]) {
            let label = format!("outcome=\"{outcome}\"");
            counted += self.count("muster_plugin_calls_total", &label).await;
        }
        counted
    }

    fn told(&self) -> usize {
        let log = self.process.log();
        let told = "the roster could not be fetched";
        log.lines().filter(|line| line.contains(told)).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_fails_in_every_way_disturbs_nobody() {
    let mut scene = Scene::new(App::roster_url).await;
    assert_eq!(scene.before, ["marie@failing.test both \"Marie\""]);
    let bystanders = Bystanders::assemble(&scene.stage, 200).await;
    scene.process.forget_peak();
    let memory = scene.process.memory("VmRSS");
    for (fault, outcome, answer) in faults() {
        let counted = scene.counted(outcome).await;
        let told = scene.told();
        scene.app.set_answer("john", answer);
        let start = Instant::now();
        assert_eq!(
            scene.refresh().await,
            Summary::new("error", 0, 1),
            "{fault}"
        );
        let took = start.elapsed();
        assert!(
            took < DEADLINE + Duration::from_secs(4),
            "{fault}: {took:?}"
        );
        let counted = scene.counted(outcome).await - counted;
        assert!(counted >= 1.0, "{fault} is counted as {outcome}");
        assert!(scene.told() > told, "{fault} is in the log");
        let came = scene.john.settle().await;
        assert!(came.is_empty(), "{fault}: {came:?}");
        assert_eq!(items(&scene.john.roster().await), scene.before, "{fault}");
    }
    let grown = scene.process.memory("VmHWM").saturating_sub(memory);
    assert!(grown < MEMORY, "{} MiB", grown >> 20);
    let asked = scene.app.requests_for("john");
    let encodings = asked.iter().filter_map(|it| it.header("accept-encoding"));
    assert_eq!(encodings.count(), 0, "compressed answers are not asked for");
    let p99 = bystanders.dismiss().await;
    println!(
        "bystanders: p99 {p99:?}; memory grew by {} MiB",
        grown >> 20
    );
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
}

/// Row 52: the connection is accepted, and no byte of TLS ever comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_shakes_no_hands_is_over_at_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let accepting = tokio::spawn(keep_all(silent));
    let mut scene =
        Scene::new(|_| format!("https://localhost:{}/contacts/%s", address.port())).await;
    assert_eq!(scene.before, [""; 0], "nobody has told any contacts");
    let bystanders = Bystanders::assemble(&scene.stage, 200).await;
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(scene.refresh().await, Summary::new("error", 0, 1));
        let took = start.elapsed();
        assert!(took < DEADLINE + Duration::from_secs(4), "{took:?}");
    }
    assert!(scene.john.settle().await.is_empty());
    let failed = "muster_egress_connect_failures_total";
    assert!(scene.count(failed, "reason=\"").await >= 3.0);
    assert!(scene.told() >= 3);
    let p99 = bystanders.dismiss().await;
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
    accepting.abort();
}

/// Accepts, and says nothing.
async fn keep_all(listener: TcpListener) {
    let mut kept = Vec::new();
    while let Ok(accepted) = listener.accept().await {
        kept.push(accepted);
    }
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}
