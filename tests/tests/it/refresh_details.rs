//! A refresh that explains itself, and that changes nothing for callers who do
//! not ask for it.

use std::sync::Arc;

use muster_test_plugins::{deed, hostile};
use muster_tests::app::{Answer, App};
use muster_tests::client::is_push;
use muster_tests::http::{Reply, exchange};
use muster_tests::muster::{ANYONE, Setup, Summary, admin_request, post_refresh};
use muster_tests::stage::{DOMAIN, Stage, item, items};
use serde_json::{Value, json};

const DETAILS: (&str, &str) = ("Prefer", "return=representation");

async fn refresh(stage: &Stage, target: &str, fields: &[(&str, &str)], body: &Value) -> Reply {
    let request = ("POST", target);
    let body = body.to_string();
    exchange(
        stage.http(),
        &admin_request(DOMAIN, request, fields, body.as_bytes()),
    )
    .await
}

/// The entry of one user without what differs from run to run.
fn user(reply: &Reply, index: usize) -> Value {
    let mut user = reply.json()["users"][index].take();
    let entry = user.as_object_mut().expect("an entry");
    let took = entry.remove("duration_ms").expect("a duration");
    assert!(took.is_u64(), "{took}");
    user
}

fn expected(username: &str, outcome: &str, counts: [u32; 3], more: Value) -> Value {
    let [added, changed, removed] = counts;
    let mut user = json!({
        "username": username, "outcome": outcome,
        "added": added, "changed": changed, "removed": removed,
    });
    let Value::Object(more) = more else {
        panic!("members are an object")
    };
    user.as_object_mut().expect("an object").extend(more);
    user
}

/// The members in the order in which they are written, and the header fields.
fn shape(reply: &Reply) -> (u16, Vec<&str>, String) {
    let fields = reply.headers.iter().map(|(name, _)| name.as_str());
    (reply.status, fields.collect(), reply.text())
}

#[tokio::test]
async fn who_asks_for_nothing_gets_the_old_answer_byte_for_byte() {
    let stage = Stage::shared().await;
    let _john = stage.online("john").await;
    stage.answer("john", Answer::Status(500));
    let (john, marie) = (stage.user("john"), stage.user("marie"));
    let fields = vec!["content-type", "content-length", "date"];
    for (path, body, text) in [
        (
            "refresh".to_owned(),
            json!([marie]).to_string(),
            r#"{"status":"ok","message":"roster update complete","updated":1,"errors":0}"#,
        ),
        (
            "refresh".to_owned(),
            json!([john, marie, "a b"]).to_string(),
            r#"{"status":"ok","message":"roster update complete; errors: 1 invalid username, 1 unexpected status from the app","updated":1,"errors":2}"#,
        ),
        (
            format!("refresh/{john}"),
            String::new(),
            r#"{"status":"error","message":"roster update failed; errors: 1 unexpected status from the app","updated":0,"errors":1}"#,
        ),
        (
            "refresh?x=1".to_owned(),
            "[]".to_owned(),
            r#"{"status":"ok","message":"roster update complete","updated":0,"errors":0}"#,
        ),
    ] {
        for preference in [None, Some(("Prefer", "return=minimal, handling=strict"))] {
            let preference: Vec<_> = preference.into_iter().collect();
            let request = admin_request(DOMAIN, ("POST", &path), &preference, body.as_bytes());
            let reply = exchange(stage.http(), &request).await;
            assert_eq!(shape(&reply), (200, fields.clone(), text.to_owned()));
            assert_eq!(reply.header("content-type"), Some("application/json"));
        }
    }
    let refused = post_refresh(stage.http(), DOMAIN, b"{}").await;
    let text = r#"{"status":"error","message":"the document must be an array of usernames, not an object","updated":0,"errors":0}"#;
    assert_eq!(shape(&refused), (400, fields, text.to_owned()));
}

