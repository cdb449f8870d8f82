//! Rows 51 to 56: an app that fails in every way. A failed fetch is an error of
//! that user, in bounded time; it changes nothing and pushes nothing.

use muster_tests::app::{Answer, App};
use muster_tests::client::{Client, error_of, is_push};
use muster_tests::muster::{Setup, Summary};
use muster_tests::stage::{DESERTED, DOMAIN, Stage, items};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Every answer that is no contact list.
fn faults(elsewhere: &App) -> Vec<(&'static str, Answer)> {
    let contacts = json!({"new@example.test": {}});
    let body = |bytes: &[u8]| Answer::Body(bytes.to_vec());
    let verbatim = |text: &str| Answer::Verbatim(text.as_bytes().to_vec());
    let ok = "HTTP/1.1 200 OK\r\n";
    vec![
        ("500", Answer::Status(500)),
        ("503", Answer::Status(503)),
        ("429", Answer::Status(429)),
        ("204", Answer::Status(204)),
        ("404", Answer::Status(404)),
        ("403", Answer::Status(403)),
        (
            "a redirect",
            Answer::Redirect(format!("http://{}/contacts/john", elsewhere.address())),
        ),
        ("silence", Answer::Silence),
        ("closed without a word", verbatim("")),
        ("reset without a word", Answer::Reset(Vec::new())),
        ("no HTTP", verbatim("SSH-2.0-OpenSSH_9.6\r\n")),
        ("reset in the head", Answer::Reset(ok.as_bytes().to_vec())),
        (
            "reset in the body",
            Answer::Reset(format!("{ok}Content-Length: 30\r\n\r\n{{").into_bytes()),
        ),
        ("a length too long", Answer::wrong_length("{}", 10)),
        ("a length too short", Answer::wrong_length("{}", 1)),
        (
            "half a chunk",
            verbatim(&format!("{ok}Transfer-Encoding: chunked\r\n\r\n9\r\n{{}}")),
        ),
        ("HTML", body(b"<html><body>Sign in</body></html>")),
        ("nothing", body(b"")),
        ("blank", body(b"  \n")),
        ("[]", body(b"[]")),
        (
            "an array of contacts",
            body(b"[{\"jid\": \"new@example.test\"}]"),
        ),
        ("null", body(b"null")),
        ("a string", body(b"\"john\"")),
        ("truncated", body(b"{\"new@example.test\": {")),
        ("trailing bytes", body(b"{\"new@example.test\": {}} x")),
        ("two documents", body(b"{}{}")),
        ("a byte order mark", body(b"\xef\xbb\xbf{}")),
        (
            "bad UTF-8",
            body(b"{\"new@example.test\": {\"name\": \"\xff\"}}"),
        ),
        (
            "UTF-16",
            body(
                &"{}"
                    .encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect::<Vec<u8>>(),
            ),
        ),
        (
            "a lone surrogate",
            body(b"{\"new@example.test\": {\"name\": \"\\ud800\"}}"),
        ),
        ("deep nesting", body(&b"{\"a\":".repeat(200_000))),
        ("gzip", gzip_bomb()),
        ("1 GB", Answer::Flood(1 << 30)),
        ("no end", Answer::Endless),
        ("10,000 header fields", Answer::Headers(10_000, contacts)),
        ("10,001 contacts", Answer::Contacts(many(10_001))),
        ("200,000 contacts", Answer::Contacts(many(200_000))),
        (
            "a drip",
            Answer::Drip(many(1_000), Duration::from_millis(100)),
        ),
    ]
}

fn many(count: usize) -> Value {
    Value::Object(
        (0..count)
            .map(|n| (format!("c{n}@example.test"), json!({})))
            .collect(),
    )
}

/// 10 MiB of blanks in 10 KiB, as an answer that nobody asked for.
pub(crate) fn gzip_bomb() -> Answer {
    let body = include_bytes!("blanks.gz");
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n"
    );
    Answer::Verbatim([head.as_bytes(), body.as_slice()].concat())
}

/// A host that loses patience with its app soon.
async fn impatient() -> Stage {
    Stage::own("[limits.backend]\ntimeout = \"500ms\"").await
}

/// Rows 51 to 54 and 56, for a user who is online.
#[tokio::test]
async fn a_failed_fetch_changes_nothing_and_pushes_nothing() {
    let elsewhere = App::start().await;
    let stage = impatient().await;
    let list = json!({"marie": {"name": "Marie"}, "aaron": {"groups": ["Work"]}});
    stage.contacts("john", list.clone());
    let mut john = stage.online("john").await;
    let before = items(&john.roster().await);
    for (fault, answer) in faults(&elsewhere) {
        stage.answer("john", answer);
        let requests = stage.app.requests_for("john").len();
        let start = Instant::now();
        assert_eq!(
            stage.refresh(&["john"]).await,
            Summary::new("error", 0, 1),
            "{fault}"
        );
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{fault}: {took:?}");
        let asked = stage.app.requests_for("john").len() - requests;
        assert!((1..=2).contains(&asked), "{fault}: asked {asked} times");
        let came = john.settle().await;
        assert!(came.is_empty(), "{fault}: {came:?}");
        assert_eq!(items(&john.roster().await), before, "{fault}");
    }
    assert_eq!(
        elsewhere.requests().len(),
        0,
        "the redirect was not followed"
    );
    // And it recovers at once.
    stage.contacts("john", json!({"marie": {"name": "Marie"}}));
    stage.refreshed(&["john"]).await;
    assert_eq!(
        muster_tests::stage::item(&john.push().await),
        "aaron@example.test remove"
    );
}

