//! Streams over BOSH (XEP-0124, XEP-0206): order, repetition, and the ends of a
//! session.

use muster_tests::client::ns;
use muster_tests::http::{Reply, exchange, request};
use muster_tests::stage::{DOMAIN, Stage};
use muster_tests::web::{Bosh, HTTPBIND, Kind, Poster, Socket, WebClient, body_of};
use muster_tests::within;
use std::time::{Duration, Instant};
use xmpp_parsers::minidom::Element;

async fn online(stage: &Stage, name: &str) -> WebClient {
    let mut client = WebClient::login(Kind::Bosh, stage.http(), &stage.jid(name), "any").await;
    client.available().await;
    client
}

/// The next request of `bosh`, sent by hand; its number.
fn take_rid(bosh: &mut Bosh) -> u64 {
    bosh.rid += 1;
    bosh.rid - 1
}

fn terminated(reply: &Reply) -> String {
    let body = body_of(reply);
    assert_eq!(body.attr("type"), Some("terminate"), "{}", reply.text());
    body.attr("condition").unwrap_or_default().to_owned()
}

fn ping(id: &str) -> String {
    format!(
        "<iq xmlns='jabber:client' type='get' id='{id}' to='{DOMAIN}'><ping xmlns='{}'/></iq>",
        ns::PING
    )
}

fn ids(body: &Element) -> Vec<&str> {
    body.children().filter_map(|it| it.attr("id")).collect()
}

#[tokio::test]
async fn a_session_begins_with_its_terms_and_its_features() {
    let stage = Stage::shared().await;
    let poster = Poster::new(stage.http(), &[]);
    let attributes = format!("rid='1' to='{DOMAIN}' wait='300' hold='9' ver='1.6'");
    let reply = poster.post(&attributes, "").await;
    let of_xmpp = "xmlns:xmpp=\"urn:xmpp:xbosh\" xmpp:version=\"1.0\" xmpp:restartlogic=\"true\"";
    assert!(reply.text().contains(of_xmpp), "{}", reply.text());
    let body = body_of(&reply);
    for (name, value) in [
        ("wait", "60"),
        ("hold", "1"),
        ("requests", "2"),
        ("inactivity", "45"),
        ("polling", "2"),
        ("maxpause", "120"),
        ("ver", "1.6"),
        ("from", DOMAIN),
    ] {
        assert_eq!(body.attr(name), Some(value), "{name}");
    }
    // Not over TLS.
    assert_eq!(body.attr("secure"), None);
    assert_eq!(body.attr("sid").map(str::len), Some(32));
    let features = body.children().next().expect("features");
    assert!(features.is("features", "http://etherx.jabber.org/streams"));
}

#[tokio::test]
async fn requests_out_of_order_are_handled_in_order_and_answered_again() {
    let stage = Stage::shared().await;
    let mut john = online(&stage, "john").await;
    let bosh = john.bosh();
    let (first, second) = (take_rid(bosh), take_rid(bosh));
    let (poster, sid) = (bosh.poster.clone(), bosh.sid.clone());
    let post = |rid: u64, content: String| {
        let (poster, sid) = (poster.clone(), sid.clone());
        async move {
            let attributes = format!("rid='{rid}' sid='{sid}'");
            let reply = poster.post(&attributes, &content).await;
            reply.text()
        }
    };
    // The later one first: it waits for the other.
    let later = tokio::spawn(post(second, ping("second")));
    stage.ping_http().await;
    let earlier = tokio::spawn(post(first, ping("first")));
    let earlier = within("the first answer", earlier).await.expect("a reply");
    // The next request sends the one home that waits for news.
    let third = take_rid(john.bosh());
    let last = tokio::spawn(post(third, ping("third")));
    let later = within("the second answer", later).await.expect("a reply");
    // The same again, word for word; nothing is handled twice.
    for _ in 0..2 {
        assert_eq!(post(second, ping("second")).await, later);
        assert_eq!(post(first, ping("first")).await, earlier);
    }
    john.bosh().post("type='terminate'", "");
    let last = within("the third answer", last).await.expect("a reply");
    let all: Vec<Element> = [earlier, later, last]
        .map(|it| it.parse().expect("XML"))
        .into();
    let order: Vec<&str> = all.iter().flat_map(ids).collect();
    assert_eq!(order, ["first", "second", "third"]);
}

