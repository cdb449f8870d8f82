//! `/admin/…`: what an operator asks and orders by HTTP.

use muster_test_plugins::{deed, marked};
use muster_tests::app::App;
use muster_tests::client::{Client, Mechanism};
use muster_tests::http::{self, Reply, exchange};
use muster_tests::muster::{ANYONE, Muster, Setup, TOKEN};
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

/// A host with two virtual hosts: one with the built-in plugin, one with a file.
struct Desk {
    muster: Muster,
    plugin: PathBuf,
    _app: App,
    _files: TempDir,
}

const BUILTIN: &str = "builtin.test";
const FILE: &str = "file.test";

impl Desk {
    async fn new() -> Desk {
        let app = App::start().await;
        let files = tempfile::tempdir().expect("a directory");
        let plugin = files.path().join("plugin.wasm");
        std::fs::write(&plugin, deed("honest")).expect("a file");
        // Nothing is taken unless it is asked for.
        let manual = "[virtual_host.plugin]\nreload = \"manual\"\n";
        let setup = Setup::new()
            .host(BUILTIN, ANYONE, &app.roster_url())
            .plugin(&plugin)
            .host(FILE, ANYONE, &app.roster_url())
            .with_host_sections(manual);
        Desk {
            muster: Muster::start(&setup).await,
            plugin,
            _app: app,
            _files: files,
        }
    }

    async fn ask_with(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let request = http::request(method, path, fields, b"");
        exchange(self.muster.http(), &request).await
    }