/// The same faults at the login: the roster get is answered with an error that
/// says to try again, and the session goes on. (What else there may be in place
/// of the error is in `stale`.)
#[tokio::test]
async fn a_login_survives_a_failing_app() {
    let elsewhere = App::start().await;
    let app = Arc::new(App::start().await);
    let setup = Setup::for_app(&app)
        .roster_keys("on_backend_failure = \"reject\"")
        .with("[limits.backend]\ntimeout = \"500ms\"\nbreaker.failures = 1000000");
    let stage = Stage::around(app, &setup).await;
    let mut witness = stage.bound("witness").await;
    for (n, (fault, answer)) in faults(&elsewhere).into_iter().enumerate() {
        let name = format!("john{n}");
        stage.answer(&name, answer);
        let mut john = stage.bound(&name).await;
        john.send("<presence/>").await;
        let error = error_of(&john.roster().await);
        let expected = ["wait/", "cancel/item-not-found"];
        assert!(
            expected.iter().any(|expected| error.starts_with(expected)),
            "{fault}: {error}"
        );
        witness
            .send(format!(
                "<message to='{}' id='m'><body>hi</body></message>",
                john.jid()
            ))
            .await;
        john.expect("a message", |stanza| stanza.attr("id") == Some("m"))
            .await;
        stage.contacts(&name, json!({"marie": {}}));
        assert_eq!(
            items(&john.roster().await),
            ["marie@example.test both"],
            "{fault}"
        );
    }
}

/// Row 53: nothing listens at the app's address.
#[tokio::test]
async fn a_refused_connection_is_an_error_like_any_other() {
    let stage = Stage::shared().await;
    let account = format!("john@{DESERTED}");
    let login = Client::login(
        stage.xmpp(),
        &account,
        "x",
        None,
        muster_tests::client::Mechanism::Plain,
    );
    let mut john = login.await;
    assert!(error_of(&john.roster().await).starts_with("wait/"));
    let summary = muster_tests::muster::refresh(stage.http(), DESERTED, &["john", "offline"]).await;
    assert_eq!(summary, Summary::new("ok", 1, 1));
    assert!(john.settle().await.is_empty());
}

/// Row 53: the app is not invited to compress, and is told what is wanted.
#[tokio::test]
async fn the_request_is_plain() {
    let stage = Stage::shared().await;
    stage.bound("john").await.roster().await;
    let requests = stage.app.requests_for(&stage.user("john"));
    let request = requests.first().expect("a request");
    assert_eq!(request.header("accept-encoding"), None);
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("cookie"), None);
    assert_eq!(
        request.header("host"),
        Some(stage.app.address().to_string().as_str())
    );
}

/// Row 52: a drip that would take minutes ends at the total deadline, and those
/// who are asked for with it have their answers.
#[tokio::test]
async fn a_stalled_user_delays_the_batch_by_the_deadline_and_no_more() {
    let stage = impatient().await;
    let names: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
    let mut sessions = Vec::new();
    for name in &names {
        sessions.push(stage.online(name).await);
        stage.contacts(name, json!({"marie": {}}));
    }
    stage.answer("u0", Answer::Silence);
    stage.answer("u1", Answer::Drip(many(1_000), Duration::from_millis(50)));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let start = Instant::now();
    assert_eq!(stage.refresh(&names).await, Summary::new("ok", 18, 2));
    let took = start.elapsed();
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    for session in &mut sessions[2..] {
        session.push().await;
    }
}

/// Row 56: the largest list that is allowed is served.
#[tokio::test]
async fn ten_thousand_contacts_are_a_roster() {
    let stage = Stage::shared().await;
    stage.answer("john", Answer::Contacts(many(10_000)));
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await).len(), 10_000);
    // One fewer is one push, not ten thousand.
    stage.answer("john", Answer::Contacts(many(9_999)));
    stage.refreshed(&["john"]).await;
    let came = john.settle().await;
    assert_eq!(came.iter().filter(|stanza| is_push(stanza)).count(), 1);
}

/// Row 55: an empty object is an answer.
#[tokio::test]
async fn an_empty_object_is_honoured() {
    let stage = Stage::shared().await;
    stage.answer("john", Answer::Contacts(many(50)));
    let mut john = stage.online("john").await;
    stage.answer("john", Answer::Body(b"{}".to_vec()));
    stage.refreshed(&["john"]).await;
    for _ in 0..50 {
        assert!(muster_tests::stage::item(&john.push().await).ends_with(" remove"));
    }
    assert_eq!(items(&john.roster().await), [""; 0]);
    assert!(john.jid().contains(DOMAIN));
}

/// Row 62: a trap in a call is an error of that call. The memory of the plugin is
/// smaller than the answer here, which is within the operator's other limit.
#[tokio::test]
async fn a_plugin_that_runs_out_of_memory_fails_that_user_alone() {
    let stage = Stage::own("[limits.plugin]\nmemory_bytes = \"3MiB\"").await;
    stage.contacts("john", json!({"marie": {}}));
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    let before = items(&john.roster().await);
    let mut answer = vec![b' '; 4 << 20];
    answer.truncate((4 << 20) - 2);
    answer.extend_from_slice(b"{}");
    stage.answer("zoe", Answer::Body(answer.clone()));
    stage.answer("john", Answer::Body(answer));
    stage.contacts("marie", json!({"aaron": {}}));
    assert_eq!(stage.refresh(&["john"]).await, Summary::new("error", 0, 1));
    assert_eq!(
        stage.refresh(&["john", "marie"]).await,
        Summary::new("ok", 1, 1)
    );
    marie.push().await;
    assert_eq!(items(&john.roster().await), before);
    // And at the login: who was here before has a last known roster.
    john.leave().await;
    stage.until_offline("john").await;
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), before);
    let mut zoe = stage.bound("zoe").await;
    assert!(error_of(&zoe.roster().await).starts_with("wait/"));
}
