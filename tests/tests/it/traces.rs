//! Traces for OpenTelemetry: what a collector gets of a refresh and of a login,
//! what the app gets with each fetch, and that a collector that fails costs
//! nobody anything.
//!
//! The collector is another app of the harness: it takes whatever is posted to
//! it, or does to it what an app may do.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use muster_tests::app::{Answer, App, closed_address};
use muster_tests::client::{Client, Mechanism};
use muster_tests::http::{exchange, request};
use muster_tests::muster::{Setup, TOKEN};
use muster_tests::otlp::{Span, spans};
use muster_tests::process::Process;
use muster_tests::stage::DOMAIN;
use muster_tests::within;
use serde_json::json;

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// A section that sends traces to the collector.
fn to(collector: std::net::SocketAddr, keys: &str) -> String {
    format!("[telemetry.otlp]\nendpoint = \"http://{collector}/contacts/traces\"\n{keys}")
}

async fn collector() -> App {
    let collector = App::start().await;
    collector.set_answer("traces", Answer::Status(200));
    collector
}

async fn john(process: &Process) -> Client {
    let account = format!("john@{DOMAIN}");
    Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain).await
}

/// Asks for a refresh as an app does whose own request is traced.
async fn refresh(process: &Process, users: &[&str]) -> serde_json::Value {
    let token = format!("Bearer {TOKEN}");
    let fields = [
        ("Host", DOMAIN),
        ("Authorization", token.as_str()),
        ("Content-Type", "application/json"),
        ("traceparent", CALLER),
    ];
    let body = json!(users).to_string();
    let request = request("POST", "/roster_admin/refresh", &fields, body.as_bytes());
    exchange(process.http(), &request).await.json()
}

fn collected(collector: &App) -> Vec<Span> {
    let requests = collector.requests().into_iter();
    requests.flat_map(|it| spans(&it.body)).collect()
}

/// Waits until the collector has such a span.
async fn until(collector: &App, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
    let mut count = 1;
    loop {
        collector.wait_for_requests("traces", count).await;
        let spans = collected(collector);
        if spans.iter().any(&wanted) {
            return spans;
        }
        count = collector.requests().len() + 1;
    }
}

