//! How a web client finds its way in (XEP-0156), and who it is when a proxy
//! stands between.

use muster_tests::app::App;
use muster_tests::http::{Reply, exchange, request};
use muster_tests::muster::{ANYONE, Muster, Setup};
use muster_tests::stage::{DOMAIN, Stage};
use muster_tests::tls::{Files, Identity};
use muster_tests::web::{Kind, WebClient, handshake};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use xmpp_parsers::minidom::Element;

async fn get(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Reply {
    exchange(address, &request("GET", path, fields, b"")).await
}

async fn links(address: SocketAddr, fields: &[(&str, &str)]) -> Vec<String> {
    let reply = get(address, "/.well-known/host-meta.json", fields).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let document = reply.json();
    let links = document["links"].as_array().expect("links");
    let href = |link: &serde_json::Value| link["href"].as_str().expect("a link").to_owned();
    links.iter().map(href).collect()
}

#[tokio::test]
async fn both_documents_say_the_same_to_everybody() {
    let stage = Stage::own("").await;
    let host = [("Host", "chat.example.com:8443")];
    let reply = get(stage.http(), "/.well-known/host-meta", &host).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        reply.header("content-type"),
        Some("application/xrd+xml; charset=utf-8")
    );
    let document: Element = reply.text().parse().expect("XML");
    assert!(document.is("XRD", "http://docs.oasis-open.org/ns/xri/xrd-1.0"));
    let links: Vec<_> = document
        .children()
        .map(|link| json!({"rel": link.attr("rel"), "href": link.attr("href")}))
        .collect();
    let json = get(stage.http(), "/.well-known/host-meta.json", &host)
        .await
        .json();
    assert_eq!(json, json!({ "links": links }));
    assert_eq!(
        json,
        json!({ "links": [
            {
                "rel": "urn:xmpp:alt-connections:websocket",
                "href": "ws://chat.example.com:8443/xmpp-websocket",
            },
            {
                "rel": "urn:xmpp:alt-connections:xbosh",
                "href": "http://chat.example.com:8443/http-bind",
            },
        ]})
    );
    // Nothing but a host and a port gets from the request into the document.
    let odd = get(
        stage.http(),
        "/.well-known/host-meta",
        &[("Host", "a\"<b>")],
    )
    .await;
    assert!(!odd.text().contains("<b>"), "{}", odd.text());
    stage.shutdown().await;
}

#[tokio::test]
async fn each_virtual_host_has_its_public_address() {
    let app = App::start().await;
    let url = app.roster_url();
    let setup = Setup::new()
        .with("[web]\nbosh = false\ntrusted_proxies = [\"127.0.0.1\"]")
        .host("other.test", ANYONE, &url)
        .host_keys("public_url = \"https://chat.example.com/xmpp/\"")
        .host(DOMAIN, ANYONE, &url);
    let muster = Muster::start(&setup).await;
    assert_eq!(
        links(muster.http(), &[("Host", DOMAIN)]).await,
        ["wss://chat.example.com/xmpp/xmpp-websocket"]
    );
    // Without one it is what the request says, as far as a proxy vouches for it.
    let other = ("Host", "other.test");
    let http = links(muster.http(), &[other]).await;
    assert_eq!(http, ["ws://other.test/xmpp-websocket"]);
    let https = links(muster.http(), &[other, ("X-Forwarded-Proto", "https")]).await;
    assert_eq!(https, ["wss://other.test/xmpp-websocket"]);
    let unknown = get(muster.http(), "/.well-known/host-meta", &[]).await;
    assert_eq!(unknown.status, 404);
    muster.shutdown().await;
}

/// Row 35.
#[tokio::test]
async fn without_routes_there_is_nothing_to_find() {
    let stage = Stage::own("[web]\nwebsocket = false\nbosh = false").await;
    for path in ["/.well-known/host-meta", "/.well-known/host-meta.json"] {
        assert_eq!(get(stage.http(), path, &[]).await.status, 404);
    }
    stage.shutdown().await;
}

/// The one can be public without the other.
#[tokio::test]
async fn web_clients_can_have_addresses_of_their_own() {
    let app = App::start().await;
    let setup = Setup::for_app(&app).with("[web]\nlisten = [\"127.0.0.1:0\"]");
    let muster = Muster::start(&setup).await;
    let web = muster.web();
    for path in ["/metrics", "/healthz", "/readyz", "/roster_admin/refresh"] {
        assert_eq!(get(web, path, &[]).await.status, 404, "{path}");
    }
    for kind in Kind::ALL {
        WebClient::login(kind, web, &format!("john@{DOMAIN}"), "any").await;
    }
    let elsewhere = handshake(muster.http(), "/xmpp-websocket", &[]).await;
    assert_eq!(elsewhere.status, 404);
    muster.shutdown().await;
}

/// The client's address is the last one that no trusted proxy has: it is the
/// one that is slowed down for its failed logins.
#[tokio::test]
async fn failed_logins_count_for_the_address_behind_the_proxy() {
    let users = "kind = \"static\"\nusers = { john = \"secret\" }";
    let app = Arc::new(App::start().await);
    let setup = Setup::new()
        .host(DOMAIN, users, &app.roster_url())
        .with("[web]\ntrusted_proxies = [\"127.0.0.1/32\"]")
        .with("[limits.xmpp]\nlogin_failures = 2\nlogin_delay = \"1h\"");
    let stage = Stage::around(app, &setup).await;
    let connect = async |kind, forwarded: &str| {
        let fields = [("X-Forwarded-For", forwarded)];
        let mut client = WebClient::connect_with(kind, stage.http(), DOMAIN, &fields).await;
        client.open().await;
        client
    };
    let mut guesser = connect(Kind::WebSocket, "198.51.100.7").await;
    for _ in 0..2 {
        assert_eq!(guesser.plain("john", "wrong").await.name(), "failure");
    }
    for kind in Kind::ALL {
        // The same address, whatever it claims to have stood before it.
        let mut delayed = connect(kind, "203.0.113.1, 198.51.100.7").await;
        let waiting =
            tokio::spawn(async move { delayed.plain("john", "secret").await.name().to_owned() });
        let mut other = connect(kind, "203.0.113.1").await;
        assert_eq!(other.plain("john", "secret").await.name(), "success");
        assert!(
            !waiting.is_finished(),
            "{kind:?}: the attempt was not delayed"
        );
        waiting.abort();
    }
    stage.shutdown().await;
}

/// Where TLS is required, a proxy has to say that the client is under it.
#[tokio::test]
async fn without_tls_nobody_logs_in_over_http() {
    let app = App::start().await;
    let identity = Identity::new(&[DOMAIN]);
    let files = Files::of(&identity);
    let setup = Setup::for_app(&app)
        .certificate(&files)
        .encrypted()
        .with("[web]\ntrusted_proxies = [\"127.0.0.1\"]");
    let muster = Muster::start(&setup).await;
    for kind in Kind::ALL {
        for (proto, offered) in [("http", false), ("https", true)] {
            let fields = [("X-Forwarded-Proto", proto)];
            let mut client = WebClient::connect_with(kind, muster.http(), DOMAIN, &fields).await;
            let features = String::from(&client.open().await);
            assert_eq!(features.contains("PLAIN"), offered, "{kind:?} {proto}");
            let outcome = client.plain("john", "any").await;
            let expected = if offered { "success" } else { "failure" };
            assert_eq!(outcome.name(), expected, "{kind:?} {proto}");
        }
    }
    muster.shutdown().await;
}
