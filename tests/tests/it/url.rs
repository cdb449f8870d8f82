//! Rows 47 and 48: whatever a user is called, the app is asked for exactly that
//! user, at the one origin that the operator wrote.

use muster_tests::client::{Client, Mechanism, error_of};
use muster_tests::muster::{Setup, Summary, post_refresh};
use muster_tests::stage::{DOMAIN, Stage, items};
use muster_tests::{app::App, app::Request};
use serde_json::json;
use std::sync::Arc;

/// The bytes that a percent-encoded text stands for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte == b'%' {
            let digits = std::str::from_utf8(&tail[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn assert_origin_form(request: &Request, stage: &Stage) {
    assert!(
        request.path.starts_with('/') && !request.path.contains(['#', '\\', ' ', '@']),
        "{}",
        request.path
    );
    assert_eq!(
        request.header("host"),
        Some(stage.app.address().to_string().as_str())
    );
    assert_eq!(request.method, "GET");
}

/// Row 47: each name arrives as one path segment that decodes to it.
#[tokio::test]
async fn a_username_is_exactly_one_segment() {
    let stage = Stage::own("").await;
    for user in [
        "a%2e%2e",
        "a%2fb",
        "a?x=1",
        "a#f",
        "%",
        "%s",
        "%%s",
        "a+b",
        "a=b",
        "a;b=c",
        "a,b",
        "\\evil",
        "a\\..\\b",
        "jürgen",
        "\u{4e2d}\u{6587}",
        "...",
        "a..b",
        "~",
        "-",
        "{x}",
        "a|b",
        "a^b`c",
        "$()",
    ] {
        let before = stage.app.requests().len();
        let mut session = stage.bound(user).await;
        let account = session.bare().to_owned();
        assert_eq!(
            account,
            format!("{user}@{DOMAIN}"),
            "the name is what the host takes it for"
        );
        let own = json!({ format!("contact-of-{before}@elsewhere.test"): {} });
        let requests = {
            // The answer is keyed by the path as sent.
            stage.app.set_default_contacts(own);
            let roster = session.roster().await;
            assert_eq!(
                items(&roster),
                [format!("contact-of-{before}@elsewhere.test both")],
                "{user}"
            );
            stage.app.requests()
        };
        let [request] = &requests[before..] else {
            panic!("{user}: {} requests", requests.len() - before);
        };
        let segment = request
            .path
            .strip_prefix("/contacts/")
            .expect("the template's path");
        assert!(!segment.contains(['/', '?']), "{user}: {segment}");
        assert_eq!(decoded(segment), user);
        assert_origin_form(request, &stage);
    }
}

/// Row 47: a name that every server would normalise away is not asked for.
#[tokio::test]
async fn dots_are_refused_without_a_request() {
    let stage = Stage::own("").await;
    for user in [".", ".."] {
        let mut session = stage.bound(user).await;
        let reply = session.roster().await;
        assert_eq!(reply.attr("type"), Some("error"), "{user}");
        error_of(&reply);
        let body = json!([user]).to_string();
        let summary = Summary::of(&post_refresh(stage.http(), DOMAIN, body.as_bytes()).await);
        assert_eq!(summary, Summary::new("error", 0, 1), "{user}");
        assert_eq!(session.settle().await.len(), 0, "the session stays");
    }
    assert_eq!(stage.app.requests().len(), 0);
}

/// Row 48: such names are no localparts; none gets as far as a request.
#[tokio::test]
async fn names_that_would_change_the_url_are_refused() {
    let stage = Stage::shared().await;
    let before = stage.app.requests().len();
    let names = [
        "a\r\nHost: evil.test",
        "a\nb",
        "@evil.test",
        "john@evil.test",
        ":80",
        "http://evil.test/",
        "//evil.test",
        "a/../b",
        "a b",
        "\u{0}",
        "a\u{7f}",
    ];
    let body = json!(names).to_string();
    let summary = Summary::of(&post_refresh(stage.http(), DOMAIN, body.as_bytes()).await);
    assert_eq!(summary, Summary::new("error", 0, names.len() as u64));
    let mut client = stage.connect().await;
    client.open().await;
    for name in &names[..5] {
        let failed = client.authenticate(name, "any", Mechanism::Plain).await;
        assert!(failed.is_err(), "{name:?} is an account");
    }
    let new = &stage.app.requests()[before..];
    assert!(
        new.iter().all(|request| !request.path.contains("evil")),
        "{new:?}"
    );
}

/// `%s` in the query is a value, and other escapes of the URL stay as they are.
#[tokio::test]
async fn the_placeholder_may_be_in_the_query() {
    let app = Arc::new(App::start().await);
    let url = format!(
        "http://{}/contacts/of%20?q=a%2Bb&user=%s&x=%25s",
        app.address()
    );
    let setup = Setup::new().host(DOMAIN, "kind = \"any\"", &url);
    let stage = Stage::around(Arc::clone(&app), &setup).await;
    let mut session = Client::login(
        stage.xmpp(),
        &format!("a+b=c#d@{DOMAIN}"),
        "x",
        None,
        Mechanism::Plain,
    )
    .await;
    session.roster().await;
    let requests = app.requests();
    let path = &requests.first().expect("a request").path;
    assert_eq!(path, "/contacts/of%20?q=a%2Bb&user=a%2Bb%3Dc%23d&x=%25s");
}
