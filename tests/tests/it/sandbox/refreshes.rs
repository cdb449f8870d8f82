//! Rows 62 and 64: what a plugin asks of the owner of rosters.

use super::arena::{Arena, HOSTILE, neighbour};
use muster_tests::client::is_push;
use muster_tests::muster::Summary;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshes_without_measure() {
    let arena = Arena::open().await;
    users_of_other_domains_are_out_of_its_reach(&arena).await;
    it_gets_no_more_refreshes_than_one_may_ask_for(&arena).await;
    a_trap_among_fifty_fetches_costs_one_entry(&arena).await;
    arena.close().await;
}

/// It can ask for its own users only, whatever it calls them.
async fn users_of_other_domains_are_out_of_its_reach(arena: &Arena) {
    arena.stage.contacts("john", json!({"marie": {}}));
    let mut john = arena.stage.online("john").await;
    arena.stage.contacts("john", json!({"aaron": {}}));
    let asked = arena.stage.app.requests_for("john").len();
    let names = [
        neighbour("john"),
        format!("{}/phone", neighbour("john")),
        format!("@{}", "example.test"),
        "john/..".to_owned(),
        String::new(),
        "a b".to_owned(),
    ];
    let outcomes = arena
        .post("outcomes", &json!(names).to_string())
        .await
        .text();
    assert_eq!(
        outcomes.matches("InvalidUsername").count(),
        names.len(),
        "{outcomes}"
    );
    // This is the john of its own domain, who is not there.
    let outcomes = arena.post("outcomes", "[\"john\"]").await.text();
    assert!(outcomes.contains("online: false"), "{outcomes}");
    assert!(!john.settle().await.iter().any(is_push));
    assert_eq!(arena.stage.app.requests_for("john").len(), asked);
}

/// From within a fetch it could call itself for ever; it may not at all. And
/// however much it asks for at once, the host does one call's worth.
async fn it_gets_no_more_refreshes_than_one_may_ask_for(arena: &Arena) {
    let (_john, roster) = arena.roster("refresh").await;
    assert_eq!(roster, Err("wait/internal-server-error".to_owned()));
    let seen = arena.post("refresh/refresh", "").await;
    assert_eq!(Summary::of(&seen), Summary::new("error", 0, 1));
    let long = arena.post("long-name", "").await.text();
    assert!(long.contains("InvalidUsername"), "{long}");
    let crowd = arena.post("crowd", "").await;
    let text = crowd.text();
    assert!(crowd.status == 502 || text.contains("overloaded"), "{text}");
    arena.assert_serving("a thousand refreshes").await;
}

/// Row 62: fifty fetches of a refresh share a store when one of them traps. Each
/// other one is made again; nobody gets half a change.
async fn a_trap_among_fifty_fetches_costs_one_entry(arena: &Arena) {
    let names: Vec<String> = (0..50)
        .map(|n| format!("get.{n}+%2fcontacts%2fheld"))
        .collect();
    let mut sessions = Vec::new();
    for name in &names {
        let (session, roster) = arena.roster(name).await;
        assert!(roster.is_err(), "a status is no roster");
        sessions.push(session);
    }
    let (mut trap, _) = arena.roster("trap").await;
    let (mut honest, _) = arena.roster("honest.fifty").await;
    let mut all: Vec<Value> = names.iter().map(|name| json!(name)).collect();
    all.push(json!("trap"));
    all.push(json!("honest.fifty"));
    let reply = arena.post("refresh", &Value::from(all).to_string()).await;
    assert_eq!(Summary::of(&reply), Summary::new("ok", 1, 51));
    for session in sessions.iter_mut().chain([&mut trap, &mut honest]) {
        assert!(!session.settle().await.iter().any(is_push));
    }
    assert!(arena.told(&["WARN", HOSTILE, "the plugin failed in `fetch`"]) > 0);
}
