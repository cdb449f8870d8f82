//! The faults of the module that Muster takes over from, each observed live
//! there; one test keeps each away. The names say what the predecessor did.

use muster_tests::app::{Answer, App};
use muster_tests::client::{error_of, is_push};
use muster_tests::http;
use muster_tests::muster::{Summary, post_refresh};
use muster_tests::stage::{DESERTED, DOMAIN, Stage, item, items};
use serde_json::json;

/// Refreshes john, whose app answers this, together with marie, whose app is
/// fine: the POST must be answered, and marie served.
async fn answered_in_a_mixed_batch(answer: Answer) {
    let stage = Stage::own("[limits.backend]\ntimeout = \"500ms\"").await;
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    stage.answer("john", answer);
    stage.contacts("marie", json!({"aaron": {}}));
    assert_eq!(stage.refresh(&["john"]).await, Summary::new("error", 0, 1));
    assert_eq!(
        stage.refresh(&["john", "marie"]).await,
        Summary::new("ok", 1, 1)
    );
    marie.push().await;
    assert!(john.settle().await.is_empty());
}

#[tokio::test]
async fn predecessor_refused_backend_hangs_the_post() {
    let stage = Stage::shared().await;
    let login = muster_tests::client::Client::login;
    let plain = muster_tests::client::Mechanism::Plain;
    let mut john = login(stage.xmpp(), &format!("john@{DESERTED}"), "x", None, plain).await;
    john.roster().await;
    let summary = muster_tests::muster::refresh(stage.http(), DESERTED, &["john"]).await;
    assert_eq!(summary, Summary::new("error", 0, 1));
}

#[tokio::test]
async fn predecessor_closed_backend_connection_hangs_the_post() {
    answered_in_a_mixed_batch(Answer::Verbatim(Vec::new())).await;
    answered_in_a_mixed_batch(Answer::Reset(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec(),
    ))
    .await;
}

#[tokio::test]
async fn predecessor_stalled_backend_hangs_the_post() {
    answered_in_a_mixed_batch(Answer::Silence).await;
}

#[tokio::test]
async fn predecessor_malformed_backend_answer_hangs_the_post() {
    answered_in_a_mixed_batch(Answer::Body(b"{\"aaron@example.test\": ".to_vec())).await;
    answered_in_a_mixed_batch(Answer::Body(b"<html>oops</html>".to_vec())).await;
}

#[tokio::test]
async fn predecessor_empty_backend_answer_hangs_the_post() {
    answered_in_a_mixed_batch(Answer::Body(Vec::new())).await;
}

#[tokio::test]
async fn predecessor_null_backend_answer_hangs_the_post() {
    answered_in_a_mixed_batch(Answer::Body(b"null".to_vec())).await;
}

#[tokio::test]
async fn predecessor_empty_array_hangs() {
    let stage = Stage::shared().await;
    let reply = post_refresh(stage.http(), DOMAIN, b"[]").await;
    assert_eq!(Summary::of(&reply), Summary::new("ok", 0, 0));
}