#[tokio::test]
async fn every_entry_is_told_in_order() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"same": {}, "renamed": {}, "gone": {}}));
    stage.contacts("marie", json!({"john": {}}));
    let mut sessions = Vec::new();
    for name in ["john", "marie", "slow", "broken", "unknown"] {
        sessions.push(stage.online(name).await);
    }
    stage.contacts(
        "john",
        json!({"same": {}, "renamed": {"name": "R"}, "new": {}, "newer": {}}),
    );
    stage.answer("slow", Answer::Status(503));
    stage.answer("broken", Answer::Body(b"[]".to_vec()));
    stage.answer("unknown", Answer::Status(404));
    let names = [
        "john", "marie", "offline", "slow", "broken", "unknown", "john",
    ];
    let mut entries: Vec<Value> = names.map(|name| json!(stage.user(name))).into();
    entries.push(json!("a b"));
    let reply = refresh(&stage, "refresh", &[DETAILS], &Value::from(entries)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("preference-applied"),
        Some("return=representation")
    );
    let body = reply.json();
    assert_eq!((&body["updated"], &body["errors"]), (&json!(4), &json!(4)));
    assert_eq!(body["users"].as_array().map(Vec::len), Some(8));
    let error = |class: &str, temporary: bool, message: &str| json!({"error": {"class": class, "temporary": temporary, "message": message}});
    let malformed =
        "the app's answer is malformed: the document must be an object of contacts, not an array";
    let john = expected(
        &stage.user("john"),
        "updated",
        [2, 1, 1],
        json!({"source": "app"}),
    );
    for (index, entry) in [
        john.clone(),
        expected(
            &stage.user("marie"),
            "unchanged",
            [0; 3],
            json!({"source": "unchanged"}),
        ),
        expected(&stage.user("offline"), "offline", [0; 3], json!({})),
        expected(
            &stage.user("slow"),
            "failed",
            [0; 3],
            error("status", true, "the app answered with status 503"),
        ),
        expected(
            &stage.user("broken"),
            "failed",
            [0; 3],
            error("malformed", false, malformed),
        ),
        expected(
            &stage.user("unknown"),
            "not-found",
            [0; 3],
            error("not-found", false, "the app does not know this user"),
        ),
        john,
        expected(
            "a b",
            "invalid",
            [0; 3],
            error("invalid-username", false, "the entry is not a username"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(user(&reply, index), entry);
    }
    drop(sessions);
}

/// The four members stay as they are, and come first.
#[tokio::test]
async fn the_query_asks_as_well_as_the_header() {
    let stage = Stage::shared().await;
    let name = stage.user("john");
    let old =
        r#"{"status":"ok","message":"roster update complete","updated":1,"errors":0,"users":[{"#;
    for (target, fields) in [
        ("refresh?details".to_owned(), &[] as &[(&str, &str)]),
        ("refresh?details=true&x=y".to_owned(), &[]),
        (format!("refresh/{name}?details=1"), &[]),
        ("refresh".to_owned(), &[DETAILS]),
    ] {
        let reply = refresh(&stage, &target, fields, &json!([name])).await;
        assert!(reply.text().starts_with(old), "{target}: {}", reply.text());
        assert_eq!(user(&reply, 0)["outcome"], "offline");
        let applied = reply.header("preference-applied").is_some();
        assert_eq!(applied, !fields.is_empty(), "{target}");
    }
    let declined = refresh(&stage, "refresh?details=false", &[DETAILS], &json!([name])).await;
    assert_eq!(Summary::of(&declined), Summary::new("ok", 1, 0));
    let refused = refresh(&stage, "refresh?details", &[], &json!({})).await;
    assert_eq!((refused.status, refused.json().get("users")), (400, None));
    let empty = refresh(&stage, "refresh?details", &[], &json!([])).await;
    assert_eq!(empty.json()["users"], json!([]));
}

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"renamed": {}, "gone": {}}));
    let mut john = stage.online("john").await;
    let before = items(&john.roster().await);
    stage.contacts("john", json!({"renamed": {"name": "R"}, "new": {}}));
    let names = json!([stage.user("john"), stage.user("offline")]);
    let reply = refresh(&stage, "refresh?dry_run", &[], &names).await;
    assert_eq!(reply.json()["dry_run"], true);
    assert_eq!(reply.json()["updated"], 2);
    let contacts = json!({
        "added": [stage.jid("new")],
        "changed": [stage.jid("renamed")],
        "removed": [stage.jid("gone")],
    });
    let told = expected(
        &stage.user("john"),
        "updated",
        [1, 1, 1],
        json!({"source": "app", "contacts": contacts}),
    );
    assert_eq!(user(&reply, 0), told);
    assert_eq!(user(&reply, 1)["outcome"], "offline");
    assert!(!john.settle().await.iter().any(is_push));
    assert_eq!(items(&john.roster().await), before);
    // What was told is what then happens.
    let real = refresh(&stage, "refresh?details", &[], &names).await;
    assert_eq!(real.json()["users"][0]["added"], 1);
    assert_eq!(
        john.settle().await.iter().filter(|it| is_push(it)).count(),
        3
    );
    // And then there is nothing left.
    let reply = refresh(&stage, "refresh?dry_run=1", &[], &names).await;
    let entry = user(&reply, 0);
    assert_eq!(entry["outcome"], "unchanged");
    assert_eq!(entry["source"], "unchanged");
    assert_eq!(
        entry["contacts"],
        json!({"added": [], "changed": [], "removed": []})
    );
}