    async fn ask(&self, method: &str, path: &str) -> Reply {
        let authorization = format!("Bearer {TOKEN}");
        self.ask_with(method, path, &[("Authorization", &authorization)])
            .await
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.ask("GET", path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let kind = reply.header("content-type");
        assert_eq!(kind, Some("application/json"), "{path}");
        reply.json()
    }

    async fn order(&self, order: &str) -> (u16, Value) {
        let reply = self
            .ask("POST", &format!("/admin/plugins/{FILE}/{order}"))
            .await;
        (reply.status, reply.json())
    }
}

/// The members of an object, in the order of the alphabet.
fn members(value: &Value) -> Vec<&str> {
    let members = value.as_object().expect("an object").keys();
    members.map(String::as_str).collect()
}

#[tokio::test]
async fn nothing_is_said_or_done_without_the_token() {
    let desk = Desk::new().await;
    let mut answers = Vec::new();
    for authorization in [None, Some("Bearer wrong"), Some("Basic x")] {
        for (method, path) in [
            ("GET", "/admin"),
            ("GET", "/admin/plugins"),
            ("GET", "/admin/plugins/nobody.test"),
            ("PUT", "/admin/plugins"),
            ("POST", "/admin/plugins/file.test/reload"),
            ("POST", "/admin/plugins/file.test/rollback"),
            ("POST", "/admin/backends/file.test/reset"),
            ("OPTIONS", "/admin/plugins"),
            ("GET", "/admin/anything/else"),
        ] {
            let fields: Vec<_> = authorization
                .map(|it| ("Authorization", it))
                .into_iter()
                .chain([("Origin", "https://evil.example")])
                .collect();
            let reply = desk.ask_with(method, path, &fields).await;
            assert_eq!(reply.status, 401, "{method} {path}");
            assert!(reply.header("www-authenticate").is_some());
            assert_eq!(reply.header("access-control-allow-origin"), None);
            answers.push(reply.body);
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn a_wrong_path_method_or_host_is_told() {
    let desk = Desk::new().await;
    for (method, path, allow) in [
        ("POST", "/admin/plugins", "GET,HEAD"),
        ("GET", "/admin/plugins/file.test/reload", "POST"),
        ("DELETE", "/admin/plugins/file.test", "GET,HEAD"),
        ("GET", "/admin/backends/file.test/reset", "POST"),
    ] {
        let reply = desk.ask(method, path).await;
        assert_eq!(reply.status, 405, "{method} {path}");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    assert_eq!(desk.ask("GET", "/admin/unknown").await.status, 404);
    for (method, path) in [
        ("GET", "/admin/plugins/nobody.test"),
        ("POST", "/admin/plugins/nobody.test/reload"),
        ("POST", "/admin/plugins/a%2Fb/rollback"),
        ("POST", "/admin/backends/nobody.test/reset"),
    ] {
        let reply = desk.ask(method, path).await;
        assert_eq!(reply.status, 404, "{method} {path}");
        let told = reply.json();
        assert_eq!(told["reason"], "unknown_virtual_host", "{told}");
        assert_eq!(told["virtual_hosts"][0], BUILTIN);
        assert_eq!(told["virtual_hosts"][1], FILE);
    }
}

#[tokio::test]
async fn the_plugins_and_the_apps_are_told() {
    let desk = Desk::new().await;
    let jid = format!("john@{FILE}");
    let mut john = Client::login(desk.muster.xmpp(), &jid, "any", None, Mechanism::Plain).await;
    john.roster().await;
    let all = desk.get("/admin/plugins").await;
    let of_file = desk.get(&format!("/admin/plugins/{FILE}")).await;
    assert_eq!(all["plugins"][0]["virtual_host"], BUILTIN);
    assert_eq!(all["plugins"][0]["source"], "builtin");
    assert_eq!(all["plugins"][1]["sha256"], of_file["sha256"]);
    let expected = [
        "breakers",
        "bytes",
        "calls",
        "contract",
        "draining",
        "faults",
        "generation",
        "kind",
        "last_refusal",
        "last_rollback",
        "phase",
        "previous",
        "probation",
        "serving_seconds",
        "sha256",
        "source",
        "virtual_host",
    ];
    assert_eq!(members(&of_file), expected);
    assert_eq!(of_file["source"], desk.plugin.to_str().expect("UTF-8"));
    assert_eq!(of_file["kind"], "typed contract 0.1.0");
    assert_eq!(of_file["contract"], "muster:roster@0.1.0");
    assert_eq!(
        (&of_file["calls"], &of_file["faults"]),
        (&1.into(), &0.into())
    );
    assert_eq!(of_file["phase"], "serving");
    assert_eq!(of_file["breakers"][0]["name"], "plugin:fetch");
    assert_eq!(of_file["breakers"][0]["state"], "closed");

    let backends = desk.get("/admin/backends").await;
    let breaker = &backends["backends"][1]["breakers"][0];
    let expected = [
        "calls",
        "failures",
        "name",
        "next_probe_seconds",
        "refused",
        "state",
        "state_seconds",
    ];
    assert_eq!(members(breaker), expected);
    let name = breaker["name"].as_str().expect("a name");
    assert!(name.starts_with("backend:http://127.0.0.1:"), "{name}");
    let one = desk.get(&format!("/admin/backends/{FILE}")).await;
    assert_eq!(one["virtual_host"], FILE);

    let reset = format!("/admin/backends/{FILE}/reset");
    let reset = desk.ask("POST", &reset).await.json();
    assert_eq!(
        (&reset["status"], &reset["closed"]),
        (&"ok".into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_rolled_out_and_back() {
    let desk = Desk::new().await;
    let first = desk.get(&format!("/admin/plugins/{FILE}")).await;
    let (status, told) = desk.order("rollback").await;
    assert_eq!((status, &told["reason"]), (409, &"no_previous".into()));
    let (status, told) = desk.order("reload").await;
    assert_eq!((status, &told["outcome"]), (200, &"unchanged".into()));

    std::fs::write(&desk.plugin, marked(&deed("honest"), 2)).expect("a file");
    let (status, told) = desk.order("reload").await;
    assert_eq!(
        (status, &told["outcome"]),
        (200, &"swapped".into()),
        "{told}"
    );
    assert_ne!(told["plugin"]["sha256"], first["sha256"]);
    assert_eq!(told["plugin"]["previous"]["sha256"], first["sha256"]);
    assert_eq!(told["plugin"]["phase"], "probation");

    let (status, told) = desk.order("rollback").await;
    assert_eq!((status, &told["outcome"]), (200, &"rolled_back".into()));
    assert_eq!(told["plugin"]["sha256"], first["sha256"]);
    assert_eq!(told["plugin"]["last_rollback"]["cause"], "operator");

    std::fs::write(&desk.plugin, b"no plugin").expect("a file");
    let (status, told) = desk.order("reload").await;
    assert_eq!(
        (status, &told["reason"]),
        (422, &"not_wasm".into()),
        "{told}"
    );
    for text in ["message", "remedy"] {
        assert!(told[text].as_str().is_some_and(|text| !text.is_empty()));
    }
    let after = desk.get(&format!("/admin/plugins/{FILE}")).await;
    assert_eq!(after["sha256"], first["sha256"], "the old one serves");
    assert_eq!(after["last_refusal"]["reason"], "not_wasm");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reloads_at_once_are_one_and_a_conflict() {
    let desk = Desk::new().await;
    let big = marked(&deed("honest"), 7);
    std::fs::write(&desk.plugin, big).expect("a file");
    let orders = (0..8).map(|_| desk.order("reload"));
    let answers = futures_util::future::join_all(orders).await;
    let count = |status| answers.iter().filter(|(it, _)| *it == status).count();
    assert_eq!(count(200) + count(409), 8, "{answers:?}");
    assert!(count(409) > 0, "compiling takes longer than asking");
    let swapped = |told: &Value| told["outcome"] == "swapped";
    let swaps = answers.iter().filter(|(_, told)| swapped(told)).count();
    assert_eq!(swaps, 1);
    let busy = answers.iter().find(|(status, _)| *status == 409);
    assert_eq!(busy.expect("one").1["reason"], "busy");
}
