//! Row 63: what fails again and again is left alone for a while, and nobody
//! loses a session over it.

use muster_test_plugins::deed;
use muster_tests::app::{Answer, App};
use muster_tests::client::{Client, Mechanism, error_of};
use muster_tests::http::{self, Reply, exchange};
use muster_tests::muster::{ANYONE, Muster, Setup, Summary, TOKEN, post_refresh, refresh};
use muster_tests::within;
use serde_json::json;
use tempfile::TempDir;

/// A breaker that opens as by default and is never due again by itself.
const PATIENT: &str = "probe_interval = \"1h\"";
/// One that is due at the next call.
const IMPATIENT: &str = "probe_interval = \"1ms\"";

/// A host of which the app, or the plugin, fails.
struct Scene {
    domain: &'static str,
    app: App,
    muster: Muster,
    files: TempDir,
}

impl Scene {
    /// `domain` is nobody else's, since it is the label of the metrics; `plugin`
    /// is one of the deeds, or nothing for the built-in one.
    async fn new(domain: &'static str, plugin: Option<&str>, sections: &str) -> Scene {
        let app = App::start().await;
        let files = tempfile::tempdir().expect("a directory");
        let mut setup = Setup::new().with(sections);
        if let Some(plugin) = plugin {
            let path = files.path().join("plugin.wasm");
            std::fs::write(&path, deed(plugin)).expect("a file");
            setup = setup.plugin(&path);
        }
        let setup = setup.host(domain, ANYONE, &app.roster_url());
        Scene {
            domain,
            muster: Muster::start(&setup).await,
            app,
            files,
        }
    }

    async fn bound(&self, user: &str) -> Client {
        let jid = format!("{user}@{}", self.domain);
        Client::login(self.muster.xmpp(), &jid, "any", None, Mechanism::Plain).await
    }

    /// Why the roster of a new session cannot be had.
    async fn roster_error(&self, user: &str) -> String {
        let mut client = self.bound(user).await;
        let query = "<query xmlns='jabber:iq:roster'/>";
        let answer = client.iq("get", None, query).await;
        assert_eq!(answer.attr("type"), Some("error"), "{user}");
        client.leave().await;
        error_of(&answer)
    }

    async fn refresh(&self, users: &[&str]) -> Summary {
        refresh(self.muster.http(), self.domain, users).await
    }

    async fn ask(&self, method: &str, path: &str) -> Reply {
        let authorization = format!("Bearer {TOKEN}");
        let fields = [
            ("Host", self.domain),
            ("Authorization", authorization.as_str()),
        ];
        let request = http::request(method, path, &fields, b"");
        exchange(self.muster.http(), &request).await
    }

    async fn readyz(&self) -> String {
        let reply = self.ask("GET", "/readyz").await;
        assert_eq!(reply.status, 200, "logins go on");
        reply.text()
    }

