//! Refreshes that go on after they were answered: what is told of them, how
//! they end, and what bounds them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_tests::app::{App, Gate};
use muster_tests::client::{Client, is_push};
use muster_tests::http::{Connection, Reply, exchange};
use muster_tests::metrics::Metrics;
use muster_tests::muster::{Setup, Summary, admin_request};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, LISTED, Stage};
use muster_tests::within;
use serde_json::{Value, json};

const ASYNC: (&str, &str) = ("Prefer", "respond-async, return=representation");

async fn ask(stage: &Stage, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    let request = admin_request(DOMAIN, (method, path), fields, b"");
    exchange(stage.http(), &request).await
}

async fn start(stage: &Stage, names: &[&str]) -> Reply {
    let names: Vec<Value> = names.iter().map(|name| json!(stage.user(name))).collect();
    let body = Value::from(names).to_string();
    let request = admin_request(DOMAIN, ("POST", "refresh"), &[ASYNC], body.as_bytes());
    exchange(stage.http(), &request).await
}

/// The path of a job below `/roster_admin/`.
fn job(reply: &Reply) -> String {
    assert_eq!(reply.status, 202, "{}", reply.text());
    let location = reply.header("location").expect("where to ask");
    let path = location.strip_prefix("/roster_admin/").expect("our path");
    assert_eq!(
        format!("jobs/{}", reply.json()["job"].as_str().expect("a name")),
        path
    );
    path.to_owned()
}

/// The events of a job.
struct Events(Connection, String);

impl Events {
    async fn of(stage: &Stage, path: &str) -> Events {
        let mut connection = Connection::open(stage.http()).await;
        let fields = [("Accept", "text/event-stream")];
        connection
            .send(&admin_request(DOMAIN, ("GET", path), &fields, b""))
            .await;
        let head = connection.head().await.expect("a head");
        assert_eq!(head.status, 200);
        let kind = head.header("content-type").expect("a type");
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Events(connection, String::new())
    }

    /// The next event that is no comment; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.1 = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let Some(name) = field("event: ") {
                    let data = field("data: ").expect("data");
                    let data = serde_json::from_str(data).expect("JSON");
                    return Some((name.to_owned(), data));
                }
                continue;
            }
            let chunk = self.0.chunk().await?;
            self.1.push_str(&String::from_utf8(chunk).expect("UTF-8"));
        }
    }

    /// The last event.
    async fn end(mut self) -> Value {
        loop {
            let (name, data) = self.next().await.expect("an end");
            if name == "end" {
                assert!(self.next().await.is_none(), "nothing follows the end");
                return data;
            }
            assert_eq!(name, "progress");
        }
    }
}

/// A stage on which john is online and the app takes its time for him.
async fn busy(sections: &str) -> (Stage, Client, Gate) {
    let stage = match sections {
        "" => Stage::shared().await,
        sections => Stage::own(sections).await,
    };
    let john = stage.online("john").await;
    let gate = stage.app.hold(&stage.user("john"));
    (stage, john, gate)
}

#[tokio::test]
async fn a_job_is_answered_at_once_and_done_later() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let gate = stage.app.hold(&stage.user("john"));
    let accepted = start(&stage, &["john", "offline"]).await;
    let path = job(&accepted);
    let applied = accepted.headers.iter();
    let applied: Vec<_> = applied
        .filter(|(name, _)| name == "preference-applied")
        .collect();
    assert_eq!(applied.len(), 1);
    assert_eq!(accepted.json()["status"], "ok");
    let mut events = Events::of(&stage, &path).await;
    // Until the one who is offline is counted.
    let told = loop {
        let (name, told) = events.next().await.expect("an event");
        assert_eq!(name, "progress");
        if told["done"] == 1 {
            break told;
        }
    };
    assert_eq!(
        (&told["state"], &told["total"]),
        (&json!("running"), &json!(2))
    );
    assert_eq!(told["finished"], Value::Null);
    let asked = ask(&stage, "GET", &path, &[]).await;
    assert_eq!((asked.status, &asked.json()), (200, &told));
    assert!(!john.settle().await.iter().any(is_push));
    gate.open();
    let end = events.end().await;
    assert_eq!(
        (&end["state"], &end["done"], &end["updated"]),
        (&json!("done"), &json!(2), &json!(2))
    );
    assert_eq!(end["answer"]["code"], 200);
    let users = &end["answer"]["body"]["users"];
    assert_eq!(
        (&users[0]["outcome"], &users[1]["outcome"]),
        (&json!("updated"), &json!("offline"))
    );
    assert!(end["started"].is_string() && end["finished"].is_string());
    assert_eq!(
        john.settle().await.iter().filter(|it| is_push(it)).count(),
        1
    );
    // It can be asked again, by events as well.
    assert_eq!(ask(&stage, "GET", &path, &[]).await.json(), end);
    assert_eq!(Events::of(&stage, &path).await.end().await, end);
    // Until it is forgotten.
    assert_eq!(ask(&stage, "DELETE", &path, &[]).await.status, 204);
    assert_eq!(ask(&stage, "GET", &path, &[]).await.status, 404);
}

