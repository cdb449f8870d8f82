//! Rows 63 and 71, and promise 9: an app that fails after it has told rosters.
//! Users see the last one, the difference as soon as the app is back, and after
//! a kill what the app says.

mod restarts;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_tests::app::{Answer, App};
use muster_tests::bystanders::Bystanders;
use muster_tests::client::{Client, Mechanism, error_of, is_push, ns};
use muster_tests::http::exchange;
use muster_tests::metrics::Metrics;
use muster_tests::muster::{Muster, Setup, Summary, admin_request};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, Stage, item, items};
use muster_tests::within;
use serde_json::{Value, json};
use xmpp_parsers::minidom::Element;

/// The server asks again soon, and no breaker keeps it from that.
const SOON: &str = "[limits.refresh]\nrecovery_interval = \"50ms\"\n\
    [limits.backend.breaker]\nprobe_interval = \"10ms\"";

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// A host that loses patience with its app soon, and asks it again soon.
async fn impatient(roster_keys: &str) -> Stage {
    let app = Arc::new(App::start().await);
    let setup = Setup::for_app(&app)
        .roster_keys(roster_keys)
        .with("[limits.backend]\ntimeout = \"1s\"")
        .with(SOON);
    Stage::around(app, &setup).await
}

/// Lets the users' rosters become known, and ends their sessions.
async fn visits(stage: &Stage, names: &[&str]) {
    for name in names {
        stage.online(name).await.leave().await;
        stage.until_offline(name).await;
    }
}

/// The versions and items of a roster result; `None` without a query.
fn version(roster: &Element) -> Option<String> {
    let query = roster.get_child("query", ns::ROSTER)?;
    query.attr("ver").map(str::to_owned)
}

/// A roster get by a client that has the roster of that version.
async fn roster_since(client: &mut Client, version: &str) -> Element {
    let payload = format!("<query xmlns='{}' ver='{version}'/>", ns::ROSTER);
    client.iq("get", None, &payload).await
}

/// Rosters that a process has kept, given up or forgotten.
async fn kept(process: &Process, outcome: &str) -> f64 {
    let metrics = Metrics::scrape(process.http()).await;
    metrics.sum(
        "muster_rosters_kept_total",
        &[&format!("outcome=\"{outcome}\"")],
    )
}

/// Rosters that its clients were given from there.
async fn served(process: &Process, source: &str) -> f64 {
    let metrics = Metrics::scrape(process.http()).await;
    metrics.sum(
        "muster_rosters_served_total",
        &[&format!("source=\"{source}\"")],
    )
}

