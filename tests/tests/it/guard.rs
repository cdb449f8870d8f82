//! Row 55: a deploy of the app that suddenly answers `{}` for everybody. A few
//! are honoured, since nobody can know yet; from then on users keep what they
//! have until the answers recover or the operator says that they are meant.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_tests::app::{Answer, App};
use muster_tests::client::{Client, Mechanism};
use muster_tests::http::{Reply, exchange, request};
use muster_tests::muster::{Setup, TOKEN, admin_request};
use muster_tests::process::{Process, run};
use muster_tests::stage::{DOMAIN, Stage, item, items};
use muster_tests::within;
use serde_json::{Map, Value, json};

/// Three users may lose their contacts, and who does is asked for again soon.
const GUARD: &str = "[virtual_host.guard]\nmin_users = 3\nwindow = \"30s\"\n";
const SOON: &str = "[limits.refresh]\nrecovery_interval = \"50ms\"";
const NAMES: [&str; 10] = [
    "ada", "bob", "cleo", "dora", "emil", "finn", "gina", "hugo", "ida", "john",
];

fn setup(app: &App) -> Setup {
    Setup::for_app(app).with_host_sections(GUARD).with(SOON)
}

/// Ten users who are each other's contacts, and are there.
struct Crowd {
    stage: Stage,
    clients: Vec<Client>,
}

impl Crowd {
    async fn assemble() -> Crowd {
        let app = Arc::new(App::start().await);
        let setup = setup(&app);
        let stage = Stage::around(app, &setup).await;
        stage.befriend(&NAMES);
        let mut clients = Vec::new();
        for name in NAMES {
            clients.push(stage.online(name).await);
        }
        for client in &mut clients {
            // The presence of those who came later.
            client.settle().await;
        }
        Crowd { stage, clients }
    }

    async fn refresh(&self, target: &str) -> Value {
        let body = json!(NAMES).to_string();
        let json = [("Content-Type", "application/json")];
        let request = admin_request(DOMAIN, ("POST", target), &json, body.as_bytes());
        exchange(self.stage.http(), &request).await.json()
    }

    /// How many contacts each of them sees.
    async fn seen(&mut self) -> Vec<usize> {
        let mut seen = Vec::new();
        for client in &mut self.clients {
            seen.push(items(&client.roster().await).len());
        }
        seen
    }