#[tokio::test]
async fn what_needs_no_job_is_answered_at_once() {
    let stage = Stage::shared().await;
    for (body, status) in [("[]", 200), ("{}", 400)] {
        let request = admin_request(DOMAIN, ("POST", "refresh"), &[ASYNC], body.as_bytes());
        let reply = exchange(stage.http(), &request).await;
        assert_eq!((reply.status, reply.header("location")), (status, None));
    }
    // Who has patience gets the answer itself, if it comes in time.
    let patient = ("Prefer", "respond-async, wait=10");
    let body = json!([stage.user("offline")]).to_string();
    let request = admin_request(DOMAIN, ("POST", "refresh"), &[patient], body.as_bytes());
    let reply = exchange(stage.http(), &request).await;
    assert_eq!(Summary::of(&reply), Summary::new("ok", 1, 0));
}

#[tokio::test]
async fn a_request_above_the_bound_becomes_a_job_by_itself() {
    let (stage, _john, gate) = busy("[limits.refresh]\nasync_above = 2").await;
    let post = |body: &str| admin_request(DOMAIN, ("POST", "refresh"), &[], body.as_bytes());
    let small = exchange(stage.http(), &post("[\"a\",\"b\"]")).await;
    assert_eq!(Summary::of(&small), Summary::new("ok", 2, 0));
    let large = exchange(stage.http(), &post("[\"john\",\"a\",\"b\"]")).await;
    assert_eq!(large.header("preference-applied"), None);
    let events = Events::of(&stage, &job(&large)).await;
    gate.open();
    let end = events.end().await;
    let old = json!({"status":"ok","message":"roster update complete","updated":3,"errors":0});
    assert_eq!(end["answer"], json!({"code": 200, "body": old}));
}

