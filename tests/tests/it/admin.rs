//! Rows 37 to 44: the HTTP side, and everything that is sent to it in error or
//! in malice.

use muster_tests::http::{self, Connection, Reply, exchange, request};
use muster_tests::muster::{ANYONE, Setup, Summary, TOKEN, post_refresh};
use muster_tests::stage::{DOMAIN, LISTED, Stage};
use muster_tests::{app, client::is_push};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

const REFRESH: &str = "/roster_admin/refresh";

/// A request to the refresh route with the token and these further fields.
fn authorized(method: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let authorization = format!("Bearer {TOKEN}");
    let mut all = vec![("Host", DOMAIN), ("Authorization", authorization.as_str())];
    all.extend_from_slice(fields);
    request(method, REFRESH, &all, body)
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An error in the shape of the summary.
fn assert_refused(reply: &Reply, status: u16, what: &str) {
    assert_eq!(reply.status, status, "{what}: {}", reply.text());
    let body = reply.json();
    assert_eq!(body["status"], "error", "{what}: {body}");
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{what}: {body}"
    );
}

/// Row 37: nothing happens without the token, and nothing is revealed.
#[tokio::test]
async fn the_token_is_required() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let user = stage.user("john");
    let mut answers = Vec::new();
    for user in [user.as_str(), "nobody"] {
        for authorization in [
            None,
            Some("Bearer wrong".to_owned()),
            Some(format!("Bearer {}", &TOKEN[1..])),
            Some(format!("Bearer {TOKEN}x")),
            Some(format!("Basic {TOKEN}")),
            Some(TOKEN.to_owned()),
            Some("Bearer ".to_owned()),
        ] {
            let mut fields = vec![("Host", DOMAIN), JSON];
            if let Some(authorization) = &authorization {
                fields.push(("Authorization", authorization));
            }
            for (method, path) in [
                ("POST", REFRESH.to_owned()),
                ("POST", format!("{REFRESH}/{user}")),
                ("GET", format!("{REFRESH}/{user}")),
                ("DELETE", "/roster_admin/anything".to_owned()),
            ] {
                let body = json!([user]).to_string();
                let reply = exchange(
                    stage.http(),
                    &request(method, &path, &fields, body.as_bytes()),
                )
                .await;
                assert_eq!(reply.status, 401, "{authorization:?} {method} {path}");
                let challenge = reply.header("www-authenticate").expect("a challenge");
                assert!(challenge.starts_with("Bearer"), "{challenge}");
                answers.push(reply.body);
            }
        }
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "the answers differ"
    );
    assert_eq!(stage.app.requests_for(&user).len(), 1, "the login's");
    assert_eq!(john.settle().await.len(), 0);
}

/// Row 37: with two `Authorization` fields, neither may be picked.
#[tokio::test]
async fn a_second_token_does_not_help_a_wrong_one() {
    let stage = Stage::shared().await;
    let wrong_first = request(
        "POST",
        REFRESH,
        &[
            ("Host", DOMAIN),
            ("Authorization", "Bearer wrong"),
            ("Authorization", &format!("Bearer {TOKEN}")),
            JSON,
        ],
        b"[]",
    );
    assert_eq!(exchange(stage.http(), &wrong_first).await.status, 401);
}

