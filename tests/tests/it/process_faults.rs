//! Rows 71 to 73: what happens to the process as a whole, under load. A death
//! in mid-push, a log that nobody can write or reads, a stop, and a SIGHUP that
//! finds nothing but faults.

use muster_test_plugins::deed;
use muster_tests::app::App;
use muster_tests::bystanders::Bystanders;
use muster_tests::client::{Client, Mechanism, Received};
use muster_tests::http::{Connection, Reply};
use muster_tests::metrics::Metrics;
use muster_tests::muster::{ANYONE, Setup, Summary, admin_request};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, Stage, items};
use muster_tests::within;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const MANY: &str = "[limits.xmpp]\nconnects_per_minute = 1000000";

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

async fn login(process: &Process, name: &str) -> Client {
    let account = format!("{name}@{DOMAIN}");
    Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain).await
}

/// A list of so many contacts, told apart by `mark`.
fn list(count: usize, mark: &str) -> Value {
    let contact = |n| {
        (
            format!("c{n}@example.test"),
            json!({"name": format!("{mark}{n}")}),
        )
    };
    Value::Object((0..count).map(contact).collect::<Map<_, _>>())
}

/// A request for a refresh of these users.
fn refresh(users: &[String]) -> Vec<u8> {
    let fields = [("Content-Type", "application/json")];
    let body = json!(users).to_string();
    admin_request(DOMAIN, ("POST", "refresh"), &fields, body.as_bytes())
}

/// Sends a request; no reply if the connection broke.
async fn ask(http: SocketAddr, request: Vec<u8>) -> Option<Reply> {
    let mut caller = Connection::open(http).await;
    caller.send(&request).await;
    caller.first_reply().await
}

/// Row 71: killed while a client has half of its pushes.
#[tokio::test]
async fn after_a_kill_in_mid_push_the_next_roster_is_the_apps() {
    const CONTACTS: usize = 5_000;
    let app = App::start().await;
    app.set_contacts("john", list(CONTACTS, "before"));
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut john = login(&process, "john").await;
    assert_eq!(items(&john.roster().await).len(), CONTACTS);
    app.set_contacts("john", list(CONTACTS, "after"));
    // The pushes are far more than the system takes for a client that does not
    // read: the server is in the midst of them when the first few are here.
    let caller = tokio::spawn(ask(process.http(), refresh(&["john".to_owned()])));
    for _ in 0..3 {
        john.push().await;
    }
    let took = process.kill_and_restart(binary()).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut came = 0;
    while let Received::Element(_) = john.receive().await {
        came += 1;
    }
    assert!(came < CONTACTS, "it was killed in the midst of the pushes");
    // All had left for the client's mailbox, or the caller heard nothing.
    if let Some(reply) = caller.await.expect("the caller") {
        assert_eq!(Summary::of(&reply), Summary::new("ok", 1, 0));
    }
    let mut john = login(&process, "john").await;
    let now = items(&john.roster().await);
    assert_eq!(now.len(), CONTACTS);
    assert!(
        now.iter().all(|item| item.contains("\"after")),
        "{:?}",
        now.first()
    );
}

/// Row 72: neither a full disk nor a reader that is gone stops the server, whose
/// log is the only thing that suffers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_written_costs_its_lines_alone() {
    for (fault, streams) in [
        ("a full disk", ">/dev/full 2>/dev/full"),
        ("a closed pipe", "> >(exec true) 2> >(exec true)"),
    ] {
        let app = Arc::new(App::start().await);
        let setup = Setup::for_app(&app).with(MANY);
        let mut process = Process::start_within("", streams, binary(), &setup).await;
        let stage = Stage::at(app, process.xmpp(), process.http());
        let bystanders = Bystanders::assemble(&stage, 200).await;
        // Each failed login is a line.
        for _ in 0..20 {
            let mut stranger = stage.connect().await;
            stranger.open().await;
            stranger.auth("PLAIN", b"\0\0").await;
            stranger.element("a failure").await;
        }
        stage.contacts("john", json!({"marie": {}}));
        let mut john = stage.online("john").await;
        stage.contacts("john", json!({}));
        stage.refreshed(&["john"]).await;
        john.push().await;
        let metrics = Metrics::scrape(stage.http()).await;
        let lost = metrics.sum("muster_log_lines_lost_total", &[]);
        assert!(lost >= 20.0, "{fault}: {lost} lines were lost");
        assert_eq!(metrics.sum("muster_panics_total", &[]), 0.0, "{fault}");
        assert_eq!(process.log(), "", "{fault}");
        let p99 = bystanders.dismiss().await;
        assert!(p99 < Duration::from_secs(2), "{fault}: {p99:?}");
        process.signal("TERM").await;
        assert_eq!(process.exit().await.code(), Some(0), "{fault}");
    }
}

