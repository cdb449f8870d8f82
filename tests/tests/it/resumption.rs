//! Sessions that outlive their connection (XEP-0198), and what the host does
//! about peers that are gone.

mod cuts;
mod dead_peers;

use muster_tests::client::{Client, Mechanism, is_push, ns, show};
use muster_tests::dice::{Dice, from_environment};
use muster_tests::managed::{Managed, SM, authenticated, resume};
use muster_tests::stage::{DOMAIN, Stage};
use muster_tests::web::{Kind, WebClient};
use muster_tests::wire::{End, Fate, Wire};
use muster_tests::within;
use serde_json::json;
use std::time::{Duration, Instant};
use xmpp_parsers::minidom::Element;

/// An available session that can be resumed.
async fn managed(stage: &Stage, name: &str) -> Managed {
    Managed::enable(stage.online(name).await).await
}

/// One whose connection can break.
async fn managed_over(wire: &Wire, stage: &Stage, name: &str) -> Managed {
    let account = stage.jid(name);
    let client = Client::login(wire.address(), &account, "any", None, Mechanism::Plain);
    Managed::enable(client.await).await
}

fn is_message(element: &Element) -> bool {
    element.name() == "message"
}

fn is_unavailable(element: &Element) -> bool {
    element.name() == "presence" && element.attr("type") == Some("unavailable")
}

fn message(to: &str, id: &str) -> String {
    format!("<message to='{to}' id='{id}' type='chat'><body>{id}</body></message>")
}

/// The condition of a `<failed/>`, and its count.
fn failed(element: &Element) -> (String, Option<String>) {
    assert_eq!(
        (element.name(), element.ns().as_str()),
        ("failed", SM),
        "{}",
        show(element)
    );
    let condition = element.children().next().expect("a condition");
    (
        condition.name().to_owned(),
        element.attr("h").map(str::to_owned),
    )
}

#[tokio::test]
async fn a_resumed_client_gets_what_it_missed() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    let mut john = managed(&stage, "john").await;
    assert_eq!(john.max.as_deref(), Some("300"));
    let jid = john.jid().to_owned();
    marie
        .expect("john's presence", |it| it.attr("from") == Some(&jid))
        .await;
    john.vanish();

    marie.send(message(&jid, "1")).await;
    marie.send(message(&stage.jid("john"), "2")).await;
    stage.contacts("john", json!({"marie": {"name": "Marie"}}));
    stage.refreshed(&["john"]).await;
    let back = marie.settle().await;
    assert!(back.is_empty(), "nobody noticed: {back:?}");

    let begin = Instant::now();
    john.resume(stage.xmpp()).await;
    assert!(begin.elapsed() < Duration::from_secs(1));
    for id in ["1", "2"] {
        let message = john.expect("a message", is_message).await;
        assert_eq!(message.attr("id"), Some(id));
    }
    let push = john.expect("the push", is_push).await;
    let query = push.get_child("query", ns::ROSTER).expect("a query");
    let item = query.children().next().expect("an item");
    assert_eq!(item.attr("name"), Some("Marie"));
    john.say(message(&stage.jid("marie"), "3")).await;
    marie.expect("a message", is_message).await;
}

#[tokio::test]
async fn a_session_is_resumed_by_its_own_account_and_name_only() {
    let stage = Stage::shared().await;
    let mut away = managed(&stage, "john").await;
    away.vanish();
    for (name, previd) in [
        ("marie", away.previd()),
        ("john", "0123456789abcdef"),
        ("john", ""),
    ] {
        let client = authenticated(stage.xmpp(), &stage.jid(name)).await;
        let mut client = client.expect("a connection that holds");
        client.send(resume(previd, 0)).await;
        let refusal = client.element("a refusal").await;
        assert_eq!(failed(&refusal), ("item-not-found".to_owned(), None));
        // Another session can begin all the same.
        client.bind(None).await;
        client.settle().await;
    }
    away.resume(stage.xmpp()).await;
}

