//! What a plugin did last, told with pseudonyms and replayed into another
//! build; nothing of it without the configuration. And another build beside the
//! one that serves.

use std::path::Path;
use std::time::Duration;

use muster_tests::app::App;
use muster_tests::busy::{Beyond, BusyApp, Terms};
use muster_tests::client::{Client, Mechanism, is_push, show};
use muster_tests::http;
use muster_tests::muster::{ANYONE, Muster, Setup, TOKEN, refresh};
use muster_tests::process::run;
use muster_tests::stage::DOMAIN;
use muster_tests::within;
use serde_json::{Value, json};

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// Runs `muster plugin …`; its exit code, what it said and what it complained about.
async fn plugin(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(binary(), &[&["plugin"], arguments].concat()).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

async fn start(app: &App, keys: &str) -> Muster {
    let setup = Setup::new().host(DOMAIN, ANYONE, &app.roster_url());
    let setup = setup.with_host_sections(&format!("[virtual_host.plugin]\n{keys}\n"));
    Muster::start(&setup).await
}

#[tokio::test]
async fn a_running_host_is_recorded_and_replayed_into_another_build() {
    let app = App::start().await;
    app.set_contacts(
        "john",
        json!({"marie@example.test": {"name": "Marie Curie", "subscription": "to"}}),
    );
    app.set_contacts("paul", json!({"rose@example.test": {"name": "Rose"}}));
    let muster = start(&app, "record = 100").await;
    let mut sessions = Vec::new();
    for user in ["john", "paul"] {
        let account = format!("{user}@{DOMAIN}");
        let mut client =
            Client::login(muster.xmpp(), &account, "any", None, Mechanism::Plain).await;
        client.roster().await;
        sessions.push(client);
    }
    refresh(muster.http(), DOMAIN, &["john"]).await;

    let url = format!("http://{}", muster.http());
    let server = ["--url", &url, "--token", TOKEN];
    let (code, said, complained) = plugin(&[&["record", DOMAIN], &server[..]].concat()).await;
    assert_eq!(code, Some(0), "{complained}");
    let told: Value = serde_json::from_str(&said).expect("one JSON object");
    assert_eq!(told["fetches"].as_array().map(Vec::len), Some(3));
    assert_eq!(told["refreshes"].as_array().map(Vec::len), Some(1));
    for name in ["john", "paul", "marie", "Marie", "Curie", "Rose", TOKEN] {
        assert!(!said.contains(name), "{name} in {said}");
    }

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("day.json");
    std::fs::write(&file, &said).expect("a file");
    let file = file.to_str().expect("a path of UTF-8");
    let cache = directory.path().join("cache");
    let cache = ["--cache", cache.to_str().expect("a path of UTF-8")];
    let (code, said, complained) =
        plugin(&[&["replay", file, "builtin"], &cache[..]].concat()).await;
    assert_eq!(code, Some(0), "{said}{complained}");
    assert!(said.starts_with("4 calls; 0 users"), "{said}");

    // A build that says the same of everybody.
    let other = directory.path().join("other.wasm");
    std::fs::write(&other, muster_test_plugins::deed("honest")).expect("a file");
    let other = other.to_str().expect("a path of UTF-8");
    let arguments = [&["replay", file, other, "--format", "json"], &cache[..]].concat();
    let (code, said, complained) = plugin(&arguments).await;
    assert_eq!(code, Some(1), "{said}{complained}");
    let told: Value = serde_json::from_str(&said).expect("one JSON object");
    assert_eq!(told["users"].as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(told["removed"], 2, "{told}");
    assert_eq!(told["added"], 2, "{told}");

    // Raw, with a warning, if somebody wants it so.
    let (code, said, complained) =
        plugin(&[&["record", DOMAIN, "--raw"], &server[..]].concat()).await;
    assert_eq!(code, Some(0), "{complained}");
    assert!(complained.contains("contacts of users"), "{complained}");
    assert!(said.contains("Marie Curie") && !said.contains(TOKEN));
}

/// The app takes many users in one request, and is asked so.
#[tokio::test]
async fn fetches_of_many_users_at_once_are_recorded_and_replayed() {
    let app = BusyApp::start(Terms {
        latency: Duration::from_millis(50),
        places: 100,
        beyond: Beyond::Waits,
        together: true,
    })
    .await;
    let setup = Setup::new()
        .with("[limits.refresh]\nconcurrency = 1\nconcurrency_floor = 1")
        .host(DOMAIN, ANYONE, &app.roster_url())
        .roster_keys(&format!("http_rosters_url = \"{}\"", app.rosters_url()))
        .with_host_sections("[virtual_host.plugin]\nrecord = 100\n");
    let muster = Muster::start(&setup).await;
    let users: Vec<_> = (0..6).map(|n| format!("user{n}")).collect();
    let mut sessions = Vec::new();
    for user in &users {
        let account = format!("{user}@{DOMAIN}");
        let mut client =
            Client::login(muster.xmpp(), &account, "any", None, Mechanism::Plain).await;
        client.roster().await;
        sessions.push(client);
    }
    app.set_contacts(3);
    refresh(muster.http(), DOMAIN, &users).await;
    let [_, _, together, _] = app.take_counts();
    assert!(together > 0, "who waits is asked for with others");

    let url = format!("http://{}", muster.http());
    let (code, said, complained) =
        plugin(&["record", DOMAIN, "--url", &url, "--token", TOKEN]).await;
    assert_eq!(code, Some(0), "{complained}");
    let told: Value = serde_json::from_str(&said).expect("one JSON object");
    let batches = told["batches"].as_array().expect("a list");
    assert_eq!(batches.len(), together);
    assert!(
        !said.contains("user0") && !said.contains("contact0"),
        "{said}"
    );

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("day.json");
    std::fs::write(&file, &said).expect("a file");
    let file = file.to_str().expect("a path of UTF-8");
    let cache = directory.path().join("cache");
    let cache = ["--cache", cache.to_str().expect("a path of UTF-8")];
    let (code, said, complained) =
        plugin(&[&["replay", file, "builtin"], &cache[..]].concat()).await;
    assert_eq!(code, Some(0), "{said}{complained}");
    assert!(said.starts_with("13 calls; 0 users"), "{said}");

    // A build that says the same of everybody, and asks for one at a time.
    let other = directory.path().join("other.wasm");
    std::fs::write(&other, muster_test_plugins::deed("honest")).expect("a file");
    let other = other.to_str().expect("a path of UTF-8");
    let arguments = [&["replay", file, other, "--format", "json"], &cache[..]].concat();
    let (code, said, complained) = plugin(&arguments).await;
    assert_eq!(code, Some(1), "{said}{complained}");
    let told: Value = serde_json::from_str(&said).expect("one JSON object");
    assert_eq!(told["users"].as_object().map(serde_json::Map::len), Some(6));
    // Each has three contacts by now, whichever way they were asked for.
    assert_eq!((&told["added"], &told["removed"]), (&json!(6), &json!(18)));
}

/// Asks an operator's route; the body of a `POST` is a component.
async fn shadow(muster: &Muster, method: &str, component: &[u8]) -> http::Reply {
    let path = format!("/admin/plugins/{DOMAIN}/shadow?seconds=600");
    let token = format!("Bearer {TOKEN}");
    let fields = [("Authorization", token.as_str())];
    http::exchange(
        muster.http(),
        &http::request(method, &path, &fields, component),
    )
    .await
}

#[tokio::test]
async fn a_shadow_tells_what_would_be_pushed_and_touches_nobody() {
    let app = App::start().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let muster = start(&app, "").await;
    assert_eq!(shadow(&muster, "GET", b"").await.status, 409);
    let account = format!("john@{DOMAIN}");
    let mut john = Client::login(muster.xmpp(), &account, "any", None, Mechanism::Plain).await;
    john.roster().await;

    // A build that says the same of everybody.
    let reply = shadow(&muster, "POST", &muster_test_plugins::deed("honest")).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let reply = shadow(&muster, "POST", &muster_test_plugins::deed("asks")).await;
    assert_eq!(reply.status, 409, "one at a time: {}", reply.text());
    let asked = app.requests().len();
    app.set_contacts(
        "john",
        json!({"marie@example.test": {}, "rose@example.test": {}}),
    );
    refresh(muster.http(), DOMAIN, &["john"]).await;
    let report = within("the shadow to look", async {
        loop {
            let report = shadow(&muster, "GET", b"").await.json();
            if report["report"]["calls"] == 1 {
                return report;
            }
        }
    })
    .await;
    let verdict = &report["report"]["users"]["john"];
    assert_eq!(verdict["verdict"], "changed", "{report}");
    // It knows marie as well, and nobody else.
    let differences = verdict["differences"].as_array().expect("a list");
    assert_eq!(differences.len(), 1, "{report}");
    let difference = &differences[0];
    assert_eq!(difference["change"], "removed", "{report}");
    let contact = difference["contact"].as_str().expect("a contact");
    assert!(contact.starts_with("rose@example.test"), "{report}");
    // The push is of the build that serves, and the app was asked by it alone.
    assert!(show(&john.push().await).contains("rose@example.test"));
    assert!(!john.settle().await.iter().any(is_push));
    assert_eq!(app.requests().len(), asked + 1);

    let ended = shadow(&muster, "DELETE", b"").await.json();
    assert_eq!(ended["seconds_left"], 0.0, "{ended}");
    refresh(muster.http(), DOMAIN, &["john"]).await;
    let after = shadow(&muster, "GET", b"").await.json();
    assert_eq!(after["report"]["calls"], 1, "it hears no more");

    // What serves already makes no difference; what is no plugin is refused.
    let url = format!("http://{}", muster.http());
    let server = ["--url", &url, "--token", TOKEN];
    let order = ["shadow", DOMAIN, "builtin", "--for", "1"];
    let (code, said, complained) = plugin(&[&order[..], &server[..]].concat()).await;
    assert_eq!(code, Some(0), "{said}{complained}");
    let order = ["shadow", DOMAIN, "Cargo.toml"];
    let (code, _, complained) = plugin(&[&order[..], &server[..]].concat()).await;
    assert_eq!(code, Some(65), "{complained}");
    john.leave().await;
}

#[tokio::test]
async fn nothing_is_recorded_unless_the_operator_wants_it() {
    let app = App::start().await;
    let muster = start(&app, "").await;
    let url = format!("http://{}", muster.http());
    let arguments = ["record", DOMAIN, "--url", &url, "--token", TOKEN];
    let (code, said, complained) = plugin(&arguments).await;
    assert_eq!(code, Some(69), "{said}{complained}");
    assert!(complained.contains("nothing is recorded"), "{complained}");
}
