//! A refresh: what is pushed, what is counted, who waits for whom.

use muster_tests::app::Answer;
use muster_tests::client::{Client, is_push, ns};
use muster_tests::http::{self, Connection};
use muster_tests::muster::{Summary, TOKEN, post_refresh};
use muster_tests::stage::{DOMAIN, Stage, item, items};
use serde_json::{Value, json};
use xmpp_parsers::minidom::Element;

/// The items of the next `count` pushes, sorted.
async fn pushed(client: &mut Client, count: usize) -> Vec<String> {
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(&client.push().await));
    }
    items.sort();
    items
}

/// The number of pushes that came without being awaited.
fn stray(stanzas: &[Element]) -> usize {
    stanzas.iter().filter(|stanza| is_push(stanza)).count()
}

#[tokio::test]
async fn what_changes_is_pushed_and_nothing_else() {
    let stage = Stage::shared().await;
    stage.contacts(
        "john",
        json!({
            "same": {"name": "Same", "groups": ["g"]},
            "renamed": {"name": "Before"},
            "regrouped": {"groups": ["a", "b"]},
            "narrowed": {},
            "removed": {},
        }),
    );
    let mut john = stage.online("john").await;
    stage.contacts(
        "john",
        json!({
            "same": {"groups": ["g"], "name": "Same"},
            "renamed": {"name": "After"},
            "regrouped": {"groups": ["c", "b"]},
            "narrowed": {"subscription": "to"},
            "added": {"name": "New"},
        }),
    );
    stage.refreshed(&["john"]).await;
    let mut expected = vec![
        format!("{} both \"After\"", stage.jid("renamed")),
        format!("{} both [\"b\", \"c\"]", stage.jid("regrouped")),
        format!("{} to", stage.jid("narrowed")),
        format!("{} remove", stage.jid("removed")),
        format!("{} both \"New\"", stage.jid("added")),
    ];
    expected.sort();
    assert_eq!(pushed(&mut john, 5).await, expected);
    assert_eq!(stray(&john.settle().await), 0);
}

#[tokio::test]
async fn the_answer_comes_after_the_pushes() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    stage.refreshed(&["john"]).await;
    // The POST is answered: the push must already be on its way, not just soon.
    let arrived = john.settle().await;
    assert_eq!(stray(&arrived), 1, "{arrived:?}");
}

#[tokio::test]
async fn the_last_push_carries_the_version_of_the_roster() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    john.iq("get", None, "<query xmlns='jabber:iq:roster' ver=''/>")
        .await;
    stage.contacts("john", json!({"marie": {}, "aaron": {}, "juliet": {}}));
    stage.refreshed(&["john"]).await;
    let mut last = None;
    for _ in 0..3 {
        let push = john.expect("a push", is_push).await;
        let query = push.get_child("query", ns::ROSTER).expect("a query");
        last = query.attr("ver").map(str::to_owned);
    }
    let last = last.expect("pushes carry a version");
    let get = format!("<query xmlns='jabber:iq:roster' ver='{last}'/>");
    let unchanged = john.iq("get", None, &get).await;
    assert!(
        unchanged.get_child("query", ns::ROSTER).is_none(),
        "the client is up to date"
    );
}

#[tokio::test]
async fn an_unchanged_list_costs_a_304_and_pushes_nothing() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {"name": "Marie"}}));
    let mut john = stage.online("john").await;
    stage.refreshed(&["john"]).await;
    let requests = stage.app.requests_for(&stage.user("john"));
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("if-none-match"), None);
    assert!(
        requests[1].header("if-none-match").is_some(),
        "the validator comes back"
    );
    assert_eq!(stray(&john.settle().await), 0);

    // The same list from an app without validators.
    let list = json!({ stage.jid("marie"): {"name": "Marie"} }).to_string();
    stage.answer("john", Answer::Body(list.into_bytes()));
    stage.refreshed(&["john"]).await;
    assert_eq!(stray(&john.settle().await), 0);
}

