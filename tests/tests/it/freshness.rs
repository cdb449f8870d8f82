//! How old a roster may get: `ttl`, by which a further client of a user has it
//! asked for anew, and `resync_interval`, by which it is asked for by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_tests::app::{Answer, App};
use muster_tests::client::error_of;
use muster_tests::metrics::Metrics;
use muster_tests::muster::Setup;
use muster_tests::process::Process;
use muster_tests::stage::{Stage, item, items};
use muster_tests::within;
use serde_json::json;

/// Every roster is too old; an app that fails is asked again soon.
async fn stage(keys: &str) -> Stage {
    let app = Arc::new(App::start().await);
    let setup = Setup::for_app(&app).roster_keys(keys).with(
        "[limits.refresh]\nrecovery_interval = \"50ms\"\n\
         [limits.backend.breaker]\nprobe_interval = \"10ms\"",
    );
    Stage::around(app, &setup).await
}

const OLD: &str = "ttl = \"1ms\"";

#[tokio::test]
async fn a_further_client_gets_what_the_app_says_now_and_the_others_the_difference() {
    let stage = stage(OLD).await;
    stage.contacts("john", json!({"aaron": {}}));
    let mut phone = stage.online("john").await;
    stage.contacts("john", json!({"aaron": {}, "zoe": {}}));
    let mut laptop = stage.bound("john").await;
    let expected = ["aaron@example.test both", "zoe@example.test both"];
    assert_eq!(items(&laptop.roster().await), expected);
    assert_eq!(item(&phone.push().await), expected[1]);
    // An unchanged list costs a 304. The one before is a millisecond old by now.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(items(&laptop.roster().await), expected);
    let requests = stage.app.requests_for("john");
    assert!(requests[2].header("if-none-match").is_some());
    assert_eq!(requests.len(), 3);
}

