//! Rows 48 to 51 and 65: where a plugin's requests go, and what is in them.

use super::arena::{Arena, figure};
use muster_tests::app::{Answer, App};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_elsewhere() {
    let arena = Arena::open().await;
    nothing_but_the_app_is_asked(&arena).await;
    a_redirect_is_not_followed(&arena).await;
    headers_and_trailers_of_the_connection_are_the_hosts(&arena).await;
    the_hosts_deadlines_are_the_ones_that_count(&arena).await;
    arena.close().await;
}

/// Rows 48 and 49: whatever it asks for, only the app is asked, and for a path.
async fn nothing_but_the_app_is_asked(arena: &Arena) {
    let elsewhere = App::start().await;
    let (app, other) = (arena.stage.app.address(), elsewhere.address());
    let port = app.port();
    let denied = [
        "GET http 169.254.169.254 /latest/meta-data/".to_owned(),
        format!("GET http {other} /"),
        format!("GET http [::ffff:127.0.0.1]:{port} /"),
        format!("GET http 2130706433:{port} /"),
        format!("GET http 0x7f.1:{port} /"),
        format!("GET http 127.1:{port} /"),
        format!("GET http x@127.0.0.1:{port} /"),
        format!("GET http localhost:{port} /"),
        format!("GET https {app} /"),
        "GET http 127.0.0.1:1 /".to_owned(),
        "POST http origin /".to_owned(),
        "CONNECT http origin /".to_owned(),
        "BREW http origin /".to_owned(),
        "GET ftp origin /".to_owned(),
        "GET http origin http://evil.example.com/".to_owned(),
        "GET http origin //evil.example.com/".to_owned(),
        "GET http origin /a\\b".to_owned(),
        "GET http origin /a\r\nHost:evil.example.com".to_owned(),
    ];
    let counted = arena.count("muster_egress_denied_total", "").await;
    let (mut left, mut rewritten) = (0, 0);
    for words in &denied {
        let before = arena.stage.app.requests().len();
        let reply = arena.post("do", &format!("send {words}")).await.text();
        let sent = arena.stage.app.requests().split_off(before);
        // A path of two slashes is a path; it must be the app's.
        let harmless = words.contains("//evil") && sent.iter().all(|it| it.path.starts_with('/'));
        assert!(harmless || !reply.contains("answered"), "{words}: {reply}");
        assert!(harmless || sent.is_empty(), "{words}: {sent:?}");
        match harmless {
            true => rewritten += sent.len(),
            false => left += sent.len(),
        }
    }
    let (asked, connections) = (denied.len(), elsewhere.connections());
    figure(
        3,
        &format!(
            "{asked} requests to elsewhere: {left} left, {rewritten} reached the app as a path of \
             its own, {connections} connections to others"
        ),
    );
    assert_eq!(elsewhere.connections(), 0);
    assert!(arena.count("muster_egress_denied_total", "").await > counted + 10.0);
    let told = arena.told(&["WARN", "hostile.test", "refused a plugin's HTTP request"]);
    assert!((1..=3).contains(&told), "once a minute: {told}");
    // And at a login, in a username.
    let (_john, roster) = arena.roster("send+get+http+169.254.169.254+%2f").await;
    assert_eq!(roster, Err("wait/internal-server-error".to_owned()));
    let reply = arena
        .post("do", "send GET http origin /contacts/john")
        .await;
    assert!(reply.text().contains("answered 200"), "{}", reply.text());
}

/// Row 51: a redirect is an answer, not a way.
async fn a_redirect_is_not_followed(arena: &Arena) {
    let elsewhere = App::start().await;
    let target = format!("http://{}/contacts/john", elsewhere.address());
    arena.stage.app.set_answer("john", Answer::Redirect(target));
    let reply = arena.post("do", "get /contacts/john").await.text();
    assert!(reply.contains("302"), "{reply}");
    assert_eq!(elsewhere.connections(), 0);
}

/// Row 65: the head of a request is the host's.
async fn headers_and_trailers_of_the_connection_are_the_hosts(arena: &Arena) {
    let of_the_connection = [
        "host evil.example.com",
        "authorization Bearer x",
        "te trailers",
        "trailer authorization",
        "transfer-encoding chunked",
        "connection close",
    ];
    for header in of_the_connection {
        let reply = arena.post("do", &format!("header {header}")).await.text();
        assert!(reply.contains("Forbidden"), "{header}: {reply}");
    }
    let reply = arena
        .post("do", "header x-a bCRLFhost: evil.example.com")
        .await;
    assert!(reply.text().contains("InvalidSyntax"), "{}", reply.text());
    let refused = of_the_connection.len();
    figure(
        3,
        &format!("{refused} header fields of the connection and one with a line end refused"),
    );
    let before = arena.stage.app.requests().len();
    let reply = arena.post("do", "trailers").await.text();
    assert!(reply.contains("host authorization te"), "{reply}");
    for request in arena.stage.app.requests().split_off(before) {
        for name in [
            "authorization",
            "te",
            "trailer",
            "x-smuggled",
            "transfer-encoding",
        ] {
            assert_eq!(request.header(name), None, "{request:?}");
        }
        let host = arena.stage.app.address().to_string();
        assert_eq!(request.header("host"), Some(host.as_str()));
    }
}

/// Row 61: timeouts of nothing change nothing, and responses that are kept for
/// ever do not keep the app's connections for ever.
async fn the_hosts_deadlines_are_the_ones_that_count(arena: &Arena) {
    arena.stage.app.set_contacts("john", json!({}));
    let (_john, roster) = arena.roster("no-time").await;
    assert!(roster.is_ok(), "{roster:?}");
    arena.assert_serving("no time").await;
}