#[tokio::test]
async fn a_copy_of_a_waiting_request_is_answered_along_with_it() {
    let stage = Stage::shared().await;
    let mut john = online(&stage, "john").await;
    let rid = take_rid(john.bosh());
    let attributes = format!("rid='{rid}' sid='{}'", john.bosh().sid);
    let poster = john.bosh().poster.clone();
    let (copy, again) = (poster.clone(), attributes.clone());
    let waiting = tokio::spawn(async move { copy.post(&again, "").await.text() });
    // Whichever arrives first waits; the other one sends both home.
    let copy = poster.post(&attributes, "").await.text();
    let waiting = within("the first copy's answer", waiting).await;
    assert_eq!(waiting.expect("a reply"), copy);
    assert_eq!(copy, format!("<body xmlns=\"{HTTPBIND}\"/>"));
}

#[tokio::test]
async fn requests_that_belong_nowhere_are_told_so() {
    let stage = Stage::shared().await;
    let poster = Poster::new(stage.http(), &[]);
    for (attributes, condition) in [
        (
            "rid='1' sid='0123456789abcdef0123456789abcdef'",
            "item-not-found",
        ),
        ("rid='0'", "bad-request"),
        ("sid='a'", "bad-request"),
        (
            "rid='1' to='elsewhere.test' wait='60' hold='1'",
            "host-unknown",
        ),
        ("rid='1' wait='60' hold='1'", "host-unknown"),
        ("rid='1' wait='x'", "bad-request"),
    ] {
        let reply = poster.post(attributes, "").await;
        assert_eq!(terminated(&reply), condition, "{attributes}");
    }
    for raw in ["", "hello", "<body/>", "<!DOCTYPE a><body/>"] {
        assert_eq!(
            terminated(&poster.post_raw(raw.as_bytes()).await),
            "bad-request"
        );
    }
    let large = vec![b' '; 600 * 1024];
    assert_eq!(poster.post_raw(&large).await.status, 413);
    // A place that is out of reach ends the session, for whoever waits too.
    let mut john = online(&stage, "john").await;
    let bosh = john.bosh();
    let waiting = take_rid(bosh);
    let (poster, sid) = (bosh.poster.clone(), bosh.sid.clone());
    bosh.rid = waiting;
    bosh.post("", "");
    let far = poster
        .post(&format!("rid='{}' sid='{sid}'", waiting + 9), "")
        .await;
    assert_eq!(terminated(&far), "item-not-found");
    stage.until_offline("john").await;
}

/// Nobody has room for large requests who has not logged in.
#[tokio::test]
async fn room_for_large_requests_comes_with_the_login() {
    let stage = Stage::shared().await;
    let large = format!(
        "<message xmlns='jabber:client' to='{}'><body>{}</body></message>",
        stage.jid("john"),
        "x".repeat(100_000)
    );
    let mut client = WebClient::connect(Kind::Bosh, stage.http(), DOMAIN).await;
    client.open().await;
    let bosh = client.bosh();
    let attributes = format!("rid='{}' sid='{}'", take_rid(bosh), bosh.sid);
    assert_eq!(bosh.poster.post(&attributes, &large).await.status, 413);
    assert_eq!(bosh.poster.post("rid='1'", &large).await.status, 413);
    let mut john = online(&stage, "john").await;
    john.send(&large).await;
    assert_eq!(john.message().await.len(), 100_000);
}

#[tokio::test]
async fn what_the_stream_refuses_ends_the_session_with_its_error() {
    let stage = Stage::shared().await;
    for (content, condition) in [
        ("<message><body>hi</body></message>", "not-authorized"),
        ("<message><a></message>", "not-well-formed"),
        ("<iq xmlns='jabber:client' type='get'", "not-well-formed"),
        ("text", "bad-format"),
    ] {
        let mut client = WebClient::connect(Kind::Bosh, stage.http(), DOMAIN).await;
        client.open().await;
        client.send(content).await;
        client.bosh().post("", "<presence xmlns='jabber:client'/>");
        let (body, _) = client.bosh().until_ended().await;
        assert_eq!(
            body.attr("condition"),
            Some("remote-stream-error"),
            "{content}"
        );
        let error = body.children().next().expect("the stream error");
        assert!(
            error.is(condition, ns::STREAM_ERRORS),
            "{content}: {}",
            String::from(error)
        );
    }
}