/// Row 73: SIGTERM with two hundred sessions and refreshes under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_says_goodbye_and_answers_what_it_has_taken() {
    const USERS: usize = 200;
    let app = App::start().await;
    let mut process = Process::start(binary(), &Setup::for_app(&app).with(MANY)).await;
    let users: Vec<String> = (0..USERS).map(|n| format!("user{n}")).collect();
    let mut sessions = Vec::new();
    for user in &users {
        let mut session = login(&process, user).await;
        session.roster().await;
        sessions.push(session);
    }
    let held = users.chunks(20).map(|batch| &batch[0]);
    let gates: Vec<_> = held.map(|user| app.hold(user)).collect();
    let mut callers = JoinSet::new();
    for batch in users.chunks(20) {
        let (entries, asking) = (batch.len() as u64, ask(process.http(), refresh(batch)));
        callers.spawn(async move { (entries, asking.await) });
    }
    // Each batch is at work.
    for batch in users.chunks(20) {
        app.wait_for_requests(&batch[0], 2).await;
    }
    let start = Instant::now();
    process.signal("TERM").await;
    for session in &mut sessions {
        session.stream_error(&["system-shutdown"]).await;
    }
    gates.iter().for_each(muster_tests::app::Gate::open);
    for (entries, reply) in within("the callers", callers.join_all()).await {
        // Taken up before the signal: answered, and counted to the last entry.
        let summary = Summary::of(&reply.expect("an answer"));
        assert_eq!(summary.updated + summary.errors, entries);
    }
    assert_eq!(process.exit().await.code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
    assert!(process.log().contains("stopping"), "{}", process.log());
}

/// Row 73: everything that SIGHUP reads again is broken, the configuration file
/// too. What was read before stays, and nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sighup_that_finds_nothing_but_faults_changes_nothing() {
    let files = tempfile::tempdir().expect("a directory");
    let (plugin, token) = (files.path().join("plugin.wasm"), files.path().join("token"));
    std::fs::write(&plugin, deed("honest")).expect("a file");
    std::fs::write(&token, "secret-of-before").expect("a file");
    let app = Arc::new(App::start().await);
    let setup = Setup::new()
        .with(MANY)
        .plugin(&plugin)
        .host(DOMAIN, ANYONE, &app.roster_url())
        .with_host_sections(&format!(
            "[[virtual_host.origin]]\nurl = \"http://{}\"\nauthorization = {{ file = {token:?}, scheme = \"Bearer\" }}\n",
            app.address()
        ));
    let process = Process::start(binary(), &setup).await;
    let stage = Stage::at(app, process.xmpp(), process.http());
    let bystanders = Bystanders::assemble(&stage, 200).await;
    std::fs::write(&plugin, b"no component").expect("a file");
    std::fs::remove_file(&token).expect("a file");
    std::fs::write(process.directory().join("muster.toml"), "[[[").expect("a file");
    process.signal("HUP").await;
    let told = |words: &str| process.log().contains(words);
    within("the faults to be told", async {
        while !(told("stay as they were") && told("a new build of the plugin was refused")) {
            // Nothing tells but the log.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut john = stage.online("john").await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    stage.refreshed(&["john"]).await;
    let metrics = Metrics::scrape(stage.http()).await;
    let refused = metrics.sum("muster_plugin_swaps_total", &["outcome=\"not_wasm\""]);
    assert!(refused >= 1.0, "the metric names the fault");
    let p99 = bystanders.dismiss().await;
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
}
