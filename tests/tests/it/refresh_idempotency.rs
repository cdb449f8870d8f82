//! A retry with the same `Idempotency-Key` is safe, whatever became of the
//! first attempt.

use muster_tests::client::is_push;
use muster_tests::http::{Connection, Reply, exchange};
use muster_tests::muster::{Summary, admin_request};
use muster_tests::stage::{DOMAIN, LISTED, Stage};
use serde_json::json;

fn keyed(domain: &str, target: &str, key: &str, body: &str) -> Vec<u8> {
    let fields = [("Idempotency-Key", key)];
    admin_request(domain, ("POST", target), &fields, body.as_bytes())
}

fn is_replayed(reply: &Reply) -> bool {
    reply.header("idempotent-replayed") == Some("true")
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_and_refreshes_nobody() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let key = format!("\"{}\"", stage.user("key"));
    let body = json!([stage.user("john")]).to_string();
    let target = "refresh?details";
    let first = exchange(stage.http(), &keyed(DOMAIN, target, &key, &body)).await;
    assert_eq!(first.json()["users"][0]["outcome"], "updated");
    assert!(!is_replayed(&first));
    stage.contacts("john", json!({"marie": {}, "aaron": {}}));
    for key in [key.as_str(), key.trim_matches('"')] {
        let again = exchange(stage.http(), &keyed(DOMAIN, target, key, &body)).await;
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert!(is_replayed(&again));
    }
    assert_eq!(stage.app.requests_for(&stage.user("john")).len(), 2);
    assert_eq!(
        john.settle().await.iter().filter(|it| is_push(it)).count(),
        1
    );
    // The key stands for one request, of one virtual host.
    for (target, body) in [(target, "[]"), ("refresh", body.as_str())] {
        let other = exchange(stage.http(), &keyed(DOMAIN, target, &key, body)).await;
        assert_eq!(other.status, 422, "{target} {body}");
        assert_eq!(other.json()["status"], "error");
        assert!(!is_replayed(&other));
    }
    let elsewhere = exchange(stage.http(), &keyed(LISTED, "refresh", &key, "[]")).await;
    assert_eq!(Summary::of(&elsewhere), Summary::new("ok", 0, 0));
}

#[tokio::test]
async fn a_request_that_was_refused_is_refused_again() {
    let stage = Stage::shared().await;
    let key = stage.user("key");
    let first = exchange(stage.http(), &keyed(DOMAIN, "refresh", &key, "{}")).await;
    let again = exchange(stage.http(), &keyed(DOMAIN, "refresh", &key, "{}")).await;
    assert_eq!((first.status, again.status), (400, 400));
    assert_eq!(first.body, again.body);
    assert!(is_replayed(&again));
}

#[tokio::test]
async fn concurrent_duplicates_wait_for_the_first() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    let _john = stage.online("john").await;
    let gate = stage.app.hold(&user);
    let request = keyed(DOMAIN, "refresh", &user, &json!([user]).to_string());
    let duplicate = async {
        stage.app.wait_for_requests(&user, 2).await;
        let mut duplicate = Connection::open(stage.http()).await;
        duplicate.send(&request).await;
        stage.ping_http().await;
        stage.app.hold_no_more(&user);
        gate.open();
        duplicate.reply().await.expect("an answer")
    };
    let (first, duplicate) = tokio::join!(exchange(stage.http(), &request), duplicate);
    assert_eq!(Summary::of(&first), Summary::new("ok", 1, 0));
    assert_eq!(first.body, duplicate.body);
    assert!(!is_replayed(&first) && is_replayed(&duplicate));
    assert_eq!(stage.app.requests_for(&user).len(), 2, "login and refresh");
}

/// The reason to have such a key: the caller does not know what became of it.
#[tokio::test]
async fn a_caller_who_lost_the_connection_gets_the_answer_by_asking_again() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let gate = stage.app.hold(&user);
    let request = keyed(DOMAIN, "refresh", &user, &json!([user]).to_string());
    let mut lost = Connection::open(stage.http()).await;
    lost.send(&request).await;
    stage.app.wait_for_requests(&user, 2).await;
    drop(lost);
    stage.app.hold_no_more(&user);
    let (again, ()) = tokio::join!(exchange(stage.http(), &request), async {
        stage.ping_http().await;
        gate.open();
    });
    assert_eq!(Summary::of(&again), Summary::new("ok", 1, 0));
    assert!(is_replayed(&again));
    assert_eq!(stage.app.requests_for(&user).len(), 2, "login and refresh");
    assert_eq!(
        john.settle().await.iter().filter(|it| is_push(it)).count(),
        1
    );
}

#[tokio::test]
async fn an_answer_that_said_try_again_is_not_kept() {
    let stage =
        Stage::own("[limits.refresh]\nrequests = 1\nwaiting = 1\nwait_timeout = \"1ms\"").await;
    let _john = stage.online("john").await;
    let gate = stage.app.hold("john");
    let mut busy = Connection::open(stage.http()).await;
    busy.send(&keyed(DOMAIN, "refresh", "other", "[\"john\"]"))
        .await;
    stage.app.wait_for_requests("john", 2).await;
    let request = keyed(DOMAIN, "refresh", "key", "[\"marie\"]");
    let refused = exchange(stage.http(), &request).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    gate.open();
    assert!(busy.reply().await.is_some());
    let again = exchange(stage.http(), &request).await;
    assert_eq!(Summary::of(&again), Summary::new("ok", 1, 0));
    assert!(!is_replayed(&again));
}

#[tokio::test]
async fn answers_are_forgotten_when_there_are_too_many_or_they_are_too_old() {
    let stage = Stage::own("[limits.refresh]\nidempotency_keys = 1").await;
    let ask = async |key: &str| {
        let reply = exchange(stage.http(), &keyed(DOMAIN, "refresh", key, "[]")).await;
        assert_eq!(reply.status, 200);
        is_replayed(&reply)
    };
    assert!(!ask("a").await);
    assert!(ask("a").await);
    assert!(!ask("b").await);
    assert!(!ask("a").await, "b took its place");
    let stage = Stage::own("[limits.refresh]\nidempotency_age = \"1ms\"").await;
    let request = keyed(DOMAIN, "refresh", "a", "[]");
    assert!(!is_replayed(&exchange(stage.http(), &request).await));
    // Another request takes longer than that.
    stage.ping_http().await;
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert!(!is_replayed(&exchange(stage.http(), &request).await));
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let stage = Stage::shared().await;
    let long = "x".repeat(256);
    for key in ["", "\"", "a b", "\"a\"b\"", long.as_str()] {
        let reply = exchange(stage.http(), &keyed(DOMAIN, "refresh", key, "[]")).await;
        assert_eq!(reply.status, 400, "{key}");
    }
    let longest = "x".repeat(255);
    let reply = exchange(stage.http(), &keyed(DOMAIN, "refresh", &longest, "[]")).await;
    assert_eq!(reply.status, 200);
}
