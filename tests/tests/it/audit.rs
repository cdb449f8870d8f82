//! `POST /admin/audit/…` and `muster audit`: what in the app's lists does not
//! fit together, found through a running server without a change to anybody.

use std::path::Path;
use std::sync::Arc;

use muster_tests::app::{Answer, App};
use muster_tests::client::is_push;
use muster_tests::http::{Reply, exchange, request};
use muster_tests::muster::{ANYONE, Setup, TOKEN};
use muster_tests::process::{Process, run};
use muster_tests::stage::{DOMAIN, Stage, items};
use muster_tests::within;
use serde_json::{Value, json};

/// Lists that say different things.
fn disagree(app: &App) {
    app.set_contacts(
        "john",
        json!({
            "marie@example.test": {},
            "MARIE@example.test": {"name": "again"},
            "ghost@example.test": {},
            "John@example.test": {},
            "not a jid": {},
            "marie@example.test/phone": {},
            "peter@example.test": {"name": 7},
            "friend@elsewhere.test": {},
        }),
    );
    app.set_contacts(
        "marie",
        json!({"john@example.test": {"subscription": "from"}, "zoe@example.test": {}}),
    );
    app.set_contacts("zoe", json!({}));
    app.set_answer("ghost", Answer::Status(404));
    app.set_answer("nobody", Answer::Status(404));
}

fn findings() -> Value {
    let of = |user: &str| format!("{user}@example.test");
    let both = ["marie@example.test", "MARIE@example.test"];
    json!([
        {"kind": "one_sided", "user": of("john"), "contact": of("marie"), "says": "both", "other": "from"},
        {"kind": "one_sided", "user": of("marie"), "contact": of("zoe"), "says": "both", "other": "absent"},
        {"kind": "unknown_contact", "user": of("john"), "contact": of("ghost")},
        {"kind": "collision", "user": of("john"), "contact": of("marie"), "entries": both},
        {"kind": "self_listed", "user": of("john"), "entry": "John@example.test"},
        {"kind": "invalid", "user": of("john"), "entry": "marie@example.test/phone"},
        {"kind": "invalid", "user": of("john"), "entry": "not a jid"},
        // Of which no contact can be made.
        {"kind": "left_out", "user": of("john"), "entries": 1},
    ])
}

async fn audit(stage: &Stage, body: &str) -> Reply {
    let authorization = format!("Bearer {TOKEN}");
    let fields = [("Authorization", authorization.as_str())];
    let path = format!("/admin/audit/{DOMAIN}");
    exchange(
        stage.http(),
        &request("POST", &path, &fields, body.as_bytes()),
    )
    .await
}