#[tokio::test]
async fn an_emptied_list_is_honoured() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {}, "aaron": {}}));
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({}));
    stage.refreshed(&["john"]).await;
    let gone = pushed(&mut john, 2).await;
    assert!(
        gone.iter().all(|item| item.ends_with(" remove")),
        "{gone:?}"
    );
    assert_eq!(items(&john.roster().await), [""; 0]);
}

/// Row 42.
#[tokio::test]
async fn users_without_a_session_are_not_fetched() {
    let stage = Stage::shared().await;
    stage.contacts("marie", json!({"john": {}}));
    assert_eq!(
        stage.refresh(&["john", "marie"]).await,
        Summary::new("ok", 2, 0)
    );
    assert_eq!(stage.app.requests_for(&stage.user("marie")).len(), 0);
    // Who has left is offline again.
    stage.online("marie").await.leave().await;
    let before = stage.app.requests_for(&stage.user("marie")).len();
    stage.until_offline("marie").await;
    stage.refreshed(&["marie"]).await;
    assert_eq!(stage.app.requests_for(&stage.user("marie")).len(), before);
}

/// Row 42: one fetch a distinct user, an outcome an entry.
#[tokio::test]
async fn duplicates_share_one_fetch_and_are_all_counted() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    assert_eq!(
        stage.refresh(&["john", "john", "john"]).await,
        Summary::new("ok", 3, 0)
    );
    assert_eq!(
        stage.app.requests_for(&stage.user("john")).len(),
        2,
        "login and refresh"
    );
    assert_eq!(pushed(&mut john, 1).await.len(), 1);
    assert_eq!(stray(&john.settle().await), 0);
}

/// Row 42: names are compared as localparts, not as bytes.
#[tokio::test]
async fn spellings_of_one_user_are_one_user() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let shout = stage.user("JOHN");
    let body = json!([shout, stage.user("john")]).to_string();
    let summary = Summary::of(&post_refresh(stage.http(), DOMAIN, body.as_bytes()).await);
    assert_eq!(summary, Summary::new("ok", 2, 0));
    assert_eq!(pushed(&mut john, 1).await.len(), 1);
}

/// Row 42.
#[tokio::test]
async fn every_entry_is_counted_once() {
    let stage = Stage::shared().await;
    let sessions = (stage.online("john").await, stage.online("marie").await);
    stage.contacts("john", json!({"marie": {}}));
    stage.answer("marie", Answer::Status(500));
    let long = "x".repeat(1024);
    let bare = stage.jid("john");
    let entries = json!([
        stage.user("john"),
        stage.user("marie"),
        stage.user("offline"),
        stage.user("john"),
        "",
        "a b",
        "a/b",
        "@",
        bare,
        long,
    ]);
    let summary =
        Summary::of(&post_refresh(stage.http(), DOMAIN, entries.to_string().as_bytes()).await);
    assert_eq!(summary, Summary::new("ok", 3, 7));
    drop(sessions);
}

/// The single-user form of the reference, as a POST: a GET changes nothing.
#[tokio::test]
async fn one_user_can_be_named_in_the_path() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let path = format!("/roster_admin/refresh/{}", stage.user("john"));
    let authorization = format!("Bearer {TOKEN}");
    let fields = [("Host", DOMAIN), ("Authorization", authorization.as_str())];
    let get = http::exchange(stage.http(), &http::request("GET", &path, &fields, b"")).await;
    assert_eq!(get.status, 405);
    assert!(
        get.header("allow")
            .is_some_and(|allow| allow.contains("POST")),
        "{get:?}"
    );
    assert_eq!(
        stage.app.requests_for(&stage.user("john")).len(),
        1,
        "the login's"
    );
    let post = http::post(stage.http(), &path, &fields, b"").await;
    assert_eq!(Summary::of(&post), Summary::new("ok", 1, 0));
    assert_eq!(pushed(&mut john, 1).await.len(), 1);
}