#[tokio::test]
async fn a_client_ends_its_session_with_a_farewell() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    let mut john = WebClient::login(Kind::Bosh, stage.http(), &stage.jid("john"), "any").await;
    john.roster().await;
    john.available().await;
    let jid = john.jid().to_owned();
    let bye = "<presence xmlns='jabber:client' type='unavailable'><status>bye</status></presence>";
    john.bosh().post("type='terminate'", bye);
    let (body, _) = john.bosh().until_ended().await;
    assert_eq!(body.attr("condition"), None);
    let farewell = marie
        .expect("the farewell", |it| {
            it.attr("from") == Some(&jid) && it.attr("type") == Some("unavailable")
        })
        .await;
    assert!(
        farewell.get_child("status", ns::CLIENT).is_some(),
        "it is the client's own"
    );
    stage.until_offline("john").await;
    let bosh = john.bosh();
    let attributes = format!("rid='{}' sid='{}'", bosh.rid, bosh.sid);
    let reply = bosh.poster.post(&attributes, "").await;
    assert_eq!(terminated(&reply), "item-not-found");
}

#[tokio::test]
async fn a_client_that_stays_away_is_gone_and_its_requests_wait_no_longer_than_agreed() {
    // The times of an HTTP request are not those of one that waits, nor of what was upgraded.
    let stage = Stage::own(
        "[limits.bosh]\nwait = \"1s\"\ninactivity = \"1s\"\n\
         [limits.http]\nheader_timeout = \"500ms\"\nbody_timeout = \"500ms\"",
    )
    .await;
    let mut socket = Socket::connect(stage.http(), &[]).await;
    let mut john = online(&stage, "john").await;
    let bosh = john.bosh();
    let asked = Instant::now();
    let attributes = format!("rid='{}' sid='{}'", take_rid(bosh), bosh.sid);
    let reply = bosh.poster.post(&attributes, "").await;
    assert!(
        asked.elapsed() >= Duration::from_secs(1),
        "it waits for news"
    );
    assert_eq!(reply.text(), format!("<body xmlns=\"{HTTPBIND}\"/>"));
    socket.open(DOMAIN).await;
    stage.until_offline("john").await;
    let attributes = format!("rid='{}' sid='{}'", take_rid(bosh), bosh.sid);
    assert_eq!(
        terminated(&bosh.poster.post(&attributes, "").await),
        "item-not-found"
    );
    stage.shutdown().await;
}

#[tokio::test]
async fn too_many_requests_at_once_end_the_session() {
    let stage = Stage::shared().await;
    let mut john = online(&stage, "john").await;
    let bosh = john.bosh();
    bosh.post("", "");
    bosh.post("", "");
    let (body, _) = bosh.until_ended().await;
    assert_eq!(body.attr("condition"), Some("policy-violation"));
    stage.until_offline("john").await;
}

#[tokio::test]
async fn a_host_that_stops_says_so() {
    let stage = Stage::own("").await;
    let mut john = online(&stage, "john").await;
    john.bosh().post("", "");
    stage.ping_http().await;
    let stopping = tokio::spawn(stage.shutdown());
    let (body, _) = john.bosh().until_ended().await;
    assert_eq!(body.attr("condition"), Some("system-shutdown"));
    within("the host to stop", stopping)
        .await
        .expect("it stops");
}

/// What a browser asks before, and gets with every answer.
#[tokio::test]
async fn pages_of_listed_origins_may_read_the_answers() {
    let stage = Stage::own("[web]\norigins = [\"https://chat.example.com\"]").await;
    let ask = async |method: &str, origin: &str| {
        let fields = [("Origin", origin), ("Content-Type", "text/xml")];
        exchange(
            stage.http(),
            &request(method, "/http-bind", &fields, b"<body/>"),
        )
        .await
    };
    let allowed = "https://chat.example.com";
    let preflight = ask("OPTIONS", allowed).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        Some("POST, OPTIONS")
    );
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("Content-Type")
    );
    let posted = ask("POST", allowed).await;
    for reply in [&preflight, &posted] {
        assert_eq!(reply.header("access-control-allow-origin"), Some(allowed));
        assert_eq!(reply.header("vary"), Some("Origin"));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
    for method in ["OPTIONS", "POST"] {
        let reply = ask(method, "https://evil.example").await;
        assert_eq!(reply.status, 403);
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    let read = exchange(stage.http(), &request("GET", "/http-bind", &[], b"")).await;
    assert_eq!(read.status, 405);
    stage.shutdown().await;
}

/// Row 35.
#[tokio::test]
async fn what_is_switched_off_is_not_there() {
    let stage = Stage::own("[web]\nbosh = false").await;
    let poster = Poster::new(stage.http(), &[]);
    assert_eq!(poster.post("rid='1'", "").await.status, 404);
    WebClient::login(Kind::WebSocket, stage.http(), &stage.jid("john"), "any").await;
    stage.shutdown().await;
}