#[tokio::test]
async fn a_refresh_is_one_tree_from_the_callers_span_to_the_apps() {
    let (app, collector) = (App::start().await, collector().await);
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let setup = Setup::for_app(&app).with(&to(collector.address(), "service_name = \"chat\""));
    let process = Process::start(binary(), &setup).await;
    let mut session = john(&process).await;
    session.roster().await;
    assert_eq!(refresh(&process, &["john", "nobody"]).await["updated"], 2);
    let spans = until(&collector, |span| span.name == "refresh").await;
    let by_id: HashMap<_, _> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let refresh = spans
        .iter()
        .find(|span| span.name == "refresh")
        .expect("one");
    assert_eq!(refresh.trace, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(
        (refresh.parent.as_str(), refresh.kind),
        ("00f067aa0ba902b7", 2)
    );
    assert_eq!(refresh.attributes["users"], "2");
    let fetch = spans
        .iter()
        .find(|span| span.name == "fetch" && span.trace == refresh.trace);
    let fetch = fetch.expect("john was online");
    assert_eq!((fetch.kind, fetch.failed), (3, false));
    assert_eq!(fetch.attributes["status"], "304");
    let path = std::iter::successors(Some(fetch), |span| by_id.get(span.parent.as_str()).copied());
    let path: Vec<_> = path
        .map(|span| (span.name.as_str(), span.attributes.get("op")))
        .collect();
    let (fetch_op, handle_op) = ("fetch".to_owned(), "handle".to_owned());
    assert_eq!(
        path,
        [
            ("fetch", None),
            ("call", Some(&fetch_op)),
            ("call", Some(&handle_op)),
            ("refresh", None)
        ]
    );
    let asked = app.requests_for("john");
    let own = asked[1].header("traceparent").expect("a parent");
    assert_eq!(own, format!("00-{}-{}-01", refresh.trace, fetch.id));
    assert!(
        collector.requests()[0]
            .body
            .windows(4)
            .any(|it| it == b"chat")
    );
}

#[tokio::test]
async fn a_session_ends_its_tree_at_its_end() {
    let (app, collector) = (App::start().await, collector().await);
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let setup = Setup::for_app(&app).with(&to(collector.address(), ""));
    let mut process = Process::start(binary(), &setup).await;
    let mut session = john(&process).await;
    session.roster().await;
    session.leave().await;
    // What still waits goes before the end of the process.
    process.signal("TERM").await;
    assert_eq!(process.exit().await.code(), Some(0));
    let spans = collected(&collector);
    let named = |name: &str| spans.iter().find(|span| span.name == name);
    let fetch = named("fetch").expect("a fetch");
    let by_id: HashMap<_, _> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let path = std::iter::successors(Some(fetch), |span| by_id.get(span.parent.as_str()).copied());
    let path: Vec<_> = path.map(|span| span.name.as_str()).collect();
    assert_eq!(path, ["fetch", "call", "iq", "session", "stream"]);
    let session = named("session").expect("a session");
    assert!(session.attributes["jid"].starts_with("john@example.test/"));
    let text = format!("{spans:?}");
    assert!(!text.contains("marie"), "a contact: {text}");
}

#[tokio::test]
async fn nothing_is_told_that_was_not_asked_for() {
    let (app, collector) = (App::start().await, collector().await);
    let keys = "sampling_ratio = 0.0";
    let setup = Setup::for_app(&app).with(&to(collector.address(), keys));
    let mut process = Process::start(binary(), &setup).await;
    let mut session = john(&process).await;
    session.roster().await;
    // The app learns that nobody looks; who asks with a trace is looked at.
    let parent = app.requests_for("john")[0]
        .header("traceparent")
        .map(str::to_owned);
    assert!(parent.is_some_and(|it| it.ends_with("-00")));
    refresh(&process, &["john"]).await;
    process.signal("TERM").await;
    process.exit().await;
    let names: Vec<_> = collected(&collector)
        .into_iter()
        .map(|span| span.name)
        .collect();
    assert_eq!(names, ["fetch", "call", "call", "refresh"]);
    // Without the section, nobody hears of traces at all.
    let process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut session = john(&process).await;
    session.roster().await;
    refresh(&process, &["john"]).await;
    let asked = app.requests_for("john");
    assert_eq!(asked.len(), 4);
    assert!(
        asked[2..]
            .iter()
            .all(|it| it.header("traceparent").is_none())
    );
}

/// A secret that is changed while the process runs.
#[tokio::test]
async fn on_sighup_the_secret_for_the_collector_is_read_again() {
    let (app, collector) = (App::start().await, collector().await);
    let files = tempfile::tempdir().expect("a directory");
    let secret = files.path().join("otlp.token");
    std::fs::write(&secret, "first\n").expect("a file");
    let keys = format!("authorization = {{ file = {secret:?} }}");
    let setup = Setup::for_app(&app).with(&to(collector.address(), &keys));
    let process = Process::start(binary(), &setup).await;
    let sent_with = async |secret: &str| {
        let wanted = format!("Bearer {secret}");
        within(&format!("spans with the secret {secret}"), async {
            let mut seen = 0;
            loop {
                refresh(&process, &["nobody"]).await;
                collector.wait_for_requests("traces", seen + 1).await;
                let requests = collector.requests();
                let new = requests.iter().skip(seen);
                if new
                    .filter_map(|it| it.header("authorization"))
                    .any(|it| it == wanted)
                {
                    return;
                }
                seen = requests.len();
            }
        })
        .await;
    };
    sent_with("first").await;
    std::fs::write(&secret, "second\n").expect("a file");
    process.signal("HUP").await;
    sent_with("second").await;
    // What cannot be used leaves the one before.
    std::fs::remove_file(&secret).expect("it was there");
    process.signal("HUP").await;
    let told = "what is between us and the collector stays as it was";
    within("it to be told", async {
        while !process.log().contains(told) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    sent_with("second").await;
}

#[tokio::test]
async fn a_collector_that_fails_costs_nobody_anything() {
    let app = App::start().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let silent = App::start().await;
    silent.set_answer("traces", Answer::Silence);
    let refusing = App::start().await;
    refusing.set_answer("traces", Answer::Status(400));
    let closed = closed_address().await;
    for (address, outcome) in [
        (silent.address(), "dropped"),
        (refusing.address(), "failed"),
        (closed, "failed"),
    ] {
        let keys = "timeout = \"60s\"";
        let setup = Setup::for_app(&app)
            .with(&to(address, keys))
            .with("[limits]\ndrain = \"1s\"\ntelemetry.spans_waiting = 4");
        let mut process = Process::start(binary(), &setup).await;
        let mut session = john(&process).await;
        session.roster().await;
        let start = Instant::now();
        for _ in 0..20 {
            assert_eq!(refresh(&process, &["john"]).await["updated"], 1);
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
        let label = format!("outcome=\"{outcome}\"");
        within("the loss to be counted", async {
            // Nothing tells from outside when a batch is given up.
            while muster_tests::metrics::Metrics::scrape(process.http())
                .await
                .sum("muster_trace_spans_total", &[&label])
                < 1.0
            {
                refresh(&process, &["john"]).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let start = Instant::now();
        process.signal("TERM").await;
        assert_eq!(process.exit().await.code(), Some(0));
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
    }
}