#[tokio::test]
async fn what_the_client_still_waits_for_comes_over_the_new_connection() {
    let stage = Stage::shared().await;
    let gate = stage.app.hold(&stage.user("john"));
    let mut john = Managed::enable(stage.bound("john").await).await;
    john.say("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    stage.app.wait_for_requests(&stage.user("john"), 1).await;
    john.vanish();
    john.resume(stage.xmpp()).await;
    assert_eq!(john.unacknowledged(), 0, "the question was handled");
    gate.open();
    let result = john
        .expect("the roster", |it| it.attr("id") == Some("roster"))
        .await;
    assert_eq!(result.attr("type"), Some("result"));
    john.say("<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    let next = john.expect("an answer", |it| it.name() == "iq").await;
    assert_eq!(next.attr("id"), Some("ping"), "and it comes once");
}

#[tokio::test]
async fn a_session_that_looks_alive_is_taken_over() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    let mut john = managed(&stage, "john").await;
    let jid = john.jid().to_owned();
    marie
        .expect("john's presence", |it| it.attr("from") == Some(&jid))
        .await;
    let mut old = john.abandon().expect("a connection");
    john.resume(stage.xmpp()).await;
    old.stream_error(&["conflict"]).await;
    marie.send(message(&jid, "1")).await;
    john.expect("a message", is_message).await;
    let unnoticed = marie.settle().await;
    assert!(!unnoticed.iter().any(is_unavailable), "{unnoticed:?}");
}

#[tokio::test]
async fn a_session_can_be_resumed_again_and_again() {
    let stage = Stage::shared().await;
    let mut marie = stage.bound("marie").await;
    let mut john = managed(&stage, "john").await;
    let jid = john.jid().to_owned();
    for round in 0..5 {
        let id = round.to_string();
        john.vanish();
        marie.send(message(&jid, &id)).await;
        john.resume(stage.xmpp()).await;
        let message = john.expect("a message", is_message).await;
        assert_eq!(message.attr("id"), Some(id.as_str()));
    }
}

#[tokio::test]
async fn a_session_goes_on_over_another_kind_of_connection() {
    for kind in Kind::ALL {
        let stage = Stage::shared().await;
        let mut marie = stage.bound("marie").await;
        let mut john = managed(&stage, "john").await;
        let jid = john.jid().to_owned();
        john.vanish();
        marie.send(message(&jid, "1")).await;
        marie.settle().await;
        let mut web = WebClient::connect(kind, stage.http(), DOMAIN).await;
        web.open().await;
        web.plain(&stage.user("john"), "any").await;
        web.reopen().await;
        web.send(&resume(john.previd(), john.handled())).await;
        let resumed = web.element("<resumed/>").await;
        assert_eq!(resumed.name(), "resumed", "{}", show(&resumed));
        assert_eq!(web.message().await, "1");
        marie.send(message(&jid, "2")).await;
        assert_eq!(web.message().await, "2");
        // And back; of the two messages one was handled, says the client.
        john.handled_elsewhere(1);
        john.resume(stage.xmpp()).await;
        let again = john.expect("the second message", is_message).await;
        assert_eq!(again.attr("id"), Some("2"), "{kind:?}");
    }
}

#[tokio::test]
async fn a_session_that_nobody_resumes_ends_once() {
    let stage = Stage::own("[limits.xmpp]\nresume_timeout = '200ms'").await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    let mut john = managed(&stage, "john").await;
    let jid = john.jid().to_owned();
    john.say(message(&stage.jid("marie"), "1")).await;
    marie.expect("john's message", is_message).await;
    john.vanish();
    marie.send(message(&jid, "lost")).await;
    marie.expect("john's end", is_unavailable).await;
    assert!(
        !marie.settle().await.iter().any(is_unavailable),
        "it is said once"
    );
    let client = authenticated(stage.xmpp(), &stage.jid("john")).await;
    let mut client = client.expect("a connection that holds");
    client.send(resume(john.previd(), 0)).await;
    let refusal = client.element("a refusal").await;
    let handled = Some("1".to_owned());
    assert_eq!(failed(&refusal), ("item-not-found".to_owned(), handled));
    // What he never got is kept for him.
    let mut john = stage.online("john").await;
    john.expect("the message", |it| it.attr("id") == Some("lost"))
        .await;
    assert!(!john.settle().await.iter().any(is_message), "it comes once");
}

#[tokio::test]
async fn who_went_away_while_it_was_too_fast_can_come_back() {
    let stage = Stage::own(
        "[limits.xmpp]\nidle_ping = '1s'\n\
         [limits.xmpp.after_auth]\nstanzas_per_second = 20\nburst = '1s'",
    )
    .await;
    let mut john = managed(&stage, "john").await;
    let jid = john.jid().to_owned();
    let mut marie = stage.bound("marie").await;
    // Half a second more than it may say at once.
    for _ in 0..30 {
        john.nonza(&message(marie.jid(), "x")).await;
    }
    john.ask().await;
    marie.expect("the first of it", is_message).await;
    john.vanish();
    // Writing to it shows that it is gone.
    marie.send(message(&jid, "1")).await;
    // By then the host would listen to it again.
    marie
        .expect("a question after a second", |it| {
            it.attr("type") == Some("get")
        })
        .await;
    let client = authenticated(stage.xmpp(), &stage.jid("john")).await;
    let mut client = client.expect("a connection that holds");
    client.send(resume(john.previd(), 0)).await;
    let resumed = client.element("an answer").await;
    assert_eq!(resumed.name(), "resumed", "{}", show(&resumed));
}

#[tokio::test]
async fn a_session_that_is_left_in_good_order_is_over() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    let mut john = managed(&stage, "john").await;
    john.nonza("</stream:stream>").await;
    marie.expect("john's end", is_unavailable).await;
    let client = authenticated(stage.xmpp(), &stage.jid("john")).await;
    let mut client = client.expect("a connection that holds");
    client.send(resume(john.previd(), 0)).await;
    failed(&client.element("a refusal").await);
}

