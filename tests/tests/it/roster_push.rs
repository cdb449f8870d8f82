//! Rosters that the app hands in by itself: pushed without a fetch, in the
//! user's turn, within the bounds of what the app would answer.

use muster_tests::app::Answer;
use muster_tests::client::is_push;
use muster_tests::http::{Reply, exchange, request};
use muster_tests::muster::{Summary, TOKEN, admin_request};
use muster_tests::stage::{DOMAIN, Stage, item, items};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn put(stage: &Stage, path: &str, body: &[u8]) -> Reply {
    let request = admin_request(DOMAIN, ("PUT", path), &[JSON], body);
    exchange(stage.http(), &request).await
}

async fn hand_in(stage: &Stage, name: &str, roster: Value) -> Reply {
    let path = format!("rosters/{}?details", stage.user(name));
    put(stage, &path, roster.to_string().as_bytes()).await
}

#[tokio::test]
async fn what_is_handed_in_is_pushed_without_a_fetch() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"old": {}}));
    let mut john = stage.online("john").await;
    let roster = json!({ stage.jid("new"): {"name": "N", "groups": ["g"], "subscription": "to"} });
    let reply = hand_in(&stage, "john", roster.clone()).await;
    let summary =
        r#"{"status":"ok","message":"roster update complete","updated":1,"errors":0,"users":["#;
    assert!(reply.text().starts_with(summary), "{}", reply.text());
    let entry = &reply.json()["users"][0];
    assert_eq!(
        (&entry["outcome"], &entry["source"]),
        (&json!("updated"), &json!("pushed"))
    );
    assert_eq!((&entry["added"], &entry["removed"]), (&json!(1), &json!(1)));
    let mut pushed = [item(&john.push().await), item(&john.push().await)];
    pushed.sort();
    let expected = [
        format!("{} to \"N\" [\"g\"]", stage.jid("new")),
        format!("{} remove", stage.jid("old")),
    ];
    assert_eq!(pushed, expected);
    assert_eq!(items(&john.roster().await), expected[..1]);
    let again = hand_in(&stage, "john", roster).await;
    assert_eq!(again.json()["users"][0]["outcome"], "unchanged");
    assert!(!john.settle().await.iter().any(is_push));
    assert_eq!(
        stage.app.requests_for(&stage.user("john")).len(),
        1,
        "the login's"
    );
    // The app stays the authority: its answer to the next fetch counts, and
    // what it called its last answer is no name for what was handed in.
    stage.refreshed(&["john"]).await;
    let requests = stage.app.requests_for(&stage.user("john"));
    assert_eq!(requests[1].header("if-none-match"), None);
    assert_eq!(
        items(&john.roster().await),
        [format!("{} both", stage.jid("old"))]
    );
}

#[tokio::test]
async fn who_comes_online_later_gets_what_the_app_says() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"app": {}}));
    let reply = hand_in(&stage, "john", json!({"pushed@x.test": {}})).await;
    assert_eq!(reply.json()["users"][0]["outcome"], "offline");
    let mut john = stage.online("john").await;
    assert_eq!(
        items(&john.roster().await),
        [format!("{} both", stage.jid("app"))]
    );
}

/// What was handed in is the last known roster, and nothing more.
#[tokio::test]
async fn what_was_handed_in_is_shown_when_the_app_fails_at_the_login() {
    let stage = Stage::own("").await;
    let handed_in = json!({"pushed@x.test": {}});
    let reply = hand_in(&stage, "john", handed_in).await;
    assert_eq!(reply.json()["users"][0]["outcome"], "offline");
    stage.answer("john", Answer::Status(500));
    let mut john = stage.online("john").await;
    assert_eq!(items(&john.roster().await), ["pushed@x.test both"]);
    let body = json!(["john"]).to_string();
    let refresh = admin_request(
        DOMAIN,
        ("POST", "refresh?details"),
        &[JSON],
        body.as_bytes(),
    );
    let reply = exchange(stage.http(), &refresh).await;
    let entry = &reply.json()["users"][0];
    let told = (&entry["outcome"], &entry["source"]);
    assert_eq!(told, (&json!("failed"), &json!("stale")));
    stage.contacts("john", json!({"app": {}}));
    stage.refreshed(&["john"]).await;
    assert_eq!(items(&john.roster().await), ["app@example.test both"]);
}

#[tokio::test]
async fn several_rosters_are_one_request() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    let (john_, marie_) = (stage.user("john"), stage.user("marie"));
    let body = format!(
        r#"{{"{john_}":{{"first@x.test":{{}}}},"a b":{{}},"{marie_}":{{"m@x.test":{{}}}},"{john_}":{{"last@x.test":{{}}}}}}"#
    );
    let reply = put(&stage, "rosters", body.as_bytes()).await;
    assert_eq!(Summary::of(&reply), Summary::new("ok", 3, 1));
    assert_eq!(item(&john.push().await), "last@x.test both");
    assert_eq!(item(&marie.push().await), "m@x.test both");
    assert!(!john.settle().await.iter().any(is_push));
    let empty = put(&stage, "rosters", b"{}").await;
    assert_eq!(Summary::of(&empty), Summary::new("ok", 0, 0));
}

