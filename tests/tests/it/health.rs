//! What tools are told: whether the server is well, and what is wrong if it is
//! not quite.

use std::path::Path;

use muster_tests::app::{Answer, App};
use muster_tests::client::{Client, Mechanism};
use muster_tests::http::{Reply, exchange, request};
use muster_tests::muster::{Setup, TOKEN};
use muster_tests::process::Process;
use muster_tests::stage::DOMAIN;
use muster_tests::within;
use serde_json::json;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

async fn get(process: &Process, path: &str, fields: &[(&str, &str)]) -> Reply {
    exchange(process.http(), &request("GET", path, fields, b"")).await
}

async fn login(process: &Process) -> Client {
    let account = format!("john@{DOMAIN}");
    Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain).await
}

#[tokio::test]
async fn a_server_that_is_well_says_so_in_words_and_in_json() {
    let app = App::start().await;
    let process = Process::start(binary(), &Setup::for_app(&app)).await;
    assert_eq!(get(&process, "/healthz", &[]).await.text(), "ok\n");
    assert_eq!(get(&process, "/readyz", &[]).await.text(), "ready\n");
    let health = get(&process, "/healthz?verbose", &[]).await.json();
    assert_eq!(health["status"], "ok");
    let accept = [("Accept", "application/json")];
    let readiness = get(&process, "/readyz", &accept).await.json();
    assert_eq!(readiness["status"], "ready");
    assert_eq!(readiness["listeners"]["xmpp"], 1);
    assert_eq!(readiness["plugins"], 1);
    assert_eq!(readiness["store_in_service"], true);
    assert!(
        !readiness.to_string().contains(DOMAIN),
        "nobody asked with a token"
    );
    let token = format!("Bearer {TOKEN}");
    let readiness = get(&process, "/readyz?verbose", &[("Authorization", &token)]).await;
    assert_eq!(readiness.json()["virtual_hosts"][0]["virtual_host"], DOMAIN);
}

/// The app is down, and users see what they saw before: that is ready, and told.
#[tokio::test]
async fn with_a_dead_app_the_server_is_ready_and_says_what_is_wrong() {
    let app = App::start().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let setup = Setup::for_app(&app).with("[limits.refresh]\nrecovery_interval = \"50ms\"");
    let process = Process::start(binary(), &setup).await;
    let mut session = login(&process).await;
    session.roster().await;
    session.leave().await;
    app.set_outage(Some(Answer::Status(500)));
    let mut session = login(&process).await;
    session.roster().await;
    let reply = get(&process, "/readyz", &[]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let owed = "users without the app's answer: 1";
    assert!(reply.text().contains(owed), "{}", reply.text());
    let readiness = get(&process, "/readyz?verbose", &[]).await.json();
    assert_eq!(readiness["status"], "degraded");
    assert_eq!(readiness["rosters_owed"], 1);
    app.set_outage(None);
    within("the app's word", async {
        while get(&process, "/readyz", &[]).await.text() != "ready\n" {
            // Nobody tells from outside when the app was heard.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A request that is under way keeps the connection, so that the drain can be
/// asked about.
#[tokio::test]
async fn a_server_that_drains_is_not_ready() {
    let app = App::start().await;
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut session = login(&process).await;
    session.roster().await;
    let gate = app.hold("john");
    let mut connection = muster_tests::http::Connection::open(process.http()).await;
    let token = format!("Bearer {TOKEN}");
    let fields = [("Host", DOMAIN), ("Authorization", token.as_str())];
    let refresh = request("POST", "/roster_admin/refresh/john", &fields, b"");
    connection.send(&refresh).await;
    app.wait_for_requests("john", 2).await;
    process.signal("TERM").await;
    session.stream_error(&["system-shutdown"]).await;
    gate.open();
    let refreshed = connection.reply().await.expect("an answer");
    assert_eq!(refreshed.status, 200);
    // The listener is gone, and so is whoever balances onto it.
    assert!(connection.is_closed().await);
    assert!(
        tokio::net::TcpStream::connect(process.http())
            .await
            .is_err()
    );
    assert_eq!(process.exit().await.code(), Some(0));
}
