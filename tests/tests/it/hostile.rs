//! Two hundred bystanders talk while the host is thrown at; none is
//! disconnected, none misses a message (the clause at the head of every row).

use muster_tests::PATIENCE;
use muster_tests::app::Answer;
use muster_tests::bystanders::Bystanders;
use muster_tests::client::{Client, Mechanism, header};
use muster_tests::http::{Connection, exchange, request};
use muster_tests::muster::{TOKEN, post_refresh};
use muster_tests::stage::{DOMAIN, Stage};
use serde_json::json;
use std::time::Duration;

/// What is thrown before the login.
fn before_auth() -> Vec<(&'static str, String)> {
    let open = header(DOMAIN);
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>";
    vec![
        (
            "laughs",
            format!(
                "<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a \"{}\">]>{open}",
                "lol".repeat(1_000)
            ),
        ),
        ("nesting", format!("{open}{}", "<a>".repeat(87_000))),
        (
            "nesting in auth",
            format!("{open}{auth}{}", "<a>".repeat(87_000)),
        ),
        (
            "attributes",
            open.replace(
                " version",
                &format!(
                    "{} version",
                    (0..20_000).map(|n| format!(" a{n}=''")).collect::<String>()
                ),
            ),
        ),
        (
            "a megabyte of base64",
            format!("{open}{auth}{}", "A".repeat(1 << 20)),
        ),
        ("no XML", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("bytes", "\u{0}\u{1}\u{2}".repeat(10_000)),
        (
            "stanzas too early",
            format!(
                "{open}{}",
                "<message to='bystander0a@example.test'/>".repeat(1_000)
            ),
        ),
    ]
}

/// What is thrown by somebody who has logged in.
fn after_auth() -> Vec<(&'static str, String)> {
    vec![
        ("nesting", format!("<message>{}", "<a>".repeat(37_000))),
        (
            "nesting, closed",
            format!(
                "<message>{}{}</message>",
                "<a>".repeat(37_000),
                "</a>".repeat(37_000)
            ),
        ),
        (
            "attributes",
            format!(
                "<message{}/>",
                (0..20_000).map(|n| format!(" a{n}=''")).collect::<String>()
            ),
        ),
        (
            "declarations",
            format!(
                "<message{}/>",
                (0..10_000)
                    .map(|n| format!(" xmlns:n{n}='u:{n}'"))
                    .collect::<String>()
            ),
        ),
        (
            "children",
            format!("<message>{}</message>", "<a/>".repeat(5_000)),
        ),
        (
            "a body without end",
            format!("<message><body>{}", "x".repeat(300 << 10)),
        ),
        ("broken tags", "<message><body></message>".to_owned()),
        (
            "an undeclared prefix",
            "<message><p:a/></message>".to_owned(),
        ),
        ("a processing instruction", "<?evil?>".to_owned()),
        ("an unknown element", "<evil/>".to_owned()),
    ]
}

/// Sends `bytes` and reads until the host closes the connection.
async fn throw(client: &mut Client, what: &str, bytes: &str) {
    client.send(bytes).await;
    let closed =
        async { while !matches!(client.receive().await, muster_tests::client::Received::End) {} };
    assert!(
        tokio::time::timeout(PATIENCE, closed).await.is_ok(),
        "{what} does not end the stream"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_bystanders_notice_nothing() {
    let stage = Stage::own("[limits.backend]\ntimeout = \"500ms\"").await;
    let bystanders = Bystanders::assemble(&stage, 200).await;
    for (what, bytes) in before_auth() {
        let mut client = stage.connect().await;
        throw(&mut client, what, &bytes).await;
    }
    for (what, bytes) in after_auth() {
        let mut client = Client::login(
            stage.xmpp(),
            &stage.jid("attacker"),
            "x",
            None,
            Mechanism::Plain,
        )
        .await;
        throw(&mut client, what, &bytes).await;
    }
    abuse_http(&stage).await;
    abuse_the_app(&stage).await;
    assert_counted(&stage).await;
    let p99 = bystanders.dismiss().await;
    // 100 ms are promised of a release build with cores to itself; here every
    // test of the binary runs at the same time.
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
}

/// Every fault has a metric that names it.
async fn assert_counted(stage: &Stage) {
    let authorization = format!("Bearer {TOKEN}");
    let scrape = request("GET", "/metrics", &[("Authorization", &authorization)], b"");
    let metrics = exchange(stage.http(), &scrape).await.text();
    for condition in [
        "policy-violation",
        "not-well-formed",
        "restricted-xml",
        "not-authorized",
        "unsupported-stanza-type",
    ] {
        let label = format!("condition=\"{condition}\"");
        assert!(metrics.contains(&label), "{condition} in {metrics}");
    }
}

async fn abuse_http(stage: &Stage) {
    let deep = "[".repeat(1_000_000);
    for body in [deep.as_str(), "null", "{\"a\"", "[1]"] {
        assert_eq!(
            post_refresh(stage.http(), DOMAIN, body.as_bytes())
                .await
                .status,
            400
        );
    }
    for bytes in [
        format!(
            "POST /roster_admin/refresh HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\n["
        ),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)),
        "\u{16}\u{3}\u{1}".repeat(100),
    ] {
        let mut caller = Connection::open(stage.http()).await;
        caller.send(bytes.as_bytes()).await;
        let reply = caller.reply().await;
        assert!(reply.is_none_or(|reply| (400..500).contains(&reply.status)));
    }
}

async fn abuse_the_app(stage: &Stage) {
    let _john = stage.online("john").await;
    let wide = (0..20_000)
        .map(|n| (format!("c{n}@example.test"), json!({})))
        .collect();
    for answer in [
        Answer::Silence,
        Answer::Flood(1 << 30),
        Answer::Endless,
        Answer::Headers(10_000, json!({})),
        Answer::Contacts(wide),
        Answer::Body(b"{\"a\":".repeat(500_000)),
    ] {
        stage.answer("john", answer);
        assert_eq!(stage.refresh(&["john"]).await.errors, 1);
    }
}