/// The user's own entry, full JIDs and other nonsense are left out, as they
/// are when they are fetched.
#[tokio::test]
async fn entries_that_are_no_contacts_are_left_out() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let roster = json!({ stage.jid("john"): {}, "a@x.test/phone": {}, "": {}, "b@x.test": 7, "C@x.test": {} });
    let reply = hand_in(&stage, "john", roster).await;
    assert_eq!(reply.json()["users"][0]["added"], 1);
    assert_eq!(items(&john.roster().await), ["c@x.test both"]);
    // Of equal keys the last counts, whatever their spelling.
    let path = format!("rosters/{}", stage.user("john"));
    let twice = br#"{"c@x.test":{"name":"1"},"C@x.test":{"name":"2"}}"#;
    assert_eq!(put(&stage, &path, twice).await.status, 200);
    assert_eq!(items(&john.roster().await), [r#"c@x.test both "2""#]);
}

/// Invariant 2: what was asked for before is older than what is handed in.
#[tokio::test]
async fn a_fetch_that_began_before_does_not_overwrite_it() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"fetched": {}}));
    let gate = stage.app.hold(&user);
    let handing_in = async {
        stage.app.wait_for_requests(&user, 2).await;
        let opener = async {
            stage.ping_http().await;
            gate.open();
        };
        tokio::join!(
            hand_in(&stage, "john", json!({"pushed@x.test": {}})),
            opener
        )
        .0
    };
    let ((), reply) = tokio::join!(stage.refreshed(&["john"]), handing_in);
    assert_eq!(reply.json()["updated"], 1);
    assert_eq!(items(&john.roster().await), ["pushed@x.test both"]);
}

#[tokio::test]
async fn a_dry_run_puts_nothing_in() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let path = format!("rosters/{}?dry_run", stage.user("john"));
    let reply = put(&stage, &path, br#"{"a@x.test":{}}"#).await;
    assert_eq!(reply.json()["dry_run"], true);
    assert_eq!(
        reply.json()["users"][0]["contacts"]["added"],
        json!(["a@x.test"])
    );
    assert!(!john.settle().await.iter().any(is_push));
    assert_eq!(items(&john.roster().await), [""; 0]);
}

#[tokio::test]
async fn a_retry_with_a_key_puts_it_in_once() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let (path, key) = (format!("rosters/{}", stage.user("john")), stage.user("key"));
    let fields = [JSON, ("Idempotency-Key", key.as_str())];
    let ask = |body: &str| admin_request(DOMAIN, ("PUT", &path), &fields, body.as_bytes());
    let first = exchange(stage.http(), &ask(r#"{"a@x.test":{}}"#)).await;
    assert_eq!(Summary::of(&first), Summary::new("ok", 1, 0));
    hand_in(&stage, "john", json!({"b@x.test": {}})).await;
    let again = exchange(stage.http(), &ask(r#"{"a@x.test":{}}"#)).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(items(&john.roster().await), ["b@x.test both"]);
    assert_eq!(exchange(stage.http(), &ask("{}")).await.status, 422);
}

#[tokio::test]
async fn what_is_no_roster_changes_nothing() {
    let stage = Stage::own(
        "[limits.backend]\ncontacts = 2\nresponse_bytes = \"1KiB\"\n[limits.http]\nnames = 2",
    )
    .await;
    stage.contacts("john", json!({"marie": {}}));
    let mut john = stage.online("john").await;
    let blank = " ".repeat(1025);
    let three = r#"{"a@x.test":{},"b@x.test":{},"c@x.test":{}}"#;
    let nested = format!("{{\"john\":{three}}}");
    for (path, body, status) in [
        ("rosters/john", "[]", 400),
        ("rosters/john", "null", 400),
        ("rosters/john", "", 400),
        ("rosters/john", "<html>", 400),
        ("rosters/john", "{\"a@x.test\":{}", 400),
        ("rosters/john", "{} {}", 400),
        ("rosters/john", blank.as_str(), 413),
        ("rosters/john", three, 413),
        ("rosters", "[]", 400),
        ("rosters", "{\"john\":[]}", 400),
        (
            "rosters",
            "{\"john\":{\"a@x.test\":{}},\"marie\":null}",
            400,
        ),
        ("rosters", nested.as_str(), 413),
        ("rosters", "{\"a\":{},\"b\":{},\"c\":{}}", 413),
        ("rosters/a%20b", "{}", 422),
        ("rosters/john%40example.test", "{}", 422),
        ("rosters/%ff", "{}", 400),
        ("rosters/", "{}", 404),
        ("rosters/john/x", "{}", 404),
    ] {
        let reply = put(&stage, path, body.as_bytes()).await;
        assert_eq!(reply.status, status, "{path} {body:?}: {}", reply.text());
        assert_eq!(reply.json()["status"], "error");
    }
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let typed = admin_request(DOMAIN, ("PUT", "rosters/john"), &[form], b"{}");
    assert_eq!(exchange(stage.http(), &typed).await.status, 415);
    for method in ["GET", "POST", "DELETE", "PATCH"] {
        let refused = admin_request(DOMAIN, (method, "rosters/john"), &[], b"{}");
        let refused = exchange(stage.http(), &refused).await;
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some("PUT")),
            "{method}"
        );
    }
    let wrong = format!("Bearer {TOKEN}x");
    let fields = [("Host", DOMAIN), ("Authorization", wrong.as_str())];
    let bare = request("PUT", "/roster_admin/rosters/john", &fields, b"{}");
    assert_eq!(exchange(stage.http(), &bare).await.status, 401);
    assert!(!john.settle().await.iter().any(is_push));
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    assert_eq!(stage.app.requests_for("john").len(), 1, "the login's");
}