#[tokio::test]
async fn predecessor_bodies_that_are_no_array_hang() {
    let stage = Stage::shared().await;
    for body in ["{\"a\":1}", "\"john\"", "{}", "null", "1"] {
        let reply = post_refresh(stage.http(), DOMAIN, body.as_bytes()).await;
        assert_eq!(
            (reply.status, &reply.json()["status"]),
            (400, &json!("error")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn predecessor_malformed_bodies_give_an_html_500() {
    let stage = Stage::shared().await;
    for body in ["", "[\"john\"", "john", "[\"john\",]", "\u{0}"] {
        let reply = post_refresh(stage.http(), DOMAIN, body.as_bytes()).await;
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/json"),
            "{body}"
        );
        assert!(reply.json()["message"].is_string());
    }
}

#[tokio::test]
async fn predecessor_junk_entries_count_as_updated() {
    let stage = Stage::shared().await;
    for body in ["[null]", "[{}]", "[1]", "[[]]", "[true]"] {
        let reply = post_refresh(stage.http(), DOMAIN, body.as_bytes()).await;
        assert_eq!(reply.status, 400, "{body}");
    }
    let reply = post_refresh(stage.http(), DOMAIN, b"[\"\"]").await;
    assert_eq!(Summary::of(&reply), Summary::new("error", 0, 1));
}

#[tokio::test]
async fn predecessor_app_errors_still_say_ok() {
    let stage = Stage::shared().await;
    let _john = stage.online("john").await;
    for status in [404, 500] {
        stage.answer("john", Answer::Status(status));
        assert_eq!(
            stage.refresh(&["john"]).await,
            Summary::new("error", 0, 1),
            "{status}"
        );
    }
}

#[tokio::test]
async fn predecessor_an_array_from_the_app_empties_the_roster() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {}}));
    let mut john = stage.online("john").await;
    for array in ["[]", "[{\"jid\":\"a@x.test\"}]"] {
        stage.answer("john", Answer::Body(array.as_bytes().to_vec()));
        assert_eq!(stage.refresh(&["john"]).await, Summary::new("error", 0, 1));
        assert!(john.settle().await.is_empty(), "{array}");
        assert_eq!(
            items(&john.roster().await),
            [format!("{} both", stage.jid("marie"))]
        );
    }
}

#[tokio::test]
async fn predecessor_renames_are_never_pushed() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {"name": "Marie"}}));
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {"name": "Mary"}}));
    stage.refreshed(&["john"]).await;
    let expected = format!("{} both \"Mary\"", stage.jid("marie"));
    assert_eq!(item(&john.push().await), expected);
    // Nor shown later.
    assert_eq!(items(&john.roster().await), std::slice::from_ref(&expected));
    let mut later = stage.bound("john").await;
    assert_eq!(items(&later.roster().await), [expected]);
}

#[tokio::test]
async fn predecessor_regroupings_are_never_pushed() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {"groups": ["Work"]}}));
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {"groups": ["Friends", "Work"]}}));
    stage.refreshed(&["john"]).await;
    let expected = format!("{} both [\"Friends\", \"Work\"]", stage.jid("marie"));
    assert_eq!(item(&john.push().await), expected);
    assert_eq!(items(&john.roster().await), [expected]);
}

#[tokio::test]
async fn predecessor_groups_as_an_array_break_the_roster() {
    let stage = Stage::shared().await;
    stage.contacts(
        "john",
        json!({"marie": {"groups": ["Friends"]}, "aaron": {"groups": {"Work": true}}}),
    );
    let mut john = stage.bound("john").await;
    let expected = [
        format!("{} both [\"Work\"]", stage.jid("aaron")),
        format!("{} both [\"Friends\"]", stage.jid("marie")),
    ];
    assert_eq!(items(&john.roster().await), expected);
}

#[tokio::test]
async fn predecessor_null_and_numeric_names_hang() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    for name in [json!(null), json!(5)] {
        stage.contacts("john", json!({"marie": {"name": name}, "aaron": {}}));
        stage.refreshed(&["john"]).await;
        let list = items(&john.roster().await);
        assert!(
            list.contains(&format!("{} both", stage.jid("aaron"))),
            "{name}: {list:?}"
        );
        stage.contacts("john", json!({}));
        stage.refreshed(&["john"]).await;
        john.settle().await;
    }
}

#[tokio::test]
async fn predecessor_control_characters_poison_every_later_roster() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts(
        "john",
        json!({"marie": {"name": "Ma\u{0}\u{8}rie"}, "aaron": {}}),
    );
    stage.refreshed(&["john"]).await;
    // Every stanza is parsed strictly: the pushes first, then two later gets.
    assert_eq!(
        john.settle()
            .await
            .iter()
            .filter(|stanza| is_push(stanza))
            .count(),
        2
    );
    for _ in 0..2 {
        let mut later = stage.bound("john").await;
        let list = items(&later.roster().await);
        assert!(
            list.contains(&format!("{} both \"Marie\"", stage.jid("marie"))),
            "{list:?}"
        );
    }
}