#[tokio::test]
async fn a_cancelled_job_ends_and_says_so() {
    // A process of its own, because its metrics are waited for.
    let app = Arc::new(App::start().await);
    let binary = Path::new(env!("CARGO_BIN_EXE_muster-under-test"));
    let process = Process::start(binary, &Setup::for_app(&app)).await;
    let stage = Stage::at(app, process.xmpp(), process.http());
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let user = stage.user("john");
    let gate = stage.app.hold(&user);
    let path = job(&start(&stage, &["john"]).await);
    stage.app.wait_for_requests(&user, 2).await;
    let events = Events::of(&stage, &path).await;
    let cancelled = ask(&stage, "DELETE", &path, &[]).await;
    assert_eq!(
        (cancelled.status, &cancelled.json()["state"]),
        (200, &json!("cancelled"))
    );
    assert_eq!(events.end().await["state"], "cancelled");
    within("the work to hear of it", async {
        let jobs = async || {
            let metrics = Metrics::scrape(stage.http()).await;
            metrics.sum("muster_refresh_jobs", &[])
        };
        while jobs().await > 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    stage.app.hold_no_more(&user);
    gate.open();
    let told = ask(&stage, "GET", &path, &[]).await.json();
    assert_eq!(
        (&told["state"], told.get("answer")),
        (&json!("cancelled"), None)
    );
    assert!(
        !john.settle().await.iter().any(is_push),
        "nothing of it was done"
    );
    stage.refreshed(&["john"]).await;
    assert_eq!(
        john.settle().await.iter().filter(|it| is_push(it)).count(),
        1
    );
}

#[tokio::test]
async fn jobs_wait_for_their_turn_and_are_bounded() {
    let sections = "[limits.refresh]\nrunning_jobs = 1\njobs = 2\nfinished_jobs = 1\nlisteners = 1";
    let (stage, _john, gate) = busy(sections).await;
    let running = job(&start(&stage, &["john"]).await);
    let accepted = start(&stage, &["offline"]).await;
    let queued = job(&accepted);
    let told = accepted.json();
    assert_eq!(
        (&told["state"], &told["total"]),
        (&json!("queued"), &Value::Null)
    );
    let refused = start(&stage, &["offline"]).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    let events = Events::of(&stage, &queued).await;
    let fields = [("Accept", "text/event-stream")];
    let listener = ask(&stage, "GET", &running, &fields).await;
    assert_eq!(listener.status, 429);
    gate.open();
    assert_eq!(events.end().await["answer"]["code"], 200);
    // The older one is forgotten in favour of the newer.
    assert_eq!(ask(&stage, "GET", &running, &[]).await.status, 404);
    assert_eq!(ask(&stage, "GET", &queued, &[]).await.status, 200);
}

#[tokio::test]
async fn a_queued_job_can_be_cancelled() {
    let (stage, _john, gate) = busy("[limits.refresh]\nrunning_jobs = 1").await;
    let running = job(&start(&stage, &["john"]).await);
    let queued = job(&start(&stage, &["offline"]).await);
    let told = ask(&stage, "DELETE", &queued, &[]).await.json();
    assert_eq!(
        (&told["state"], &told["started"]),
        (&json!("cancelled"), &Value::Null)
    );
    let events = Events::of(&stage, &running).await;
    gate.open();
    assert_eq!(events.end().await["state"], "done");
    assert_eq!(
        ask(&stage, "GET", &queued, &[]).await.json()["state"],
        "cancelled"
    );
}

#[tokio::test]
async fn a_stop_cuts_jobs_and_tells_who_follows() {
    let (stage, _john, _gate) = busy("[limits]\ndrain = \"5s\"").await;
    let path = job(&start(&stage, &["john"]).await);
    let mut events = Events::of(&stage, &path).await;
    assert_eq!(events.next().await.expect("an event").0, "progress");
    let app = Arc::clone(&stage.app);
    let (end, ()) = tokio::join!(events.end(), stage.shutdown());
    assert_eq!(
        (&end["status"], &end["state"]),
        (&json!("error"), &json!("cut"))
    );
    // After the restart it is told from one that never was.
    let setup = Setup::for_app(&app);
    let stage = Stage::around(app, &setup).await;
    let gone = ask(&stage, "GET", &path, &[]).await;
    assert_eq!(
        (gone.status, &gone.json()["status"]),
        (410, &json!("error"))
    );
    assert_eq!(ask(&stage, "DELETE", &path, &[]).await.status, 410);
}

#[tokio::test]
async fn a_job_is_found_by_its_name_alone_and_with_the_token() {
    let (stage, _john, gate) = busy("").await;
    let path = job(&start(&stage, &["john"]).await);
    let mut other = path.clone();
    let last = if path.ends_with('0') { "1" } else { "0" };
    other.replace_range(path.len() - 1.., last);
    for unknown in [
        "jobs",
        "jobs/",
        "jobs/x",
        &other,
        &format!("{path}/x"),
        &path.to_uppercase(),
    ] {
        let status = ask(&stage, "GET", unknown, &[]).await.status;
        assert_eq!(status, 404, "{unknown}");
    }
    let elsewhere = admin_request(LISTED, ("GET", &path), &[], b"");
    assert_eq!(exchange(stage.http(), &elsewhere).await.status, 404);
    let target = format!("/roster_admin/{path}");
    let bare = muster_tests::http::request("GET", &target, &[("Host", DOMAIN)], b"");
    assert_eq!(exchange(stage.http(), &bare).await.status, 401);
    for method in ["POST", "PUT", "PATCH"] {
        let refused = ask(&stage, method, &path, &[]).await;
        assert_eq!(refused.status, 405, "{method}");
        assert_eq!(refused.header("allow"), Some("GET, HEAD, DELETE"));
    }
    gate.open();
    Events::of(&stage, &path).await.end().await;
}

/// A retry of a request that became a job is told of the same job.
#[tokio::test]
async fn a_job_is_started_once_for_a_key() {
    let (stage, _john, gate) = busy("").await;
    let body = json!([stage.user("john")]).to_string();
    let key = stage.user("key");
    let fields = [ASYNC, ("Idempotency-Key", key.as_str())];
    let request = admin_request(DOMAIN, ("POST", "refresh"), &fields, body.as_bytes());
    let first = exchange(stage.http(), &request).await;
    let again = exchange(stage.http(), &request).await;
    assert_eq!(job(&first), job(&again));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    gate.open();
    let end = Events::of(&stage, &job(&first)).await.end().await;
    assert_eq!(end["updated"], 1);
}