#[tokio::test]
async fn a_dry_run_names_so_many_contacts_and_counts_all() {
    let stage = Stage::own("[limits.refresh]\ndry_run_contacts = 2").await;
    let _john = stage.online("john").await;
    stage.contacts("john", json!({"a": {}, "b": {}, "c": {}}));
    let reply = refresh(&stage, "refresh?dry_run", &[], &json!(["john"])).await;
    let entry = user(&reply, 0);
    assert_eq!(entry["added"], 3);
    assert_eq!(entry["contacts"]["added"].as_array().map(Vec::len), Some(2));
    assert_eq!(entry["contacts"]["truncated"], true);
}

#[tokio::test]
async fn a_word_that_cannot_be_meant_refreshes_nobody() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let names = json!([stage.user("john")]);
    for target in ["refresh?dry_run=maybe", "refresh?details=all"] {
        let reply = refresh(&stage, target, &[], &names).await;
        assert_eq!(reply.status, 400, "{target}");
        assert_eq!(reply.json()["status"], "error");
    }
    assert_eq!(stage.app.requests_for(&stage.user("john")).len(), 1);
    stage.refreshed(&["john"]).await;
    assert_eq!(
        item(&john.push().await),
        format!("{} both", stage.jid("marie"))
    );
}

/// The host explains, whoever wrote the answer, and the plugin sees its own
/// words in the query alone.
#[tokio::test]
async fn every_plugin_is_explained() {
    let files = tempfile::tempdir().expect("a directory");
    for (component, target, updated, users) in [
        (deed("honest"), "refresh/john?details", 1, 1),
        (deed("honest"), "refresh/john?dry_run", 1, 1),
        // It answers with a text, and refreshes nobody.
        (hostile().to_vec(), "anything?details", 0, 0),
    ] {
        let path = files.path().join("plugin.wasm");
        std::fs::write(&path, component).expect("a file");
        let app = Arc::new(App::start().await);
        let setup = Setup::new().plugin(&path);
        let setup = setup.host(DOMAIN, ANYONE, &app.roster_url());
        let stage = Stage::around(app, &setup).await;
        let mut john = stage.online("john").await;
        let reply = refresh(&stage, target, &[], &json!([])).await;
        assert_eq!(reply.status, 200, "{target}");
        let body = reply.json();
        assert_eq!(
            (&body["status"], &body["updated"]),
            (&json!("ok"), &json!(updated))
        );
        assert_eq!(
            body["users"].as_array().map(Vec::len),
            Some(users),
            "{target}"
        );
        if users > 0 {
            assert_eq!(body["users"][0]["outcome"], "unchanged");
            assert_eq!(body["message"], "done", "the plugin's word");
        }
        assert!(!john.settle().await.iter().any(is_push));
        stage.shutdown().await;
    }
}