#[tokio::test]
async fn when_the_app_fails_the_old_one_stands_in() {
    let stage = stage(OLD).await;
    stage.contacts("john", json!({"aaron": {}}));
    let mut phone = stage.online("john").await;
    stage.app.set_outage(Some(Answer::Status(500)));
    let mut laptop = stage.bound("john").await;
    assert_eq!(items(&laptop.roster().await), ["aaron@example.test both"]);
    stage.contacts("john", json!({"aaron": {}, "zoe": {}}));
    stage.app.set_outage(None);
    for client in [&mut phone, &mut laptop] {
        assert_eq!(item(&client.push().await), "zoe@example.test both");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_slow_app_when_there_is_an_old_one() {
    let stage = stage("ttl = \"1ms\"\nstale_after = \"50ms\"").await;
    stage.contacts("john", json!({"aaron": {}}));
    let mut phone = stage.online("john").await;
    let gate = stage.app.hold("john");
    stage.contacts("john", json!({"zoe": {}}));
    let mut laptop = stage.bound("john").await;
    assert_eq!(items(&laptop.roster().await), ["aaron@example.test both"]);
    gate.open();
    for client in [&mut phone, &mut laptop] {
        let mut pushes = [item(&client.push().await), item(&client.push().await)];
        pushes.sort();
        let expected = ["aaron@example.test remove", "zoe@example.test both"];
        assert_eq!(pushes, expected);
    }
}

/// Time that a renewal waits behind others is no fault of the app's.
#[tokio::test]
async fn who_waits_in_line_for_a_newer_roster_holds_nothing_against_the_app() {
    const ASKED: usize = 6;
    let app = App::start().await;
    let setup = Setup::for_app(&app)
        .roster_keys("ttl = \"1ms\"\nstale_after = \"50ms\"")
        .with("[limits.refresh]\nconcurrency = 1\nconcurrency_floor = 1");
    let binary = Path::new(env!("CARGO_BIN_EXE_muster-under-test"));
    let process = Process::start(binary, &setup).await;
    let stage = Stage::at(Arc::new(app), process.xmpp(), process.http());
    stage.contacts("john", json!({"aaron": {}}));
    let mut john = stage.online("john").await;
    // The app's only place is taken.
    let gate = stage.app.hold("marie");
    let mut marie = stage.bound("marie").await;
    marie
        .send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    stage.app.wait_for_requests("marie", 1).await;
    for _ in 0..ASKED {
        assert_eq!(items(&john.roster().await), ["aaron@example.test both"]);
    }
    let metrics = Metrics::scrape(process.http()).await;
    assert_eq!(metrics.sum("muster_rosters_owed", &[]), 0.0);
    let late = metrics.sum("muster_roster_renewals_total", &["outcome=\"late\""]);
    assert_eq!(late, ASKED as f64);
    // What comes of them later is not counted again.
    stage.contacts("john", json!({"zoe": {}}));
    gate.open();
    let mut pushes = [item(&john.push().await), item(&john.push().await)];
    pushes.sort();
    let expected = ["aaron@example.test remove", "zoe@example.test both"];
    assert_eq!(pushes, expected);
    let metrics = Metrics::scrape(process.http()).await;
    let all = metrics.sum("muster_roster_renewals_total", &[]);
    assert_eq!(all, ASKED as f64);
}

#[tokio::test]
async fn reject_refuses_an_old_roster_and_empty_takes_nothing_away() {
    for (policy, refused) in [("reject", true), ("empty", false)] {
        let stage = stage(&format!("ttl = \"1ms\"\non_backend_failure = \"{policy}\"")).await;
        stage.contacts("john", json!({"aaron": {}}));
        let mut phone = stage.online("john").await;
        stage.app.set_outage(Some(Answer::Status(500)));
        let mut laptop = stage.bound("john").await;
        let answer = laptop.roster().await;
        match refused {
            true => assert!(error_of(&answer).contains("remote-server-timeout")),
            false => assert_eq!(items(&answer), ["aaron@example.test both"]),
        }
        // The first client keeps what it has.
        stage.contacts("john", json!({"aaron": {}, "zoe": {}}));
        stage.app.set_outage(None);
        stage.refreshed(&["john"]).await;
        assert_eq!(item(&phone.push().await), "zoe@example.test both");
    }
}

#[tokio::test]
async fn whoever_is_online_is_asked_for_once_an_interval() {
    let stage = stage("resync_interval = \"200ms\"").await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let _marie = stage.online("marie").await;
    stage.contacts("john", json!({"marie": {}, "zoe": {}}));
    assert_eq!(item(&john.push().await), "zoe@example.test both");
    within("an unchanged list to cost nothing", async {
        for name in ["john", "marie"] {
            let unchanged = || {
                let requests = stage.app.requests_for(name);
                let conditional =
                    |it: &muster_tests::app::Request| it.header("if-none-match").is_some();
                requests.iter().filter(|it| conditional(it)).count() > 3
            };
            while !unchanged() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    })
    .await;
    john.leave().await;
    stage.until_offline("john").await;
    // A round that had begun may still ask for whom it found.
    let before = stage.app.requests_for("marie").len();
    stage.app.wait_for_requests("marie", before + 2).await;
    let after = stage.app.requests_for("john").len();
    stage.app.wait_for_requests("marie", before + 5).await;
    assert_eq!(stage.app.requests_for("john").len(), after);
}

/// A slow app is asked for one of two whom nobody waits for; the other place is
/// for whoever comes.
#[tokio::test]
async fn asking_by_itself_takes_no_place_that_somebody_waits_for() {
    let app = Arc::new(App::start().await);
    let setup = Setup::for_app(&app).roster_keys("resync_interval = \"200ms\"");
    let setup = setup.with(
        "[limits.refresh]\nconcurrency = 2\nconcurrency_floor = 2\n\
         [limits.backend]\ntimeout = \"60s\"",
    );
    // A process of its own, because its metrics are waited for.
    let binary = Path::new(env!("CARGO_BIN_EXE_muster-under-test"));
    let process = Process::start(binary, &setup).await;
    let stage = Stage::at(app, process.xmpp(), process.http());
    let _john = stage.online("john").await;
    let _marie = stage.online("marie").await;
    let gates = ["john", "marie"].map(|name| stage.app.hold(name));
    within("the second of them to wait", async {
        let waiting = async || {
            let metrics = Metrics::scrape(stage.http()).await;
            metrics.sum("muster_fetches_waiting", &["class=\"background\""])
        };
        while waiting().await < 1.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    stage.contacts("zoe", json!({"aaron": {}}));
    let mut zoe = stage.online("zoe").await;
    stage.contacts("zoe", json!({"aaron": {}, "bob": {}}));
    stage.refreshed(&["zoe"]).await;
    assert_eq!(item(&zoe.push().await), "bob@example.test both");
    gates.iter().for_each(|gate| gate.open());
}