    async fn until_seen(&mut self, expected: usize) {
        within("the rosters to be as they should", async {
            while self.seen().await.iter().any(|seen| *seen != expected) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    async fn order(&self, method: &str, path: &str) -> Value {
        let reply = ask(self.stage.http(), method, path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    async fn guard(&self) -> Value {
        self.order("GET", &format!("/admin/guards/{DOMAIN}")).await
    }
}

async fn ask(http: std::net::SocketAddr, method: &str, path: &str) -> Reply {
    let authorization = format!("Bearer {TOKEN}");
    let fields = [("Authorization", authorization.as_str())];
    exchange(http, &request(method, path, &fields, b"")).await
}

fn empty() -> Answer {
    Answer::Contacts(json!({}))
}

fn of_outcome<'a>(told: &'a Value, outcome: &str) -> Vec<&'a Value> {
    let users = told["users"].as_array().expect("users");
    users.iter().filter(|it| it["outcome"] == outcome).collect()
}

#[tokio::test]
async fn a_bad_deploy_empties_a_few_and_the_operator_decides() {
    let mut crowd = Crowd::assemble().await;
    let stage = crowd.stage.clone();
    stage.contacts("zoe", json!({"marie@example.test": {}}));
    stage.online("zoe").await.leave().await;
    stage.until_offline("zoe").await;
    assert_eq!(crowd.guard().await["state"], "watching");
    stage.app.set_outage(Some(empty()));
    // Boxed, since one test's stack is not enough for all of it.
    Box::pin(a_few_are_emptied(&mut crowd)).await;
    let zoe = Box::pin(whoever_comes_is_treated_alike(&stage)).await;
    Box::pin(the_alarm_is_given(&crowd)).await;
    Box::pin(an_ordinary_change_passes(&crowd, zoe)).await;
    Box::pin(a_release_lets_it_through(&mut crowd)).await;
}

async fn a_few_are_emptied(crowd: &mut Crowd) {
    let told = crowd.refresh("refresh?details").await;
    assert_eq!((&told["updated"], &told["errors"]), (&3.into(), &7.into()));
    assert_eq!(of_outcome(&told, "updated").len(), 3);
    let held = of_outcome(&told, "held");
    assert_eq!(held.len(), 7, "{told}");
    assert_eq!(held[0]["error"]["class"], "held");
    assert_eq!(held[0]["error"]["temporary"], true);
    let mut seen = crowd.seen().await;
    seen.sort_unstable();
    assert_eq!(seen, [0, 0, 0, 9, 9, 9, 9, 9, 9, 9]);
}

/// Who comes now sees the last known roster; who never was here, what the app
/// says.
async fn whoever_comes_is_treated_alike(stage: &Stage) -> Client {
    let mut zoe = stage.bound("zoe").await;
    assert_eq!(items(&zoe.roster().await), ["marie@example.test both"]);
    let mut new = stage.bound("new").await;
    assert!(items(&new.roster().await).is_empty());
    new.leave().await;
    zoe
}

async fn the_alarm_is_given(crowd: &Crowd) {
    let guard = crowd.guard().await;
    let told = (&guard["state"], &guard["held"], &guard["trips"]);
    assert_eq!(told, (&"holding".into(), &8.into(), &1.into()), "{guard}");
    let http = crowd.stage.http();
    let ready = exchange(http, &request("GET", "/readyz", &[], b"")).await;
    let degraded = "ready, degraded: guards that hold removals: 1\n";
    assert_eq!((ready.status, ready.text().as_str()), (200, degraded));
}

/// An ordinary change is none of the guard's business, and lifts nobody else's
/// hold.
async fn an_ordinary_change_passes(crowd: &Crowd, mut zoe: Client) {
    let stage = &crowd.stage;
    for name in NAMES {
        stage.contacts(name, json!({}));
    }
    stage.contacts("zoe", json!({"marie@example.test": {"name": "Marie"}}));
    stage.app.set_outage(None);
    stage.refreshed(&["zoe"]).await;
    assert_eq!(item(&zoe.push().await), "marie@example.test both \"Marie\"");
    assert_eq!(crowd.guard().await["state"], "holding");
}

async fn a_release_lets_it_through(crowd: &mut Crowd) {
    let release = format!("/admin/guards/{DOMAIN}/release");
    let released = crowd.order("POST", &release).await;
    assert_eq!(released["guard"]["state"], "released", "{released}");
    crowd.until_seen(0).await;
    within("nothing to be held", async {
        while crowd.guard().await["held"] != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let arm = format!("/admin/guards/{DOMAIN}/arm");
    assert_eq!(
        crowd.order("POST", &arm).await["guard"]["state"],
        "watching"
    );
}

#[tokio::test]
async fn answers_that_recover_end_it() {
    let mut crowd = Crowd::assemble().await;
    crowd.stage.app.set_outage(Some(empty()));
    crowd.refresh("refresh").await;
    assert_eq!(crowd.guard().await["state"], "holding");
    crowd.stage.app.set_outage(None);
    // Those who were emptied before anybody could know as well.
    crowd.until_seen(9).await;
    within("the guard to close", async {
        while crowd.guard().await["state"] != "watching" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let guard = crowd.guard().await;
    assert_eq!((&guard["held"], &guard["drained"]), (&0.into(), &0.into()));
}

/// A user who is gone from the app for everybody's list is the same fault.
#[tokio::test]
async fn that_nobody_is_known_any_more_is_held_as_well() {
    let crowd = Crowd::assemble().await;
    crowd.stage.app.set_outage(Some(Answer::Status(404)));
    let told = crowd.refresh("refresh?details").await;
    assert_eq!(of_outcome(&told, "not-found").len(), 3, "{told}");
    let held: Vec<String> = of_outcome(&told, "held")
        .iter()
        .map(|user| user["username"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(held.len(), 7);
    let stage = crowd.stage.clone();
    for client in crowd.clients {
        client.leave().await;
    }
    let name = held[0].as_str();
    stage.until_offline(name).await;
    let mut again = stage.bound(name).await;
    assert_eq!(items(&again.roster().await).len(), 9, "the last known one");
}

#[tokio::test]
async fn a_single_user_is_emptied_at_once() {
    let stage = Stage::shared().await;
    let many: Map<String, Value> = (0..50)
        .map(|number| (format!("contact{number}@example.test"), json!({})))
        .collect();
    for _ in 0..2 {
        stage.contacts("john", Value::Object(many.clone()));
        let mut john = stage.online("john").await;
        assert_eq!(items(&john.roster().await).len(), 50);
        stage.contacts("john", json!({}));
        stage.refreshed(&["john"]).await;
        for _ in 0..50 {
            john.push().await;
        }
        assert!(items(&john.roster().await).is_empty());
        john.leave().await;
        stage.until_offline("john").await;
    }
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_held() {
    let mut crowd = Crowd::assemble().await;
    crowd.stage.app.set_outage(Some(empty()));
    for _ in 0..2 {
        let told = crowd.refresh("refresh?dry_run").await;
        assert_eq!(of_outcome(&told, "updated").len(), 3, "{told}");
        let held = of_outcome(&told, "held");
        assert_eq!(held.len(), 7);
        let removed = held[0]["contacts"]["removed"].as_array();
        assert_eq!(removed.map(Vec::len), Some(9));
    }
    assert_eq!(crowd.guard().await["drained"], 0);
    assert_eq!(crowd.seen().await, [9; 10]);
}

#[tokio::test]
async fn what_is_handed_in_is_held_as_well() {
    let mut crowd = Crowd::assemble().await;
    let http = crowd.stage.http();
    let json_ = [("Content-Type", "application/json")];
    let put = |rosters: Map<String, Value>| {
        let body = Value::Object(rosters).to_string();
        admin_request(DOMAIN, ("PUT", "rosters?details"), &json_, body.as_bytes())
    };
    let rosters = NAMES.map(|name| (name.to_owned(), json!({})));
    let told = exchange(http, &put(rosters.into_iter().collect()))
        .await
        .json();
    assert_eq!((&told["updated"], &told["errors"]), (&3.into(), &7.into()));
    // The app is asked again by itself, and says what it always said.
    crowd.until_seen(9).await;

    // What is kept for those who are not there is not emptied either.
    let held = of_outcome(&told, "held")[0]["username"].clone();
    let held = held.as_str().expect("a name");
    let place = NAMES
        .iter()
        .position(|name| *name == held)
        .expect("one of them");
    crowd.clients.remove(place).leave().await;
    crowd.stage.until_offline(held).await;
    let others = NAMES.iter().filter(|name| **name != held);
    let rosters: Map<String, Value> = others
        .chain([&held])
        .map(|name| ((*name).to_owned(), json!({})))
        .collect();
    let told = exchange(http, &put(rosters)).await.json();
    assert!(of_outcome(&told, "held").len() >= 6, "{told}");
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

async fn login(process: &Process, name: &str) -> Client {
    let account = format!("{name}@{DOMAIN}");
    Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain).await
}

async fn command(process: &Process, arguments: &[&str]) -> (Option<i32>, String) {
    let url = format!("http://{}", process.http());
    let server = ["--url", &url, "--token", TOKEN];
    let output = run(binary(), &[&["guard"], arguments, &server].concat()).await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), told)
}

/// A bad deploy, and the server is restarted in the middle of it: what was
/// written before is what the answers are compared with.
#[tokio::test]
async fn after_a_kill_the_kept_rosters_are_compared_with() {
    let app = App::start().await;
    let contacts = json!({"marie@example.test": {}, "zoe@example.test": {}});
    app.set_default_contacts(contacts);
    let mut process = Process::start(binary(), &setup(&app)).await;
    for name in NAMES {
        let mut client = login(&process, name).await;
        client.roster().await;
        client.leave().await;
    }
    let kept = "muster_rosters_kept_total{outcome=\"kept\"} 10";
    within("rosters to be kept", async {
        while !metrics(&process).await.contains(kept) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    app.set_default_contacts(json!({}));
    process.kill().await;
    process.restart(binary()).await;
    let mut clients = Vec::new();
    let mut seen = Vec::new();
    for name in NAMES {
        let mut client = login(&process, name).await;
        seen.push(items(&client.roster().await).len());
        clients.push(client);
    }
    assert_eq!(seen, [0, 0, 0, 2, 2, 2, 2, 2, 2, 2]);
    assert!(process.log().contains("muster guard release"));
    assert!(
        metrics(&process)
            .await
            .contains("muster_guard_holding{vhost=\"example.test\"} 1")
    );

    let (code, told) = command(&process, &["status"]).await;
    assert_eq!(code, Some(0));
    assert!(
        told.contains("holding") && told.contains("of 3 let pass"),
        "{told}"
    );
    let (code, told) = command(&process, &["release", DOMAIN, "--json"]).await;
    let told: Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!((code, &told["guards"][0]["asked"]), (Some(0), &7.into()));
    for client in &mut clients[3..] {
        for _ in 0..2 {
            client.push().await;
        }
    }
    let (code, _) = command(&process, &["status", "nobody.test"]).await;
    assert_eq!(code, Some(64));
    let (_, told) = command(&process, &["arm"]).await;
    assert_eq!(told, "example.test: the guard watches\n");
}

async fn metrics(process: &Process) -> String {
    ask(process.http(), "GET", "/metrics").await.text()
}