#[tokio::test]
async fn a_parked_mailbox_has_its_bounds() {
    let stage = Stage::own("[limits.xmpp]\nmailbox_messages = 20").await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    let mut john = managed(&stage, "john").await;
    let jid = john.jid().to_owned();
    marie
        .expect("john's presence", |it| it.attr("from") == Some(&jid))
        .await;
    john.vanish();
    for number in 10..50 {
        marie
            .send(message(&stage.jid("john"), &number.to_string()))
            .await;
    }
    marie.expect("john's end", is_unavailable).await;
    assert!(
        !marie.settle().await.iter().any(is_message),
        "nothing comes back"
    );
    let client = authenticated(stage.xmpp(), &stage.jid("john")).await;
    let mut client = client.expect("a connection that holds");
    client.send(resume(john.previd(), 0)).await;
    failed(&client.element("a refusal").await);
    // Nothing is lost either: what waited for him is kept, and what came then.
    let mut john = stage.online("john").await;
    let mut came = Vec::new();
    while came.len() < 40 {
        let message = john.expect("a kept message", is_message).await;
        came.push(message.attr("id").expect("an id").to_owned());
    }
    came.sort();
    let all: Vec<_> = (10..50).map(|number| number.to_string()).collect();
    assert_eq!(came, all);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_are_away() {
    let stage = Stage::own("[limits]\ndrain = '9s'").await;
    let mut alive = managed(&stage, "john").await;
    managed(&stage, "marie").await.vanish();
    let begin = Instant::now();
    let stopped = stage.shutdown();
    let heard = async { while alive.hear().await.is_ok() {} };
    tokio::join!(stopped, heard);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn those_who_are_away_give_way_to_those_who_come() {
    let stage = Stage::own("[limits.xmpp]\nresources_per_user = 2").await;
    let mut first = managed(&stage, "john").await;
    first.vanish();
    let _second = stage.bound("john").await;
    let third = authenticated(stage.xmpp(), &stage.jid("john")).await;
    let mut third = third.expect("a connection that holds");
    // Refused until the host has noticed that the first one is away.
    let bind = format!("<bind xmlns='{}'/>", ns::BIND);
    while third.iq("set", None, &bind).await.attr("type") != Some("result") {}
    let client = authenticated(stage.xmpp(), &stage.jid("john")).await;
    let mut client = client.expect("a connection that holds");
    client.send(resume(first.previd(), 0)).await;
    failed(&client.element("a refusal").await);
}

#[tokio::test]
async fn those_who_are_away_are_counted() {
    let stage = Stage::own(
        "[limits.xmpp]\nparked_sessions = 1\nidle_ping = '1s'\nping_timeout = '100ms'\n\
         mailbox_messages = 1000000\nmailbox_bytes = '1GiB'",
    )
    .await;
    let wire = Wire::to(stage.xmpp()).await;
    let mut john = managed_over(&wire, &stage, "john").await;
    wire.break_now(End::Dead);
    wire.given_up(1).await;
    let mut marie = managed(&stage, "marie").await;
    marie.vanish();
    within("the end of the session", stage.until_offline("marie")).await;
    john.vanish();
    john.resume(stage.xmpp()).await;
}

#[tokio::test]
async fn what_the_old_owner_of_a_resource_never_got_goes_to_the_new_one() {
    let stage = Stage::shared().await;
    let mut marie = stage.bound("marie").await;
    let mut john = stage.bound_as("john", "phone").await;
    john.available().await;
    Managed::enable(john).await.vanish();
    let mut other = stage.bound_as("john", "laptop").await;
    other.available().await;
    let jid = format!("{}/phone", stage.jid("john"));
    marie.send(message(&jid, "1")).await;
    marie.settle().await;
    let _new = stage.bound_as("john", "phone").await;
    let message = other.expect("the message", is_message).await;
    assert_eq!(message.attr("id"), Some("1"));
}

#[tokio::test]
async fn a_client_that_nobody_looks_at_is_spared() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    let jid = john.jid().to_owned();
    let marie_jid = marie.jid().to_owned();
    john.expect("marie's presence", |it| it.attr("from") == Some(&marie_jid))
        .await;
    john.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
    // What is sent from here on comes after the stanza.
    john.settle().await;
    for show in ["away", "dnd", "xa"] {
        marie
            .send(format!("<presence><show>{show}</show></presence>"))
            .await;
    }
    marie.send(format!(
        "<message to='{jid}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
    ))
    .await;
    marie.settle().await;
    marie.send(message(&jid, "1")).await;
    let first = john.element("the last presence").await;
    let show_text = first.get_child("show", ns::CLIENT).map(Element::text);
    assert_eq!(show_text.as_deref(), Some("xa"), "{}", show(&first));
    let second = john.element("the chat state").await;
    assert!(second.has_child("composing", "http://jabber.org/protocol/chatstates"));
    assert_eq!(john.element("the message").await.attr("id"), Some("1"));
}