/// Row 38: a browser gets no further than anybody else.
#[tokio::test]
async fn a_browser_needs_the_token_too() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    let _john = stage.online("john").await;
    let preflight = [
        ("Host", DOMAIN),
        ("Origin", "http://evil.test"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    let path = format!("{REFRESH}/{user}");
    for bytes in [
        request("OPTIONS", REFRESH, &preflight, b""),
        request("GET", &path, &[("Host", DOMAIN), ("Origin", "null")], b""),
        request(
            "POST",
            &path,
            &[("Host", DOMAIN), ("Origin", "http://evil.test")],
            b"",
        ),
        request(
            "POST",
            REFRESH,
            &[("Host", DOMAIN), ("Content-Type", "text/plain")],
            b"[\"john\"]",
        ),
    ] {
        let reply = exchange(stage.http(), &bytes).await;
        assert!([401, 405].contains(&reply.status), "{}", reply.status);
        let permissive = reply
            .headers
            .iter()
            .find(|(name, _)| name.starts_with("access-control-"));
        assert_eq!(permissive, None);
    }
    assert_eq!(stage.app.requests_for(&user).len(), 1, "the login's");
}

/// `allow_unauthenticated` is for loopback and says what it does.
#[tokio::test]
async fn the_operator_may_do_without_a_token_on_loopback() {
    let app = Arc::new(app::App::start().await);
    let setup = Setup::for_app(&app).admin("allow_unauthenticated = true");
    let stage = Stage::around(app, &setup).await;
    let reply = http::post(stage.http(), REFRESH, &[JSON], b"[\"john\"]").await;
    assert_eq!(Summary::of(&reply), Summary::new("ok", 1, 0));
}

/// Row 39.
#[tokio::test]
async fn an_empty_list_is_answered_at_once() {
    let stage = Stage::shared().await;
    // The first call may have to compile or instantiate something.
    post_refresh(stage.http(), DOMAIN, b"[]").await;
    let start = Instant::now();
    let reply = post_refresh(stage.http(), DOMAIN, b"[]").await;
    let took = start.elapsed();
    assert_eq!(Summary::of(&reply), Summary::new("ok", 0, 0));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    // 50 ms are promised of a release build on an idle machine.
    assert!(took < Duration::from_millis(500), "{took:?}");
}

/// Row 40: a body that is not a list of names is refused as a whole.
#[tokio::test]
async fn a_body_that_is_no_list_of_names_is_refused() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let deep = "[".repeat(500_000);
    let deep_closed = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{}".to_vec(),
        b"null".to_vec(),
        b"7".to_vec(),
        format!("{{\"{user}\": 1}}").into_bytes(),
        format!("\"{user}\"").into_bytes(),
        format!("[\"{user}\", 1]").into_bytes(),
        format!("[\"{user}\", null]").into_bytes(),
        format!("[\"{user}\", [\"{user}\"]]").into_bytes(),
        format!("[\"{user}\"").into_bytes(),
        format!("[\"{user}\",]").into_bytes(),
        format!("[\"{user}\"] x").into_bytes(),
        format!("\u{feff}[\"{user}\"]").into_bytes(),
        format!("[\"{user}\", \"\\ud800\"]").into_bytes(),
        [b"[\"".as_slice(), user.as_bytes(), b"\", \"\xff\"]"].concat(),
        format!("[\"{user}\", \"a\u{1}\"]").into_bytes(),
        format!("['{user}']").into_bytes(),
        deep.into_bytes(),
        deep_closed.into_bytes(),
        b"<html></html>".to_vec(),
        format!("user={user}").into_bytes(),
    ];
    for body in bodies {
        let shown: String = String::from_utf8_lossy(&body).chars().take(40).collect();
        let reply = post_refresh(stage.http(), DOMAIN, &body).await;
        assert_refused(&reply, 400, &shown);
    }
    assert_eq!(stage.app.requests_for(&user).len(), 1, "the login's");
    let came = john.settle().await;
    assert!(!came.iter().any(is_push), "{came:?}");
}

/// Row 41.
#[tokio::test]
async fn what_is_too_big_or_of_another_kind_is_refused() {
    let stage = Stage::shared().await;
    let too_long = vec![b' '; 1024 * 1024 + 1];
    assert_refused(
        &exchange(stage.http(), &authorized("POST", &[JSON], &too_long)).await,
        413,
        "1 MiB + 1",
    );
    let mut longest = vec![b' '; 1024 * 1024 - 2];
    longest.extend_from_slice(b"[]");
    assert_eq!(
        exchange(stage.http(), &authorized("POST", &[JSON], &longest))
            .await
            .status,
        200,
        "1 MiB"
    );

    let names = format!("[{}\"u\"]", "\"u\",".repeat(10_000));
    assert_refused(
        &exchange(stage.http(), &authorized("POST", &[JSON], names.as_bytes())).await,
        413,
        "10,001 names",
    );

    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let reply = exchange(
            stage.http(),
            &authorized("POST", &[("Content-Type", kind)], b"[]"),
        )
        .await;
        assert_refused(&reply, 415, kind);
    }
    for method in ["PUT", "GET", "DELETE", "PATCH", "OPTIONS"] {
        let reply = exchange(stage.http(), &authorized(method, &[JSON], b"[]")).await;
        assert_eq!(reply.status, 405, "{method}");
        assert!(
            reply
                .header("allow")
                .is_some_and(|allow| allow.contains("POST")),
            "{method}"
        );
    }
}

