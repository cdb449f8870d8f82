//! Any `wasi:http` handler as the plugin of a virtual host: rosters, pushes and
//! all that a refresh can be asked for, as with a plugin that speaks the
//! contract.

use std::path::PathBuf;
use std::sync::Arc;

use muster_tests::app::{Answer, App};
use muster_tests::client::is_push;
use muster_tests::http::{Reply, exchange};
use muster_tests::muster::{ANYONE, PLUGIN, Setup, Summary, admin_request, post_refresh};
use muster_tests::process::run;
use muster_tests::stage::{DOMAIN, Stage, items};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The kinds beside the contract: the words of `muster plugin inspect`, and a
/// component of each.
fn handlers() -> [(&'static str, &'static str, &'static [u8]); 2] {
    [
        (
            "wasi-http-0.3",
            "wasi:http 0.3 handler",
            muster_test_plugins::handler_0_3(),
        ),
        (
            "wasi-http-0.2",
            "wasi:http 0.2 handler",
            muster_test_plugins::handler_0_2(),
        ),
    ]
}

/// A host whose plugin is this component.
async fn stage(component: &[u8]) -> (Stage, TempDir) {
    let (path, files) = file(component);
    let app = Arc::new(App::start().await);
    let setup = Setup::new().plugin(&path);
    let setup = setup.host(DOMAIN, ANYONE, &app.roster_url());
    (Stage::around(app, &setup).await, files)
}

fn file(component: &[u8]) -> (PathBuf, TempDir) {
    let files = tempfile::tempdir().expect("a directory");
    let path = files.path().join("plugin.wasm");
    std::fs::write(&path, component).expect("a file");
    (path, files)
}

async fn ask(stage: &Stage, path: &str, fields: &[(&str, &str)], body: &Value) -> Reply {
    let body = body.to_string();
    let fields = [fields, &[("Content-Type", "application/json")]].concat();
    let request = admin_request(DOMAIN, ("POST", path), &fields, body.as_bytes());
    exchange(stage.http(), &request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_serves_rosters_and_refreshes() {
    for (_, kind, component) in handlers() {
        let (stage, _files) = stage(component).await;
        stage.contacts(
            "john",
            json!({ "marie": { "name": "Marie", "groups": ["Friends"] } }),
        );
        let mut john = stage.bound("john").await;
        let roster = john.roster().await;
        let marie = stage.jid("marie");
        assert_eq!(
            items(&roster),
            [format!("{marie} both \"Marie\" [\"Friends\"]")],
            "{kind}"
        );

        stage.contacts("john", json!({ "marie": { "name": "Mary" } }));
        let tried = ask(
            &stage,
            "refresh?dry_run=true",
            &[],
            &json!([stage.user("john")]),
        )
        .await;
        let tried = tried.json();
        assert_eq!(tried["users"][0]["changed"], 1, "{kind}: {tried}");
        assert_eq!(
            tried["users"][0]["contacts"]["changed"],
            json!([marie]),
            "{kind}"
        );

        stage.refreshed(&["john", "marie"]).await;
        let push = john.expect("a push", is_push).await;
        assert_eq!(items(&push), [format!("{marie} both \"Mary\"")], "{kind}");

        stage.answer("john", Answer::Status(404));
        let path = format!("refresh/{}?details=true", stage.user("john"));
        let told = ask(&stage, &path, &[], &Value::Null).await.json();
        assert_eq!(told["users"][0]["outcome"], "not-found", "{kind}: {told}");
        assert_eq!(told["errors"], 1, "{kind}: {told}");

        let empty = post_refresh(stage.http(), DOMAIN, b"[]").await;
        assert_eq!(Summary::of(&empty), Summary::new("ok", 0, 0), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_answers_for_itself_and_a_wish_can_become_a_job() {
    for (_, kind, component) in handlers() {
        let (stage, _files) = stage(component).await;
        let answer = ask(&stage, "no", &[], &Value::Null).await;
        assert_eq!(
            (answer.status, answer.text()),
            (422, "no".to_owned()),
            "{kind}"
        );
        for (path, status) in [("no-list", 502), ("trap", 502), ("unknown", 404)] {
            let answer = ask(&stage, path, &[], &Value::Null).await;
            assert_eq!(answer.status, status, "{kind}: {path}: {}", answer.text());
        }
        // Who asks for what is malformed is told by whoever reads it.
        let malformed = post_refresh(stage.http(), DOMAIN, b"{").await;
        assert_eq!(malformed.status, 502, "{kind}");

        let _john = stage.online("john").await;
        let john = json!([stage.user("john")]);
        let fields = [("Prefer", "respond-async"), ("Idempotency-Key", "once")];
        let accepted = ask(&stage, "refresh", &fields, &john).await;
        assert_eq!(accepted.status, 202, "{kind}: {}", accepted.text());
        let again = ask(&stage, "refresh", &fields, &john).await;
        assert_eq!(again.json()["job"], accepted.json()["job"], "{kind}");
    }
}

/// Whatever kind reads them, and by whichever interface.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_operator_reach_the_plugin() {
    for (_, kind, component) in handlers() {
        let (path, files) = file(component);
        let secret = files.path().join("webhook.secret");
        std::fs::write(&secret, "hunter2\n").expect("a file");
        let app = Arc::new(App::start().await);
        let sections = format!(
            "[virtual_host.plugin.settings]\npage_size = \"100\"\nsecret = {{ file = {secret:?} }}\n"
        );
        let setup = Setup::new().plugin(&path);
        let setup = setup.host(DOMAIN, ANYONE, &app.roster_url());
        let stage = Stage::around(app, &setup.with_host_sections(&sections)).await;
        for (name, value) in [
            ("page_size", "100"),
            ("secret", "hunter2"),
            ("domain", DOMAIN),
            ("max_names", "10000"),
        ] {
            let told = ask(&stage, &format!("setting/{name}"), &[], &Value::Null).await;
            assert_eq!(
                (told.status, told.text()),
                (200, value.to_owned()),
                "{kind}: {name}"
            );
        }
        let told = ask(&stage, "setting/other", &[], &Value::Null).await;
        assert_eq!(told.status, 404, "{kind}");
    }
}

/// The tests of the built-in plugin, in a process of their own that has the
/// component of the Spin SDK in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spin_build_passes_the_tests_of_the_built_in_plugin() {
    let (path, _files) = file(muster_test_plugins::spin());
    let mut tests = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    tests
        .args(OF_THE_BUILT_IN)
        .env(PLUGIN, &path)
        .kill_on_drop(true);
    let done = tests.output().await.expect("the tests run");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}");
    let passed = said.matches(" ... ok\n").count();
    assert!(passed > 50, "only {passed} tests ran:\n{said}");
}

/// Modules whose tests ask the app by the plugin that they are given.
const OF_THE_BUILT_IN: [&str; 8] = [
    "backend::",
    "document::",
    "predecessor::",
    "refresh::",
    "refresh_details::",
    "roster::",
    "roster_push::",
    "url::",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspect_and_validate_tell_the_kind() {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_muster-under-test"));
    for (word, kind, component) in handlers() {
        let (path, _files) = file(component);
        let path = path.to_str().expect("UTF-8");
        let told = run(&binary, &["plugin", "inspect", path]).await;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.contains(&format!("kind        {kind}\n")), "{told}");
        assert!(told.contains("verdict     accepted"), "{told}");
        let told = run(&binary, &["plugin", "inspect", path, "--json"]).await;
        let told: Value = serde_json::from_slice(&told.stdout).expect("one JSON object");
        assert_eq!(
            (&told["kind"], &told["contract"]),
            (&word.into(), &Value::Null)
        );
        let valid = run(&binary, &["plugin", "validate", path]).await;
        let said = String::from_utf8_lossy(&valid.stdout).into_owned();
        assert_eq!(said, format!("{path}: ok, {kind}\n"));
    }
}