/// Row 45 and invariant 2: the answer of a fetch that started before the change
/// is not what the refresh after the change ends with.
#[tokio::test]
async fn a_refresh_during_a_fetch_is_not_absorbed_by_it() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"old": {}}));
    let gate = stage.app.hold(&user);
    let second = async {
        stage.app.wait_for_requests(&user, 2).await;
        stage.contacts("john", json!({"new": {}}));
        stage.app.hold_no_more(&user);
        let opener = async {
            stage.ping_http().await;
            gate.open();
        };
        tokio::join!(stage.refreshed(&["john"]), opener);
    };
    tokio::join!(stage.refreshed(&["john"]), second);
    john.settle().await;
    assert_eq!(
        items(&john.roster().await),
        [format!("{} both", stage.jid("new"))]
    );
    assert_eq!(
        stage.app.requests_for(&user).len(),
        3,
        "login, first, second"
    );
}

/// Row 45: a caller who hangs up leaves no half a change behind.
#[tokio::test]
async fn a_caller_who_hangs_up_changes_nothing_or_everything() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}, "aaron": {}}));
    let gate = stage.app.hold(&user);
    let body = json!([user]).to_string();
    let authorization = format!("Bearer {TOKEN}");
    let fields = [
        ("Host", DOMAIN),
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
    ];
    let mut caller = Connection::open(stage.http()).await;
    caller
        .send(&http::request(
            "POST",
            "/roster_admin/refresh",
            &fields,
            body.as_bytes(),
        ))
        .await;
    stage.app.wait_for_requests(&user, 2).await;
    drop(caller);
    stage.app.hold_no_more(&user);
    gate.open();
    // The next refresh waits for whatever is left of the first.
    stage.refreshed(&["john"]).await;
    assert_eq!(pushed(&mut john, 2).await.len(), 2);
    assert_eq!(stray(&john.settle().await), 0, "each change is pushed once");
}

#[tokio::test]
async fn one_failing_user_holds_up_nobody() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    stage.contacts("john", json!({"aaron": {}}));
    stage.answer("marie", Answer::Body(b"<html>".to_vec()));
    assert_eq!(
        stage.refresh(&["marie", "john"]).await,
        Summary::new("ok", 1, 1)
    );
    assert_eq!(pushed(&mut john, 1).await.len(), 1);
    assert_eq!(stray(&marie.settle().await), 0);
    stage.answer("john", Answer::Status(404));
    assert_eq!(
        stage.refresh(&["marie", "john"]).await,
        Summary::new("error", 0, 2)
    );
}

#[tokio::test]
async fn a_full_batch_is_answered() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let mut names: Vec<Value> = (0..9_999)
        .map(|n| json!(stage.user(&format!("u{n}"))))
        .collect();
    names.push(json!(stage.user("john")));
    let summary = post_refresh(
        stage.http(),
        DOMAIN,
        Value::from(names).to_string().as_bytes(),
    )
    .await;
    assert_eq!(Summary::of(&summary), Summary::new("ok", 10_000, 0));
    assert_eq!(pushed(&mut john, 1).await.len(), 1);
}

/// The user whom a fetch was for has left and come again meanwhile: what the
/// new session was shown is not compared with what the old one had.
#[tokio::test]
async fn a_fetch_that_outlives_its_session_is_pushed_to_nobody() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    stage.contacts("john", json!({"old": {}}));
    let john = stage.online("john").await;
    stage.contacts("john", json!({"late": {}}));
    let gate = stage.app.hold(&user);
    let session = async {
        stage.app.wait_for_requests(&user, 2).await;
        john.leave().await;
        stage.until_offline("john").await;
        stage.app.hold_no_more(&user);
        stage.contacts("john", json!({"new": {}}));
        let mut john = stage.online("john").await;
        assert_eq!(
            items(&john.roster().await),
            [format!("{} both", stage.jid("new"))]
        );
        gate.open();
        john
    };
    let (_, mut john) = tokio::join!(stage.refreshed(&["john"]), session);
    assert_eq!(stray(&john.settle().await), 0);
    assert_eq!(
        items(&john.roster().await),
        [format!("{} both", stage.jid("new"))]
    );
}