/// Row 41: the host does not wait for a body that it will not take.
#[tokio::test]
async fn a_body_over_the_cap_is_refused_before_it_is_sent() {
    let stage = Stage::shared().await;
    let mut caller = Connection::open(stage.http()).await;
    let mut head = authorized("POST", &[JSON], b"");
    let text = String::from_utf8(std::mem::take(&mut head)).expect("a head");
    caller
        .send(
            text.replace("Content-Length: 0", "Content-Length: 1073741824")
                .as_bytes(),
        )
        .await;
    assert_refused(
        &caller.reply().await.expect("an answer before the body"),
        413,
        "announced",
    );

    // Without an announcement, it is cut where the cap is.
    let mut caller = Connection::open(stage.http()).await;
    caller
        .send(
            text.replace("Content-Length: 0", "Transfer-Encoding: chunked")
                .as_bytes(),
        )
        .await;
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..20 {
        caller.send(&chunk).await;
    }
    assert_refused(
        &caller.reply().await.expect("an answer before the end"),
        413,
        "chunked",
    );
}

/// Row 43: where two servers could read two different requests, neither is served.
#[tokio::test]
async fn ambiguous_requests_are_refused_and_nothing_follows() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    let _john = stage.online("john").await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let smuggled = format!(
        "POST {REFRESH}/{user} HTTP/1.1\r\nHost: {DOMAIN}\r\n{token}Content-Length: 0\r\n\r\n"
    );
    let start = format!(
        "POST {REFRESH} HTTP/1.1\r\nHost: {DOMAIN}\r\n{token}Content-Type: application/json\r\n"
    );
    for head in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Content-Length: 2\r\nContent-Length: 40\r\n\r\n[]".to_owned(),
        "Content-Length: +2\r\n\r\n[]".to_owned(),
        "Content-Length: 2, 40\r\n\r\n[]".to_owned(),
        "Content-Length: 0x2\r\n\r\n[]".to_owned(),
        "Content-Length : 2\r\n\r\n[]".to_owned(),
        "X-Fold: a\r\n b\r\nContent-Length: 2\r\n\r\n[]".to_owned(),
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned(),
        "X\u{0}: a\r\nContent-Length: 2\r\n\r\n[]".to_owned(),
        "X: a\u{0}b\r\nContent-Length: 2\r\n\r\n[]".to_owned(),
        "X: a\rb\r\nContent-Length: 2\r\n\r\n[]".to_owned(),
    ] {
        let mut caller = Connection::open(stage.http()).await;
        caller
            .send(format!("{start}{head}{smuggled}").as_bytes())
            .await;
        let reply = caller.reply().await;
        assert!(
            reply.as_ref().is_none_or(|reply| reply.status == 400),
            "{head:?}: {reply:?}"
        );
        assert!(caller.is_closed().await, "{head:?}: something follows");
    }
    assert_eq!(stage.app.requests_for(&user).len(), 1, "the login's");
}

/// Row 43: a name in the path cannot bring a header along.
#[tokio::test]
async fn a_name_in_the_path_stays_a_name() {
    let stage = Stage::shared().await;
    let authorization = format!("Bearer {TOKEN}");
    let fields = [("Host", DOMAIN), ("Authorization", authorization.as_str())];
    for name in [
        "john%0d%0aX:%20y",
        "john%00",
        "a%2fb",
        "%ff",
        "%",
        "john/../marie",
        "",
    ] {
        let requests = stage.app.requests().len();
        let reply = http::post(stage.http(), &format!("{REFRESH}/{name}"), &fields, b"").await;
        match reply.status {
            200 => assert_eq!(Summary::of(&reply), Summary::new("error", 0, 1), "{name}"),
            status => assert!([400, 404].contains(&status), "{name}: {status}"),
        }
        let new = &stage.app.requests()[requests..];
        assert!(
            new.iter().all(|request| !request.path.contains("0d")),
            "{new:?}"
        );
    }
}

