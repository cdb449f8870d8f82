//! Users who wait for their turn and are asked for in one request.

use std::path::Path;
use std::sync::Arc;

use muster_tests::app::{Answer, App};
use muster_tests::client::{Client, error_of};
use muster_tests::metrics::Metrics;
use muster_tests::muster::Setup;
use muster_tests::process::Process;
use muster_tests::stage::{Stage, items};
use muster_tests::within;
use serde_json::json;
use tokio::task::JoinHandle;
use xmpp_parsers::minidom::Element;

/// One request that fails is one failure of the app, however many wait for its
/// answer: others are still asked for.
#[tokio::test]
async fn a_request_for_many_that_fails_is_one_failure() {
    let app = App::start().await;
    let setup = Setup::for_app(&app)
        .roster_keys(&format!(
            "http_rosters_url = \"http://{}/contacts/many\"",
            app.address()
        ))
        .with("[limits.refresh]\nconcurrency = 2\nconcurrency_floor = 2");
    let binary = Path::new(env!("CARGO_BIN_EXE_muster-under-test"));
    let process = Process::start(binary, &setup).await;
    let stage = Stage::at(Arc::new(app), process.xmpp(), process.http());
    stage.contacts("john", json!({"marie": {}}));
    stage.online("john").await.leave().await;
    stage.until_offline("john").await;

    // Both places are taken, and the others wait.
    let gates = ["first", "second"].map(|name| (name, stage.app.hold(name)));
    let mut holding = Vec::new();
    for (name, _) in &gates {
        holding.push(asks(&stage, name).await);
        stage.app.wait_for_requests(name, 1).await;
    }
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut waiting = Vec::new();
    for name in names {
        // Whoever is asked for alone later on gets no answer.
        stage.app.hold(name);
        waiting.push(asks(&stage, name).await);
    }
    until_waiting(&process, names.len()).await;
    let many = stage.app.hold("many");
    stage.app.set_answer("many", Answer::Status(500));
    gates.iter().for_each(|(_, gate)| gate.open());
    for client in holding {
        let (_client, answer) = client.await.expect("an answer");
        assert_eq!(answer.attr("type"), Some("result"));
    }
    stage.app.wait_for_requests("many", 1).await;
    many.open();
    let mut clients = Vec::new();
    for client in waiting {
        let (client, answer) = client.await.expect("an answer");
        assert!(error_of(&answer).starts_with("wait/"), "{answer:?}");
        clients.push(client);
    }
    stage.contacts("john", json!({"zoe": {}}));
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), ["zoe@example.test both"]);
}

/// A client that asks for its roster, and what it is answered.
async fn asks(stage: &Stage, name: &str) -> JoinHandle<(Client, Element)> {
    let mut client = stage.bound(name).await;
    tokio::spawn(async move {
        let answer = client.roster().await;
        (client, answer)
    })
}

async fn until_waiting(process: &Process, count: usize) {
    within("fetches to wait for their turn", async {
        loop {
            let metrics = Metrics::scrape(process.http()).await;
            if metrics.sum("muster_fetches_waiting", &[]) == count as f64 {
                return;
            }
            // Nothing tells from outside.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}