/// Waits until so many rosters have been written to the disk in all.
async fn until_kept(process: &Process, count: f64) {
    within("rosters to be kept", async {
        while kept(process, "kept").await < count {
            // Nothing tells from outside.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn login(process: &Process, name: &str) -> Client {
    let account = format!("{name}@{DOMAIN}");
    Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain).await
}

/// A login in the midst of a refresh that fails: the roster get waits for the
/// refresh's fetch, in which nothing stands in for the app's answer.
#[tokio::test]
async fn a_login_during_a_failing_refresh_gets_the_last_known_roster() {
    let stage = impatient("").await;
    stage.contacts("john", json!({"marie": {}}));
    visits(&stage, &["john"]).await;
    let mut witness = stage.bound("witness").await;
    let mut john = stage.bound("john").await;
    let asked = stage.app.requests_for("john").len();
    stage.app.set_outage(Some(Answer::Status(500)));
    let gate = stage.app.hold("john");
    let login = async {
        stage.app.wait_for_requests("john", asked + 1).await;
        john.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            .await;
        // It has been read by the time that others had an answer.
        witness.settle().await;
        stage.app.hold_no_more("john");
        gate.open();
        john.expect("a roster", |it| it.attr("id") == Some("r"))
            .await
    };
    let (refreshed, roster) = tokio::join!(stage.refresh(&["john"]), login);
    assert_eq!(refreshed, Summary::new("error", 0, 1));
    let known = [format!("{} both", stage.jid("marie"))];
    assert_eq!(items(&roster), known);
    // And the difference comes by itself.
    stage.contacts("john", json!({}));
    stage.app.set_outage(None);
    assert_eq!(
        item(&john.push().await),
        format!("{} remove", stage.jid("marie"))
    );
}

fn outages() -> Vec<(&'static str, Answer)> {
    let ok = "HTTP/1.1 200 OK\r\n";
    vec![
        ("500", Answer::Status(500)),
        ("429", Answer::Status(429)),
        ("401", Answer::Status(401)),
        ("silence", Answer::Silence),
        ("HTML", Answer::Body(b"<html>Sign in</html>".to_vec())),
        ("null", Answer::Body(b"null".to_vec())),
        ("reset", Answer::Reset(Vec::new())),
        (
            "reset in the body",
            Answer::Reset(format!("{ok}Content-Length: 30\r\n\r\n{{").into_bytes()),
        ),
        ("a flood", Answer::Flood(8 << 20)),
        (
            "a drip",
            Answer::Drip(json!({"a@b": {}}), Duration::from_millis(300)),
        ),
    ]
}

/// Row 63 and its kin. What came to be known before the failure is there at the
/// next login, presence goes by it, and others notice nothing.
#[tokio::test]
async fn the_last_known_roster_is_there_however_the_app_fails() {
    let stage = impatient("stale_after = \"300ms\"").await;
    let bystanders = Bystanders::assemble(&stage, 20).await;
    for (fault, answer) in outages() {
        let named = |name: &str| format!("{name}-{fault}").replace(' ', "-").to_lowercase();
        let (john, marie) = (named("john"), named("marie"));
        stage.befriend(&[&john, &marie]);
        visits(&stage, &[&john, &marie]).await;
        stage.app.set_outage(Some(answer));
        let mut one = stage.bound(&john).await;
        let known = [format!("{} both", stage.jid(&marie))];
        assert_eq!(items(&one.roster().await), known, "{fault}");
        one.available().await;
        let mut other = stage.online(&marie).await;
        let jid = one.jid().to_owned();
        other
            .expect("john's presence", |it| {
                it.name() == "presence" && it.attr("from") == Some(&jid)
            })
            .await;
        // A refresh that fails changes nothing, as ever.
        let before = items(&one.roster().await);
        assert_eq!(stage.refresh(&[&john]).await, Summary::new("error", 0, 1));
        assert_eq!(items(&one.roster().await), before, "{fault}");
        // The app is back, with other contacts.
        stage.contacts(&john, json!({"aaron": {}}));
        stage.app.set_outage(None);
        let mut pushes = [item(&one.push().await), item(&one.push().await)];
        pushes.sort();
        let gone = format!("{} remove", stage.jid(&marie));
        let mut expected = ["aaron@example.test both".to_owned(), gone];
        expected.sort();
        assert_eq!(pushes, expected, "{fault}");
        let gone = other.expect("john's end", |it| {
            it.attr("from") == Some(&jid) && it.attr("type") == Some("unavailable")
        });
        gone.await;
        one.leave().await;
        other.leave().await;
    }
    bystanders.dismiss().await;
}

/// Row 63: a plugin that traps on every call, in the place of one that worked.
#[tokio::test]
async fn a_plugin_that_traps_on_every_call_costs_nobody_the_roster() {
    let app = Arc::new(App::start().await);
    let muster = Muster::start(&Setup::for_app(&app)).await;
    let mut stage = Stage::on(Arc::clone(&app), muster);
    stage.befriend(&["john", "marie"]);
    visits(&stage, &["john", "marie"]).await;
    let muster = stage.muster.take().and_then(Arc::into_inner);
    let directory = muster.expect("the only one").shutdown().await;

    let plugin = directory.path().join("plugin.wasm");
    std::fs::write(&plugin, muster_test_plugins::deed("trap")).expect("a file");
    let setup = Setup::new()
        .plugin(&plugin)
        .host(DOMAIN, "kind = \"any\"", &app.roster_url())
        .with(SOON);
    let stage = Stage::on(app, Muster::start_in(directory, &setup).await);
    for _ in 0..4 {
        let mut john = stage.bound("john").await;
        assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
        john.available().await;
        let mut marie = stage.online("marie").await;
        let jid = john.jid().to_owned();
        marie
            .expect("john's presence", |it| it.attr("from") == Some(&jid))
            .await;
        john.leave().await;
        marie.leave().await;
    }
}

/// Nothing listens where the app was; then it does again.
#[tokio::test]
async fn the_difference_is_pushed_and_nothing_else() {
    let app = App::start().await;
    let address = app.address();
    let setup = Setup::for_app(&app).with(SOON);
    let muster = Muster::start(&setup).await;
    let contacts = json!({
        "aaron@example.test": {},
        "marie@example.test": {"name": "Marie", "groups": ["Friends"]},
        "michael@example.test": {"subscription": "to"},
    });
    app.set_contacts("john", contacts);
    let stage = Stage::on(Arc::new(App::start().await), muster);
    let mut john = stage.online("john").await;
    let known = version(&roster_since(&mut john, "").await).expect("a version");
    john.leave().await;
    stage.until_offline("john").await;
    drop(app);

    let mut john = stage.bound("john").await;
    // One client has it already, another one does not.
    let unchanged = roster_since(&mut john, &known).await;
    assert_eq!(unchanged.children().count(), 0, "it is the same roster");
    let mut other = stage.bound("john").await;
    let stale = roster_since(&mut other, "").await;
    assert_eq!(version(&stale), Some(known));
    assert_eq!(items(&stale).len(), 3);

    let app = App::start_at(address).await;
    app.set_contacts(
        "john",
        json!({
            "marie@example.test": {"name": "Mary", "groups": ["Friends"]},
            "michael@example.test": {"subscription": "to"},
            "zoe@example.test": {},
        }),
    );
    let expected = [
        "aaron@example.test remove",
        "marie@example.test both \"Mary\" [\"Friends\"]",
        "zoe@example.test both",
    ];
    for client in [&mut john, &mut other] {
        let mut pushes = Vec::new();
        for _ in 0..3 {
            pushes.push(item(&client.push().await));
        }
        pushes.sort();
        assert_eq!(pushes, expected);
        // There is a fourth one only if there is something wrong.
        let after = client.settle().await;
        assert!(!after.iter().any(is_push), "{after:?}");
    }
    // The answer that was pushed is kept in turn.
    let fresh = john.roster().await;
    assert_eq!(items(&fresh).len(), 3);
    let requests = app.requests_for("john").len();
    stage.refreshed(&["john"]).await;
    assert_eq!(app.requests_for("john").len(), requests + 1);
    assert!(!john.settle().await.iter().any(is_push));
}

/// A roster that is unchanged is confirmed, and nothing is pushed; a version
/// that the server knows from before costs the app a 304.
#[tokio::test]
async fn an_unchanged_roster_is_confirmed_without_a_push() {
    let stage = impatient("").await;
    stage.contacts("john", json!({"marie": {}}));
    visits(&stage, &["john"]).await;
    // The next login asks whether it still holds.
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    let requests = stage.app.requests_for("john");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("if-none-match"), None);
    assert!(requests[1].header("if-none-match").is_some());
    john.leave().await;
    stage.until_offline("john").await;
    // And so does the server when the app is back.
    stage.app.set_outage(Some(Answer::Status(500)));
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    stage.app.set_outage(None);
    stage
        .app
        .wait_for_requests("john", stage.app.requests_for("john").len() + 1)
        .await;
    // A change that comes afterwards is the first push.
    stage.contacts("john", json!({"marie": {}, "aaron": {}}));
    stage.refreshed(&["john"]).await;
    assert_eq!(item(&john.push().await), "aaron@example.test both");
}

/// An app that is slow: the last known roster first, then its answer, by the
/// request that it has.
#[tokio::test]
async fn nobody_waits_for_a_slow_app_when_there_is_a_last_known_roster() {
    let stage = impatient("stale_after = \"100ms\"").await;
    stage.contacts("john", json!({"marie": {}}));
    visits(&stage, &["john"]).await;
    stage.contacts("john", json!({"aaron": {}}));
    let gate = stage.app.hold("john");
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    gate.open();
    let mut pushes = [item(&john.push().await), item(&john.push().await)];
    pushes.sort();
    assert_eq!(
        pushes,
        ["aaron@example.test both", "marie@example.test remove"]
    );
    assert_eq!(stage.app.requests_for("john").len(), 2, "one of them now");
}

/// Once the app is known to hang, nobody waits for it at all.
#[tokio::test]
async fn a_hanging_app_delays_the_first_logins_only() {
    const STALE_AFTER: Duration = Duration::from_secs(3);
    let app = Arc::new(App::start().await);
    let setup = Setup::for_app(&app).roster_keys("stale_after = \"3s\"");
    let stage = Stage::around(app, &setup).await;
    let names: Vec<String> = (0..15).map(|n| format!("u{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.befriend(&names);
    for name in &names {
        stage.online(name).await.leave().await;
    }
    for name in &names {
        stage.until_offline(name).await;
    }
    stage.app.set_outage(Some(Answer::Silence));
    let roster = async |name: &str| {
        let mut client = stage.bound(name).await;
        let start = Instant::now();
        assert_eq!(items(&client.roster().await).len(), 14, "{name}");
        (client, start.elapsed())
    };
    let (unaware, aware) = names.split_at(5);
    let slow = futures_util::future::join_all(unaware.iter().map(|name| roster(name)));
    for (_, took) in slow.await {
        assert!(took >= STALE_AFTER, "{took:?}");
    }
    for name in aware {
        let (_, took) = roster(name).await;
        assert!(took < STALE_AFTER, "{name}: {took:?}");
    }
}

/// Without a last known roster the get fails as it always did; the contacts
/// come as soon as the app is back all the same.
#[tokio::test]
async fn who_was_never_here_is_told_and_gets_the_contacts_later() {
    let stage = impatient("").await;
    stage.app.set_outage(Some(Answer::Status(503)));
    let mut john = stage.bound("john").await;
    assert!(error_of(&john.roster().await).starts_with("wait/"));
    stage.contacts("john", json!({"marie": {}}));
    stage.app.set_outage(None);
    assert_eq!(item(&john.push().await), "marie@example.test both");
}

/// A session that ends is owed nothing, and a new one asks for itself.
#[tokio::test]
async fn what_is_owed_ends_with_the_session() {
    let stage = impatient("").await;
    stage.contacts("john", json!({"marie": {}}));
    visits(&stage, &["john"]).await;
    stage.app.set_outage(Some(Answer::Status(500)));
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    let asked = stage.app.requests_for("john").len();
    stage.app.wait_for_requests("john", asked + 2).await;
    john.leave().await;
    stage.until_offline("john").await;
    // Somebody else is owed one, and is asked for over and over.
    let mut marie = stage.bound("marie").await;
    marie.roster().await;
    let asked = stage.app.requests_for("john").len();
    let others = stage.app.requests_for("marie").len();
    stage.app.wait_for_requests("marie", others + 4).await;
    let now = stage.app.requests_for("john").len();
    assert!(now <= asked + 1, "{now} after {asked}");
}

#[tokio::test]
async fn reject_and_empty_are_what_they_say() {
    for (policy, empty) in [("reject", false), ("empty", true)] {
        let stage = impatient(&format!("on_backend_failure = \"{policy}\"")).await;
        stage.contacts("john", json!({"marie": {}}));
        visits(&stage, &["john"]).await;
        stage.app.set_outage(Some(Answer::Status(500)));
        let mut john = stage.bound("john").await;
        let roster = john.roster().await;
        if !empty {
            assert!(error_of(&roster).starts_with("wait/"), "{policy}");
            continue;
        }
        assert_eq!(roster.attr("type"), Some("result"));
        assert_eq!(items(&roster), [""; 0]);
        stage.app.set_outage(None);
        assert_eq!(item(&john.push().await), "marie@example.test both");
        assert!(!john.settle().await.iter().any(is_push));
    }
}

/// A user whom the app no longer knows is not in the last known rosters either.
#[tokio::test]
async fn a_user_who_is_gone_is_forgotten() {
    let stage = impatient("").await;
    stage.contacts("john", json!({"marie": {}}));
    visits(&stage, &["john"]).await;
    stage.answer("john", Answer::Status(404));
    let mut john = stage.bound("john").await;
    assert_eq!(error_of(&john.roster().await), "cancel/item-not-found");
    john.leave().await;
    stage.until_offline("john").await;
    stage.app.set_outage(Some(Answer::Status(500)));
    let mut john = stage.bound("john").await;
    assert!(error_of(&john.roster().await).starts_with("wait/"));
}

/// Nothing is owed to a user whom the app does not know when it is back: whoever
/// is asked for in vain holds up the others.
#[tokio::test]
async fn who_is_gone_when_the_app_is_back_is_owed_nothing() {
    let stage = impatient("").await;
    let names = ["john", "peter"];
    stage.befriend(&names);
    visits(&stage, &names).await;
    stage.app.set_outage(Some(Answer::Status(500)));
    let mut clients = Vec::new();
    for name in names {
        let mut client = stage.bound(name).await;
        assert_eq!(items(&client.roster().await).len(), 1, "{name}");
        clients.push(client);
    }
    stage.answer("john", Answer::Status(404));
    stage.answer("peter", Answer::Status(500));
    stage.app.set_outage(None);
    let asked = stage.app.requests_for("john").len();
    stage.app.wait_for_requests("john", asked + 1).await;
    // The other one is still owed a roster, and is asked for over and over.
    let others = stage.app.requests_for("peter").len();
    stage.app.wait_for_requests("peter", others + 4).await;
    assert_eq!(stage.app.requests_for("john").len(), asked + 1);
    // The session keeps what it has seen; the next one is told.
    let mut john = clients.remove(0);
    assert!(!john.settle().await.iter().any(is_push));
    john.leave().await;
    stage.until_offline("john").await;
    let mut john = stage.bound("john").await;
    assert_eq!(error_of(&john.roster().await), "cancel/item-not-found");
}

/// A refresh for somebody who is not here says that the kept roster is out of
/// date, which it may be at any time: the app is asked at the login.
#[tokio::test]
async fn a_kept_roster_is_never_taken_for_the_apps() {
    let stage = impatient("").await;
    stage.contacts("john", json!({"marie": {}}));
    visits(&stage, &["john"]).await;
    stage.contacts("john", json!({"aaron": {}}));
    stage.refreshed(&["john"]).await;
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), ["aaron@example.test both"]);
    // Nor is it if the app speaks of another version by the same name.
    john.leave().await;
    stage.until_offline("john").await;
    stage.answer("john", Answer::Status(304));
    let mut john = stage.bound("john").await;
    assert_eq!(
        items(&john.roster().await),
        ["aaron@example.test both"],
        "304 to its own validator confirms"
    );
}

/// The measurement of `docs/reliability.md`: `cargo test --test it a_thousand
/// -- --nocapture` prints it. The bound here is for busy machines.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_users_log_in_with_the_app_dead() {
    const USERS: usize = 1_000;
    const AT_ONCE: usize = 50;
    let app = Arc::new(App::start().await);
    let contacts: serde_json::Map<String, Value> = (0..20)
        .map(|n| (format!("contact{n}@example.test"), json!({})))
        .collect();
    app.set_default_contacts(Value::Object(contacts));
    let setup = Setup::for_app(&app).with("[limits.xmpp]\nconnects_per_minute = 1000000");
    let stage = Stage::around(app, &setup).await;
    // Each logs in, and sees the same contacts.
    let everybody = async |what: &str| {
        use futures_util::StreamExt as _;
        let logins = (0..USERS).map(|user| {
            let stage = stage.clone();
            async move {
                let name = format!("u{user}");
                let mut client = stage.bound(&name).await;
                let start = Instant::now();
                let roster = client.roster().await;
                let took = start.elapsed();
                assert_eq!(items(&roster).len(), 20, "{name}");
                client.leave().await;
                took
            }
        });
        let logins = futures_util::stream::iter(logins).buffer_unordered(AT_ONCE);
        let start = Instant::now();
        let mut took: Vec<Duration> = logins.collect().await;
        let all = start.elapsed();
        took.sort();
        let [p50, p99] = [50, 99].map(|percent| took[USERS * percent / 100]);
        eprintln!(
            "{what}: p50 {p50:?}, p99 {p99:?}, slowest {:?}; all in {all:?}",
            took[USERS - 1]
        );
        p99
    };
    // On a machine that has no time for it a fetch may fail; not twice.
    for user in 0..USERS {
        let mut client = stage.bound(&format!("u{user}")).await;
        within("a roster", async {
            while items(&client.roster().await).len() < 20 {}
        })
        .await;
        client.leave().await;
    }
    stage.app.close().await;
    assert!(everybody("nobody is there").await < Duration::from_secs(1));
    stage.app.reopen().await;
    // By whom it is known to be well.
    let ping = admin_request(DOMAIN, ("POST", "ping"), &[], b"");
    assert_eq!(exchange(stage.http(), &ping).await.status, 200);
    let mut client = stage.bound("u0").await;
    client.roster().await;
    stage.refreshed(&["u0"]).await;
    client.leave().await;
    stage.app.set_outage(Some(Answer::Status(503)));
    assert!(everybody("the app answers 503").await < Duration::from_secs(1));
    // It answers, so nothing is known against it any more.
    stage.app.set_outage(None);
    everybody("the app answers again").await;
    stage.app.set_outage(Some(Answer::Silence));
    let names = ["a", "b", "c", "d", "e"];
    let learning = names.map(|name| {
        let stage = stage.clone();
        async move { stage.bound(name).await.roster().await }
    });
    futures_util::future::join_all(learning).await;
    assert!(everybody("the app hangs, and that is known").await < Duration::from_secs(1));
}
