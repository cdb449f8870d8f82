//! Rows 21 and 22: resources (RFC 6120, section 7).

use muster_tests::client::{Client, Mechanism, error_of, ns, show};
use muster_tests::stage::Stage;

/// A stream on which binding is due.
async fn authenticated(stage: &Stage) -> Client {
    let mut client = stage.connect().await;
    client.open().await;
    client
        .authenticate(&stage.user("john"), "any", Mechanism::Plain)
        .await
        .expect("a login");
    client.open().await;
    client
}

async fn ask(client: &mut Client, payload: &str) -> xmpp_parsers::minidom::Element {
    client
        .iq(
            "set",
            None,
            &format!("<bind xmlns='{}'>{payload}</bind>", ns::BIND),
        )
        .await
}

#[tokio::test]
async fn the_host_makes_resources_that_nobody_can_guess() {
    let stage = Stage::shared().await;
    let (one, two) = (stage.bound("john").await, stage.bound("john").await);
    assert_ne!(one.resource(), two.resource());
    assert!(one.resource().len() >= 8, "{}", one.jid());
    assert_eq!(one.bare(), stage.jid("john"));
}

#[tokio::test]
async fn a_wish_is_granted() {
    let stage = Stage::shared().await;
    for (wish, got) in [
        ("phone", "phone"),
        ("my phone & <co>", "my phone & <co>"),
        ("Büro", "Büro"),
    ] {
        let escaped = wish.replace('&', "&amp;").replace('<', "&lt;");
        let john = stage.bound_as("john", &escaped).await;
        assert_eq!(john.resource(), got);
    }
    // Old clients repeat the feature's `<required/>` in their request.
    let mut john = authenticated(&stage).await;
    let reply = ask(&mut john, "<required/><resource>old</resource>").await;
    assert_eq!(reply.attr("type"), Some("result"), "{}", show(&reply));
    // An empty wish is none.
    let mut john = authenticated(&stage).await;
    let reply = ask(&mut john, "<resource/>").await;
    assert_eq!(reply.attr("type"), Some("result"), "{}", show(&reply));
}

/// Row 21: the newer session wins.
#[tokio::test]
async fn the_same_resource_again_ends_the_older_session() {
    let stage = Stage::shared().await;
    let mut old = stage.bound_as("john", "phone").await;
    let mut new = stage.bound_as("john", "phone").await;
    assert_eq!(old.jid(), new.jid());
    old.stream_error(&["conflict"]).await;
    assert_eq!(new.settle().await.len(), 0);
}

/// Row 21.
#[tokio::test]
async fn an_eleventh_resource_is_refused_until_one_leaves() {
    let stage = Stage::shared().await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(stage.bound("john").await);
    }
    let mut eleventh = authenticated(&stage).await;
    let reply = ask(&mut eleventh, "").await;
    assert_eq!(error_of(&reply), "wait/resource-constraint");
    let error = reply.get_child("error", ns::CLIENT).expect("an error");
    assert!(
        error.has_child("resource-limit-exceeded", "urn:xmpp:errors"),
        "{}",
        show(&reply)
    );
    for session in &mut sessions {
        assert_eq!(session.settle().await.len(), 0, "nobody was thrown out");
    }
    // Other users have room.
    stage.bound("marie").await.leave().await;
    sessions.pop().expect("ten").leave().await;
    // The place is free once the host has said its goodbye; ask until then.
    loop {
        let reply = ask(&mut eleventh, "").await;
        if reply.attr("type") == Some("result") {
            break;
        }
        assert_eq!(error_of(&reply), "wait/resource-constraint");
    }
}

/// Row 22: refused, never shortened or cleaned up.
#[tokio::test]
async fn a_resource_that_is_none_is_refused() {
    let stage = Stage::shared().await;
    let long = "x".repeat(1024);
    for wish in [
        long.as_str(),
        "a\u{202e}b",
        "\u{7f}",
        "a\u{e000}",
        "\u{200e}",
    ] {
        let mut john = authenticated(&stage).await;
        let reply = ask(&mut john, &format!("<resource>{wish}</resource>")).await;
        let refusal = error_of(&reply);
        assert!(
            ["modify/bad-request", "modify/jid-malformed"].contains(&refusal.as_str()),
            "{wish:?}: {refusal}"
        );
        // Another wish is allowed.
        let reply = ask(&mut john, "<resource>phone</resource>").await;
        assert_eq!(reply.attr("type"), Some("result"), "{}", show(&reply));
    }
    let mut john = authenticated(&stage).await;
    let widest = "x".repeat(1023);
    let reply = ask(&mut john, &format!("<resource>{widest}</resource>")).await;
    assert!(show(&reply).contains(&widest), "1,023 bytes are a resource");
}

/// RFC 6120, section 7.5: one resource a stream.
#[tokio::test]
async fn a_second_bind_on_a_stream_is_refused() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let reply = ask(&mut john, "<resource>other</resource>").await;
    assert_eq!(reply.attr("type"), Some("error"));
    assert_eq!(
        john.settle().await.len(),
        0,
        "the session stays what it was"
    );
}
