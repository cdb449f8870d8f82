//! Logs, at their most talkative: JSON that a program can read, and nobody's
//! contacts, passwords or tokens in it.

use std::path::Path;

use muster_tests::app::{Answer, App};
use muster_tests::client::{Client, Mechanism};
use muster_tests::http::{exchange, request};
use muster_tests::muster::{Setup, TOKEN, refresh};
use muster_tests::process::Process;
use muster_tests::stage::DOMAIN;
use serde_json::{Value, json};

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// What must be in no line.
const CONTACT: &str = "xanthippe@elsewhere.test";
const NAME: &str = "Xanthippe Quirk";
const GROUP: &str = "Zythologists";
const PASSWORD: &str = "plugh-7f3a";
const BODY: &str = "hic sunt dracones";
const WRONG: &str = "0ddba11-0ddba11-0ddba11";

/// A run in which each of them comes by, and things go wrong with them.
async fn run(level: &str) -> String {
    let app = App::start().await;
    app.set_password("john", PASSWORD);
    let contacts = json!({CONTACT: {"name": NAME, "groups": [GROUP]}});
    app.set_contacts("john", contacts.clone());
    let log = format!("[log]\nformat = \"json\"\nlevel = \"{level}\"");
    let auth = format!("kind = \"http\"\nurl = \"{}\"", app.auth_url());
    let setup = Setup::new()
        .host(DOMAIN, &auth, &app.roster_url())
        .with(&log);
    let mut process = Process::start(binary(), &setup).await;
    let account = format!("john@{DOMAIN}");
    let mut session =
        Client::login(process.xmpp(), &account, PASSWORD, None, Mechanism::Plain).await;
    session.roster().await;
    let mut stranger = Client::connect(process.xmpp(), DOMAIN).await;
    stranger.open().await;
    let refused = stranger
        .authenticate("john", &format!("{PASSWORD}x"), Mechanism::Plain)
        .await;
    assert!(refused.is_err());
    session
        .send(format!(
            "<message to='{CONTACT}'><body>{BODY}</body></message>"
        ))
        .await;
    session.settle().await;
    // A list that changes, one with entries that are none, and one that is none.
    let junk = json!({CONTACT: {"name": NAME, "subscription": "none"}, "": {"name": NAME}});
    for answer in [
        Answer::Contacts(junk),
        Answer::Body(format!("{{\"{CONTACT}\": [").into_bytes()),
        Answer::Status(500),
        Answer::Contacts(contacts),
    ] {
        app.set_answer("john", answer);
        refresh(process.http(), DOMAIN, &["john"]).await;
    }
    let token = format!("Bearer {TOKEN}");
    for (token, path) in [
        (format!("Bearer {WRONG}"), "/admin/plugins"),
        (token, "/roster_admin/rosters/john?dry_run"),
    ] {
        let fields = [("Host", DOMAIN), ("Authorization", token.as_str())];
        let body = json!({CONTACT: {"name": NAME}}).to_string();
        exchange(
            process.http(),
            &request("PUT", path, &fields, body.as_bytes()),
        )
        .await;
    }
    process.signal("TERM").await;
    process.exit().await;
    process.log()
}

#[tokio::test]
async fn no_line_has_contacts_credentials_or_bodies() {
    for level in [
        "info",
        "muster_server=trace,muster_plugin=trace,muster_xmpp=trace",
    ] {
        let log = run(level).await;
        assert!(log.contains("the roster could not be fetched"), "{log}");
        for secret in [
            CONTACT,
            "xanthippe",
            NAME,
            GROUP,
            PASSWORD,
            BODY,
            TOKEN,
            WRONG,
        ] {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret:?} at {level}");
        }
    }
}

#[tokio::test]
async fn every_line_is_an_object_that_says_where_it_belongs() {
    let log = run("debug").await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    for line in &lines {
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
        assert!(
            line["message"].is_string() && line["target"].is_string(),
            "{line}"
        );
    }
    // A line of a client's stream has the stream's fields with it.
    let failed = lines
        .iter()
        .find(|line| line["message"] == "a login failed");
    let failed = failed.expect("a line about it");
    assert_eq!(failed["span"]["name"], "stream", "{failed}");
    assert!(failed["span"]["peer"].is_string(), "{failed}");
    let fetched = lines
        .iter()
        .find(|line| line["message"] == "the app answered");
    let spans = fetched.expect("a line about it")["spans"].to_string();
    assert!(spans.contains("fetch"), "{spans}");
}