#[tokio::test]
async fn predecessor_own_jid_in_the_roster_overflows_the_stack() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"john": {"name": "Me"}, "marie": {}}));
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"john": {}, "marie": {}, "aaron": {}}));
    stage.refreshed(&["john"]).await;
    assert_eq!(
        item(&john.push().await),
        format!("{} both", stage.jid("aaron"))
    );
    john.send("<presence><show>away</show></presence>").await;
    john.settle().await;
    assert_eq!(
        items(&john.roster().await).len(),
        2,
        "the contacts, without oneself"
    );
}

#[tokio::test]
async fn predecessor_a_session_without_presence_hangs_the_refresh() {
    let stage = Stage::shared().await;
    let mut silent = stage.bound("john").await;
    silent.roster().await;
    let mut unasked = stage.bound("john").await;
    stage.contacts("john", json!({"marie": {}}));
    stage.refreshed(&["john"]).await;
    assert_eq!(
        item(&silent.push().await),
        format!("{} both", stage.jid("marie"))
    );
    assert!(unasked.settle().await.is_empty());
}

#[tokio::test]
async fn predecessor_a_failing_backend_disconnects_the_client_at_login() {
    let stage = Stage::shared().await;
    stage.answer("john", Answer::Status(500));
    let mut john = stage.bound("john").await;
    john.roster().await;
    john.available().await;
    assert!(john.settle().await.is_empty());
}

#[tokio::test]
async fn predecessor_a_failing_backend_leaves_the_roster_get_unanswered() {
    let stage = Stage::shared().await;
    // Each a user of whom no last known roster is kept.
    for (name, answer) in [
        ("john", Answer::Status(500)),
        ("marie", Answer::Body(b"null".to_vec())),
        ("aaron", Answer::Body(Vec::new())),
    ] {
        stage.answer(name, answer);
        let mut session = stage.bound(name).await;
        assert!(error_of(&session.roster().await).starts_with("wait/"));
        stage.contacts(name, json!({"zoe": {}}));
        assert_eq!(
            items(&session.roster().await).len(),
            1,
            "the next attempt succeeds"
        );
    }
}

#[tokio::test]
async fn predecessor_a_hash_or_semicolon_fetches_another_users_roster() {
    let stage = Stage::own("").await;
    stage.contacts("a", json!({"friend-of-a": {}}));
    for user in ["a#b", "a;b=c", "a?b", "a%23b"] {
        let mut session = stage.bound(user).await;
        assert_eq!(items(&session.roster().await), [""; 0], "{user}");
    }
    assert_eq!(stage.app.requests_for("a").len(), 0);
}

#[tokio::test]
async fn predecessor_a_bare_jid_counts_as_updated() {
    let stage = Stage::shared().await;
    let _john = stage.online("john").await;
    let body = json!([stage.jid("john")]).to_string();
    let reply = post_refresh(stage.http(), DOMAIN, body.as_bytes()).await;
    assert_eq!(Summary::of(&reply), Summary::new("error", 0, 1));
    assert_eq!(
        stage.app.requests_for(&stage.user("john")).len(),
        1,
        "the login's"
    );
}

#[tokio::test]
async fn predecessor_the_endpoint_needs_no_authentication() {
    let stage = Stage::shared().await;
    let _john = stage.online("john").await;
    let body = json!([stage.user("john")]).to_string();
    let fields = [("Host", DOMAIN), ("Content-Type", "application/json")];
    let reply = http::post(
        stage.http(),
        "/roster_admin/refresh",
        &fields,
        body.as_bytes(),
    )
    .await;
    assert_eq!(reply.status, 401);
    assert_eq!(
        stage.app.requests_for(&stage.user("john")).len(),
        1,
        "the login's"
    );
}

#[tokio::test]
async fn predecessor_each_fetch_opens_a_connection() {
    let stage = Stage::own("").await;
    let _john = stage.online("john").await;
    for n in 0..20 {
        stage.contacts("john", json!({ format!("c{n}"): {} }));
        stage.refreshed(&["john"]).await;
    }
    let fetches = stage.app.requests().len();
    assert_eq!(fetches, 21);
    assert_eq!(
        App::connections(&stage.app),
        1,
        "for {fetches} fetches, one after another"
    );
}
