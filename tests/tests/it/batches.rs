//! Many users in one request (`http_rosters_url`), as a user of it notices. Which
//! of those who wait go together is in `host/server/src/rosters/limiter/tests.rs`,
//! what it saves in a storm in `storm`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_tests::app::{Answer, App};
use muster_tests::client::is_push;
use muster_tests::metrics::Metrics;
use muster_tests::muster::Setup;
use muster_tests::process::Process;
use muster_tests::stage::{Stage, item};
use muster_tests::within;
use serde_json::{Value, json};

/// An app that is asked one thing at a time, and takes many users in one request.
/// The host is a process of its own, because its metrics are waited for.
async fn stage() -> (Stage, Process) {
    let app = Arc::new(App::start().await);
    let keys = format!(
        "http_rosters_url = \"http://{}/contacts/all\"",
        app.address()
    );
    let setup = Setup::for_app(&app).roster_keys(&keys);
    let setup = setup.with("[limits.refresh]\nconcurrency = 1\nconcurrency_floor = 1");
    let binary = Path::new(env!("CARGO_BIN_EXE_muster-under-test"));
    let process = Process::start(binary, &setup).await;
    (Stage::at(app, process.xmpp(), process.http()), process)
}

/// Has john and zoe refreshed in one request, while the app is busy with marie.
async fn together(stage: &Stage, rosters: &Value) {
    let before = stage.app.requests_for("all").len();
    let answer = Answer::Body(rosters.to_string().into_bytes());
    stage.app.set_answer("all", answer);
    let gate = stage.app.hold("marie");
    let asked = stage.app.requests_for("marie").len();
    let first = stage.refreshed(&["marie"]);
    let then = async {
        stage.app.wait_for_requests("marie", asked + 1).await;
        let others = stage.refreshed(&["john", "zoe"]);
        let open = async {
            within("both to wait", async {
                let waiting = async || {
                    let metrics = Metrics::scrape(stage.http()).await;
                    metrics.sum("muster_fetches_waiting", &["class=\"refresh\""])
                };
                while waiting().await < 2.0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            gate.open();
        };
        tokio::join!(others, open);
    };
    tokio::join!(first, then);
    stage.app.hold_no_more("marie");
    assert_eq!(stage.app.requests_for("all").len(), before + 1);
}

/// An answer for many names no version. That of a list that is still the same is
/// known from before, and the next question costs a 304.
#[tokio::test]
async fn an_unchanged_roster_among_many_keeps_its_validator() {
    let (stage, _process) = stage().await;
    stage.contacts("john", json!({"aaron@x.test": {}}));
    stage.contacts("zoe", json!({"bob@x.test": {}}));
    let mut john = stage.online("john").await;
    let mut zoe = stage.online("zoe").await;
    let _marie = stage.online("marie").await;
    let rosters = json!({"john": {"aaron@x.test": {}}, "zoe": {"carl@x.test": {}}});
    together(&stage, &rosters).await;
    let pushes = [item(&zoe.push().await), item(&zoe.push().await)];
    assert!(
        pushes.contains(&"carl@x.test both".to_owned()),
        "{pushes:?}"
    );
    assert!(!john.settle().await.iter().any(is_push));
    stage.refreshed(&["john"]).await;
    stage.refreshed(&["zoe"]).await;
    let conditional = |user: &str| {
        let last = stage.app.requests_for(user).pop().expect("a request");
        last.header("if-none-match").is_some()
    };
    assert_eq!((conditional("john"), conditional("zoe")), (true, false));
}