    /// The value of a metric of this host's, of those with all of these labels.
    async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let vhost = format!("vhost=\"{}\"", self.domain);
        let all = self.ask("GET", "/metrics").await.text();
        let lines = all.lines().filter(|line| {
            let labelled = labels.iter().all(|label| line.contains(label));
            line.starts_with(&format!("{name}{{")) && line.contains(&vhost) && labelled
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    async fn state(&self, breaker: &str) -> f64 {
        let label = format!("breaker=\"{breaker}");
        self.metric("muster_breaker_state", &[&label]).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_traps_on_every_call_is_left_alone() {
    let breaker = format!("[limits.plugin.breaker]\n{PATIENT}");
    let scene = Scene::new("traps.test", Some("trap"), &breaker).await;
    let john = scene.bound("john").await;
    for user in ["a", "b", "c", "d", "e"] {
        assert_eq!(scene.roster_error(user).await, "wait/resource-constraint");
    }
    assert_eq!(scene.state("plugin:fetch").await, 1.0);
    let stores = scene.metric("muster_plugin_traps_total", &[]).await;
    // Nobody is kept from logging in, and the plugin is not asked any more.
    for user in ["f", "g"] {
        assert_eq!(scene.roster_error(user).await, "wait/resource-constraint");
    }
    assert_eq!(scene.metric("muster_plugin_traps_total", &[]).await, stores);
    let refused = scene
        .metric("muster_breaker_refused_total", &["fetch"])
        .await;
    assert_eq!(refused, 2.0);
    let open = ["outcome=\"circuit_open\""];
    assert_eq!(scene.metric("muster_plugin_calls_total", &open).await, 2.0);
    // What does work goes on: the export beside it, the session from before.
    assert_eq!(scene.refresh(&["john"]).await, Summary::new("error", 0, 1));
    let readyz = scene.readyz().await;
    assert!(
        readyz.starts_with("ready, degraded: circuit breakers open: 1"),
        "{readyz}"
    );
    john.leave().await;
}

/// The breaker does not wait for a probe to find out about another build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_mended_is_called_at_once() {
    let breaker = format!("[limits.plugin.breaker]\n{PATIENT}");
    let scene = Scene::new("mended.test", Some("trap"), &breaker).await;
    let mut john = scene.bound("john").await;
    for _ in 0..5 {
        scene.roster_error("marie").await;
    }
    assert_eq!(scene.state("plugin:fetch").await, 1.0);
    let file = scene.files.path().join("plugin.wasm");
    std::fs::write(file, deed("honest")).expect("a file");
    let reload = format!("/admin/plugins/{}/reload", scene.domain);
    let reloaded = scene.ask("POST", &reload).await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(scene.state("plugin:fetch").await, 0.0);
    // In the session that was there all the time.
    john.roster().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_a_plugin_that_traps_are_told_when_to_come_again() {
    let breaker = format!("[limits.plugin.breaker]\n{PATIENT}");
    let scene = Scene::new("traps-handle.test", Some("trap-handle"), &breaker).await;
    let post = || post_refresh(scene.muster.http(), scene.domain, b"[\"john\"]");
    for _ in 0..5 {
        assert_eq!(post().await.status, 502);
    }
    let refused = post().await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["status"], "error");
    assert_eq!(refused.header("retry-after"), Some("3600"));
    // Fetches have a breaker of their own.
    scene.bound("john").await.roster().await;
    // And so has the app, whose word is not the plugin's to hear.
    assert_eq!(scene.ask("POST", "/roster_admin/ping").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_down_is_not_asked_until_it_says_that_it_is_back() {
    let breaker = format!("[limits.backend.breaker]\n{PATIENT}");
    let scene = Scene::new("down.test", None, &breaker).await;
    let mut john = scene.bound("john").await;
    john.roster().await;
    john.available().await;
    let users: Vec<_> = (0..30).map(|n| format!("down{n}")).collect();
    for user in &users {
        scene.app.set_answer(user, Answer::Status(503));
        scene.roster_error(user).await;
        if scene.state("backend:").await == 1.0 {
            break;
        }
    }
    assert_eq!(scene.state("backend:").await, 1.0);
    let asked = scene.app.requests().len();
    let error = scene.roster_error("late").await;
    assert_eq!(error, "wait/remote-server-timeout");
    assert_eq!(scene.refresh(&["john"]).await, Summary::new("error", 0, 1));
    assert_eq!(scene.app.requests().len(), asked, "nobody asks");
    let readyz = scene.readyz().await;
    assert!(
        readyz.starts_with("ready, degraded: circuit breakers open: 1"),
        "{readyz}"
    );

    scene
        .app
        .set_contacts("john", json!({"marie@down.test": {}}));
    let back = scene.ask("POST", "/roster_admin/ping").await;
    assert_eq!(Summary::of(&back), Summary::new("ok", 0, 0));
    assert_eq!(
        back.json()["message"],
        "welcome back; circuit breakers closed: 1"
    );
    assert_eq!(scene.refresh(&["john"]).await, Summary::new("ok", 1, 0));
    john.push().await;
    assert_eq!(scene.readyz().await, "ready\n");
}

#[tokio::test]
async fn only_the_app_says_that_it_is_back() {
    let scene = Scene::new("ping.test", None, "").await;
    let get = scene.ask("GET", "/roster_admin/ping").await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let fields = [("Host", scene.domain), ("Authorization", "Bearer wrong")];
    let request = http::request("POST", "/roster_admin/ping", &fields, b"");
    assert_eq!(exchange(scene.muster.http(), &request).await.status, 401);
    let again = scene.ask("POST", "/roster_admin/ping").await;
    let message = "welcome back; circuit breakers closed: 0";
    assert_eq!(again.json()["message"], message);
    assert!(scene.app.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_recovers_is_found_by_a_probe() {
    let breaker = format!("[limits.backend.breaker]\n{IMPATIENT}");
    let scene = Scene::new("recovers.test", None, &breaker).await;
    scene.app.set_answer("john", Answer::Reset(Vec::new()));
    for _ in 0..5 {
        scene.roster_error("john").await;
    }
    let opened = ["backend:", "to=\"open\""];
    let transitions = "muster_breaker_transitions_total";
    assert!(scene.metric(transitions, &opened).await >= 1.0);
    scene.app.set_contacts("john", json!({}));
    scene.bound("john").await.roster().await;
    assert_eq!(scene.state("backend:").await, 0.0);
    let closed = ["backend:", "to=\"closed\""];
    assert_eq!(scene.metric(transitions, &closed).await, 1.0);
}

/// 60 users at once, of whom 18 fail at once: nobody else pays for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_of_failures_opens_nothing() {
    let breaker = format!("[limits.backend.breaker]\n{PATIENT}");
    let scene = Scene::new("third.test", None, &breaker).await;
    let users: Vec<_> = (0..60).map(|n| format!("user{n}")).collect();
    let mut clients = Vec::new();
    for user in &users {
        let mut client = scene.bound(user).await;
        client.roster().await;
        clients.push(client);
    }
    let names: Vec<_> = users.iter().map(String::as_str).collect();
    for round in 0..3 {
        for (number, user) in users.iter().enumerate() {
            let answer = match (number + round) % 10 {
                0 => Answer::Status(500),
                1 => Answer::Reset(Vec::new()),
                2 => Answer::Reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()),
                _ => Answer::no_contacts(),
            };
            scene.app.set_answer(user, answer);
        }
        let refreshed = within("the refresh", scene.refresh(&names)).await;
        assert_eq!(refreshed, Summary::new("ok", 42, 18), "round {round}");
    }
    assert_eq!(scene.state("backend:").await, 0.0);
}