/// Row 44.
#[tokio::test]
async fn a_request_that_trickles_in_is_given_up() {
    let stage =
        Stage::own("[limits.http]\nheader_timeout = \"200ms\"\nbody_timeout = \"200ms\"").await;
    let mut slow_head = Connection::open(stage.http()).await;
    slow_head
        .send(b"POST /roster_admin/refresh HTTP/1.1\r\nHost: ")
        .await;
    let reply = slow_head.reply().await;
    assert!(reply.is_none_or(|reply| reply.status == 408));
    let mut slow_body = Connection::open(stage.http()).await;
    let whole = authorized("POST", &[JSON], b"[\"john\"]");
    slow_body.send(&whole[..whole.len() - 1]).await;
    assert_refused(
        &slow_body.reply().await.expect("an answer"),
        408,
        "a body without its end",
    );
    // Idle connections are let go; others are served meanwhile.
    let mut idle = Connection::open(stage.http()).await;
    stage.refreshed(&["john"]).await;
    assert!(idle.is_closed().await);
}

/// Requests follow one another on a connection.
#[tokio::test]
async fn a_connection_is_kept() {
    let stage = Stage::shared().await;
    let mut caller = Connection::open(stage.http()).await;
    for _ in 0..3 {
        caller.send(&authorized("POST", &[JSON], b"[]")).await;
        assert_eq!(
            Summary::of(&caller.reply().await.expect("a reply")),
            Summary::new("ok", 0, 0)
        );
    }
    // Two at once, as a caller in a hurry sends them.
    let two = [
        authorized("POST", &[JSON], b"[]"),
        authorized("POST", &[JSON], b"[\"nobody\"]"),
    ]
    .concat();
    caller.send(&two).await;
    for updated in 0..2 {
        assert_eq!(
            Summary::of(&caller.reply().await.expect("a reply")),
            Summary::new("ok", updated, 0)
        );
    }
}

/// With several virtual hosts, a request must say which one it means.
#[tokio::test]
async fn a_request_names_its_virtual_host() {
    let stage = Stage::shared().await;
    let summary = post_refresh(stage.http(), LISTED, b"[\"john\"]").await;
    assert_eq!(Summary::of(&summary), Summary::new("ok", 1, 0));
    let astray = post_refresh(stage.http(), "elsewhere.test", b"[\"john\"]").await;
    assert_refused(&astray, 421, "another domain");
    // Where there is only one, any name will do: a proxy may have changed it.
    let app = Arc::new(app::App::start().await);
    let setup = Setup::new().host(DOMAIN, ANYONE, &app.roster_url());
    let own = Stage::around(app, &setup).await;
    let summary = post_refresh(own.http(), "localhost:5280", b"[\"john\"]").await;
    assert_eq!(Summary::of(&summary), Summary::new("ok", 1, 0));
}

#[tokio::test]
async fn health_needs_no_token_and_metrics_do() {
    let stage = Stage::shared().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            exchange(stage.http(), &request("GET", path, &[], b""))
                .await
                .status,
            200,
            "{path}"
        );
    }
    assert_eq!(
        exchange(stage.http(), &request("GET", "/metrics", &[], b""))
            .await
            .status,
        401
    );
    let authorization = format!("Bearer {TOKEN}");
    let fields = [("Authorization", authorization.as_str())];
    let metrics = exchange(stage.http(), &request("GET", "/metrics", &fields, b"")).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("muster_"), "{}", metrics.text());
    assert_eq!(
        exchange(stage.http(), &request("GET", "/nowhere", &fields, b""))
            .await
            .status,
        404
    );
}