#[tokio::test]
async fn what_does_not_fit_together_is_found_and_nothing_is_changed() {
    let stage = Stage::own("").await;
    disagree(&stage.app);
    let mut john = stage.online("john").await;
    let before = items(&john.roster().await);
    let reply = audit(&stage, r#"{"users":["john","marie"]}"#).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let report = reply.json();
    assert_eq!(report["findings"], findings(), "{report}");
    assert_eq!(
        (&report["users"], &report["complete"]),
        (&4.into(), &true.into())
    );
    assert_eq!(report["counts"]["one_sided"], 2);
    // Without names: whoever is online or kept, and whom they have.
    assert_eq!(audit(&stage, "").await.json()["findings"], findings());
    // Contacts of those who are named are asked for, and nobody beyond.
    let report = audit(&stage, r#"{"users":["zoe","nobody"],"concurrency":1}"#)
        .await
        .json();
    let expected = json!([{"kind": "unknown_user", "user": "nobody@example.test"}]);
    assert_eq!(
        (&report["findings"], &report["users"]),
        (&expected, &2.into())
    );

    assert_eq!(items(&john.roster().await), before);
    assert!(!john.settle().await.iter().any(is_push));
    assert_eq!(stage.app.requests_for("friend").len(), 0);
}

#[tokio::test]
async fn an_audit_is_paced_bounded_and_alone() {
    let stage = Stage::own("[limits.audit]\nusers = 3\nconcurrency = 1").await;
    disagree(&stage.app);
    let gate = stage.app.hold("john");
    let authorization = format!("Bearer {TOKEN}");
    let fields = [("Authorization", authorization.as_str())];
    let path = format!("/admin/audit/{DOMAIN}");
    let order = request(
        "POST",
        &path,
        &fields,
        br#"{"users":["john","marie"],"concurrency":64}"#,
    );
    let http = stage.http();
    let first = tokio::spawn(async move { exchange(http, &order).await });
    stage.app.wait_for_requests("john", 1).await;
    // Nobody else is asked for meanwhile, and nobody audits beside it.
    let second = audit(&stage, "").await;
    assert_eq!(
        (second.status, &second.json()["reason"]),
        (409, &"busy".into())
    );
    assert!(stage.app.requests_for("marie").is_empty());
    gate.open();
    let report = within("the audit to end", first)
        .await
        .expect("an answer")
        .json();
    assert_eq!(
        (&report["users"], &report["cut"]),
        (&3.into(), &"users".into())
    );

    for (body, status) in [
        ("[]", 400),
        ("{\"user\":[]}", 400),
        ("{\"users\":[\"a b\"]}", 422),
    ] {
        assert_eq!(audit(&stage, body).await.status, status, "{body}");
    }
}

/// An answer for many together tells rosters, which are no use to an audit.
#[tokio::test]
async fn nobody_is_asked_for_twice_where_many_go_together() {
    let app = Arc::new(App::start().await);
    let keys = format!(
        "http_rosters_url = \"http://{}/contacts/all\"",
        app.address()
    );
    let setup = Setup::for_app(&app).roster_keys(&keys);
    let setup = setup.with("[limits.refresh]\nconcurrency = 1\nconcurrency_floor = 1");
    let stage = Stage::around(app, &setup).await;
    disagree(&stage.app);
    stage.app.set_answer("all", Answer::Body(b"{}".to_vec()));
    let users = ["john", "marie", "zoe", "ghost"];
    let report = audit(&stage, &json!({ "users": users }).to_string()).await;
    assert_eq!(report.json()["users"], 4, "{}", report.text());
    let asked = users.map(|user| stage.app.requests_for(user).len());
    assert_eq!((asked, stage.app.requests_for("all").len()), ([1; 4], 0));
}

/// An app that fails is not asked ten thousand times.
#[tokio::test]
async fn an_app_that_fails_is_left_alone() {
    let stage = Stage::own("").await;
    stage.app.set_outage(Some(Answer::Status(500)));
    let users: Vec<String> = (0..200).map(|number| format!("user{number}")).collect();
    let report = audit(&stage, &json!({ "users": users }).to_string())
        .await
        .json();
    assert_eq!(report["cut"], "app_fails", "{report}");
    assert!(
        stage.app.requests().len() < 20,
        "{}",
        stage.app.requests().len()
    );
}

/// Whatever speaks to the app: what it passes on is named, and what it leaves out
/// by itself is a number.
#[tokio::test]
async fn every_kind_of_plugin_is_audited() {
    let kinds: [(&str, &[u8]); 3] = [
        ("0.3", muster_test_plugins::handler_0_3()),
        ("0.2", muster_test_plugins::handler_0_2()),
        ("spin", muster_test_plugins::spin()),
    ];
    for (kind, component) in kinds {
        let files = tempfile::tempdir().expect("a directory");
        let file = files.path().join("plugin.wasm");
        std::fs::write(&file, component).expect("a file");
        let app = Arc::new(App::start().await);
        let setup = Setup::new().plugin(&file);
        let setup = setup.host(DOMAIN, ANYONE, &app.roster_url());
        let stage = Stage::around(app, &setup).await;
        disagree(&stage.app);
        let report = audit(&stage, r#"{"users":["john","marie"]}"#).await.json();
        assert_eq!(report["findings"], findings(), "{kind}: {report}");
    }
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

#[tokio::test]
async fn the_command_tells_it_as_text_and_as_json() {
    let app = Arc::new(App::start().await);
    disagree(&app);
    let process = Process::start(binary(), &Setup::for_app(&app)).await;
    let url = format!("http://{}", process.http());
    let command = async |arguments: &[&str]| {
        let server = ["--url", &url, "--token", TOKEN];
        let output = run(binary(), &[&["audit"], arguments, &server].concat()).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, told, complained) = command(&["john", "marie"]).await;
    assert_eq!(code, Some(1), "{complained}");
    let expected = [
        "john@example.test: has marie@example.test (both), who has john@example.test (from)",
        "marie@example.test: has zoe@example.test (both), who does not have marie@example.test",
        "john@example.test: has ghost@example.test, whom the app does not know",
        "john@example.test: has marie@example.test more than once: marie@example.test, MARIE@example.test",
        "john@example.test: has itself among its contacts: John@example.test",
        "john@example.test: \"marie@example.test/phone\" is no JID of a contact",
        "john@example.test: \"not a jid\" is no JID of a contact",
        "john@example.test: entries that are no contacts, left out: 1",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    assert!(
        complained.contains("4 users, 9 entries, 8 findings"),
        "{complained}"
    );

    let (code, told, _) = command(&["john", "marie", "--format", "json"]).await;
    let told: Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!(code, Some(1));
    assert_eq!(told["audits"][0]["findings"], findings());

    let (code, _, complained) = command(&["zoe"]).await;
    assert_eq!(code, Some(0), "{complained}");
    app.set_answer("zoe", Answer::Status(500));
    assert_eq!(command(&["zoe"]).await.0, Some(75));
    assert_eq!(command(&["--vhost", "nobody.test"]).await.0, Some(64));
}
