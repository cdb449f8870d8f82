//! Presence among contacts (RFC 6121, section 4), and what a refresh does to it.

use muster_tests::client::{Client, is_push, show};
use muster_tests::stage::{Stage, item};
use serde_json::json;
use xmpp_parsers::minidom::Element;

/// `available` or the type of a presence stanza.
fn kind(presence: &Element) -> &str {
    presence.attr("type").unwrap_or("available")
}

/// The next presence from this JID.
async fn presence_from(client: &mut Client, from: &str) -> Element {
    let what = format!("presence from {from}");
    let wanted =
        |stanza: &Element| stanza.name() == "presence" && stanza.attr("from") == Some(from);
    client.expect(&what, wanted).await
}

/// Every presence that arrived unasked: `kind from`.
async fn stray(client: &mut Client) -> Vec<String> {
    let stanzas = client.settle().await;
    let presences = stanzas.iter().filter(|stanza| stanza.name() == "presence");
    presences
        .map(|presence| {
            format!(
                "{} {}",
                kind(presence),
                presence.attr("from").unwrap_or("?")
            )
        })
        .collect()
}

/// RFC 6121, sections 4.2 and 4.3.
#[tokio::test]
async fn initial_presence_meets_that_of_the_contacts() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    marie
        .send("<presence><show>away</show><status>tea</status><priority>7</priority></presence>")
        .await;
    let mut john = stage.online("john").await;
    let hers = presence_from(&mut john, marie.jid()).await;
    assert_eq!(kind(&hers), "available");
    let text = show(&hers);
    for part in ["away", "tea", "7"] {
        assert!(text.contains(part), "the whole of her presence: {text}");
    }
    let his = presence_from(&mut marie, john.jid()).await;
    assert_eq!(
        (kind(&his), his.attr("to")),
        ("available", Some(marie.bare()))
    );
}

/// RFC 6121, section 4.4.
#[tokio::test]
async fn updates_reach_the_contacts_whole() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let (mut john, mut marie) = (stage.online("john").await, stage.online("marie").await);
    presence_from(&mut marie, john.jid()).await;
    john.send(
        "<presence><show>dnd</show><status xml:lang='de'>nö</status>\
         <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>",
    )
    .await;
    let update = presence_from(&mut marie, john.jid()).await;
    let text = show(&update);
    assert!(text.contains("dnd") && text.contains("nö"), "{text}");
    assert!(
        update
            .get_child("c", "http://jabber.org/protocol/caps")
            .is_some(),
        "{text}"
    );
}

#[tokio::test]
async fn all_resources_see_each_other() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut laptop = stage.online("john").await;
    let mut phone = stage.online("john").await;
    presence_from(&mut laptop, phone.jid()).await;
    presence_from(&mut phone, laptop.jid()).await;
    let mut marie = stage.online("marie").await;
    for session in [&mut laptop, &mut phone] {
        presence_from(session, marie.jid()).await;
        presence_from(&mut marie, session.jid()).await;
    }
    let gone = phone.jid().to_owned();
    phone.leave().await;
    for session in [&mut laptop, &mut marie] {
        assert_eq!(kind(&presence_from(session, &gone).await), "unavailable");
    }
    assert_eq!(stray(&mut marie).await, [""; 0], "only the phone has gone");
}

/// RFC 6121, section 4.5: exactly one unavailable, whatever ends the session.
#[tokio::test]
async fn every_end_of_a_session_is_told_once() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    for end in [
        "unavailable",
        "close",
        "reset",
        "fin",
        "stream error",
        "conflict",
    ] {
        let mut john = stage.bound_as("john", "phone").await;
        john.roster().await;
        john.available().await;
        let jid = john.jid().to_owned();
        assert_eq!(
            kind(&presence_from(&mut marie, &jid).await),
            "available",
            "before {end}"
        );
        let mut replacement = None;
        match end {
            "unavailable" => {
                john.send("<presence type='unavailable'><status>bye</status></presence>")
                    .await;
                john.leave().await;
            }
            "close" => john.leave().await,
            "reset" => john.vanish(),
            "fin" => drop(john),
            "stream error" => john.send("<oops/>").await,
            _ => {
                replacement = Some(stage.bound_as("john", "phone").await);
                john.stream_error(&["conflict"]).await;
            }
        }
        let last = presence_from(&mut marie, &jid).await;
        assert_eq!(kind(&last), "unavailable", "after {end}");
        assert_eq!(
            show(&last).contains("bye"),
            end == "unavailable",
            "{}",
            show(&last)
        );
        drop(replacement);
        stage.until_offline("john").await;
        assert_eq!(stray(&mut marie).await, [""; 0], "after {end}");
    }
}

/// RFC 6121, section 4.5.2: who only left presence can come back.
#[tokio::test]
async fn an_unavailable_resource_gets_no_presence_until_it_returns() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let (mut john, mut marie) = (stage.online("john").await, stage.online("marie").await);
    presence_from(&mut marie, john.jid()).await;
    presence_from(&mut john, marie.jid()).await;
    john.send("<presence type='unavailable'/>").await;
    presence_from(&mut marie, john.jid()).await;
    john.settle().await;
    marie.send("<presence><show>xa</show></presence>").await;
    marie.settle().await;
    assert_eq!(stray(&mut john).await, [""; 0]);
    john.available().await;
    assert!(show(&presence_from(&mut john, marie.jid()).await).contains("xa"));
    assert_eq!(
        kind(&presence_from(&mut marie, john.jid()).await),
        "available"
    );
}

/// RFC 6121, section 4.6.
#[tokio::test]
async fn directed_presence_is_delivered_and_its_end_too() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let mut stranger = stage.online("stranger").await;
    john.send(format!(
        "<presence to='{}'><status>hello</status></presence>",
        stranger.jid()
    ))
    .await;
    let hello = presence_from(&mut stranger, john.jid()).await;
    assert!(show(&hello).contains("hello"));
    // A broadcast is none of the stranger's business.
    john.send("<presence><show>away</show></presence>").await;
    john.settle().await;
    assert_eq!(stray(&mut stranger).await, [""; 0]);
    let jid = john.jid().to_owned();
    john.vanish();
    assert_eq!(
        kind(&presence_from(&mut stranger, &jid).await),
        "unavailable"
    );
}

#[tokio::test]
async fn directed_presence_that_was_taken_back_is_not_ended_again() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let mut stranger = stage.online("stranger").await;
    john.send(format!("<presence to='{}'/>", stranger.jid()))
        .await;
    john.send(format!(
        "<presence to='{}' type='unavailable'/>",
        stranger.jid()
    ))
    .await;
    assert_eq!(
        kind(&presence_from(&mut stranger, john.jid()).await),
        "available"
    );
    assert_eq!(
        kind(&presence_from(&mut stranger, john.jid()).await),
        "unavailable"
    );
    john.leave().await;
    stage.until_offline("john").await;
    assert_eq!(stray(&mut stranger).await, [""; 0]);
}

#[tokio::test]
async fn new_contacts_see_each_other_at_once() {
    let stage = Stage::shared().await;
    let (mut john, mut marie) = (stage.online("john").await, stage.online("marie").await);
    marie.send("<presence><show>chat</show></presence>").await;
    marie.settle().await;
    stage.befriend(&["john", "marie"]);
    stage.refreshed(&["john", "marie"]).await;
    assert_eq!(
        item(&john.push().await),
        format!("{} both", stage.jid("marie"))
    );
    assert_eq!(
        item(&marie.push().await),
        format!("{} both", stage.jid("john"))
    );
    assert!(show(&presence_from(&mut john, marie.jid()).await).contains("chat"));
    assert_eq!(
        kind(&presence_from(&mut marie, john.jid()).await),
        "available"
    );
}

/// Row 28.
#[tokio::test]
async fn a_removed_contact_gets_unavailable_and_nothing_after() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let (mut john, mut marie) = (stage.online("john").await, stage.online("marie").await);
    presence_from(&mut john, marie.jid()).await;
    presence_from(&mut marie, john.jid()).await;
    // John's list changes first; Marie's own follows in a refresh of hers.
    stage.contacts("john", json!({}));
    stage.refreshed(&["john"]).await;
    let his = john.settle().await;
    let push = his.iter().position(is_push).expect("the removal is pushed");
    let bye = his.iter().position(|stanza| kind(stanza) == "unavailable");
    let bye = bye.unwrap_or_else(|| panic!("no unavailable in {his:?}"));
    assert!(push < bye, "first the push, then unavailable: {his:?}");
    assert_eq!(his[bye].attr("from"), Some(marie.jid()), "{his:?}");
    let unavailable = format!("unavailable {}", john.jid());
    assert_eq!(stray(&mut marie).await, [unavailable]);

    stage.contacts("marie", json!({}));
    stage.refreshed(&["marie"]).await;
    assert_eq!(
        item(&marie.push().await),
        format!("{} remove", stage.jid("john"))
    );
    // And nothing after, whatever either of them does.
    john.send("<presence><show>away</show></presence>").await;
    john.settle().await;
    let probe = format!("<presence to='{}' type='probe'/>", stage.jid("john"));
    marie.send(probe).await;
    assert_eq!(stray(&mut marie).await, [""; 0]);
    marie.send("<presence><show>away</show></presence>").await;
    marie.settle().await;
    let marie_jid = marie.jid().to_owned();
    assert!(
        stray(&mut john)
            .await
            .iter()
            .all(|presence| !presence.contains(&marie_jid))
    );
    john.leave().await;
    stage.until_offline("john").await;
    assert_eq!(stray(&mut marie).await, [""; 0]);
}

#[tokio::test]
async fn a_renamed_contact_exchanges_no_presence_again() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let (mut john, mut marie) = (stage.online("john").await, stage.online("marie").await);
    presence_from(&mut john, marie.jid()).await;
    presence_from(&mut marie, john.jid()).await;
    stage.contacts("john", json!({"marie": {"name": "Marie"}}));
    stage.refreshed(&["john"]).await;
    john.push().await;
    assert_eq!(stray(&mut john).await, [""; 0]);
    assert_eq!(stray(&mut marie).await, [""; 0]);
}

/// RFC 6120, section 8.3: an update that is not presence is refused.
#[tokio::test]
async fn a_priority_that_is_no_number_is_a_bad_request() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let (mut john, mut marie) = (stage.online("john").await, stage.online("marie").await);
    presence_from(&mut marie, john.jid()).await;
    for priority in ["high", "128", "-129", ""] {
        john.send(format!(
            "<presence id='p'><priority>{priority}</priority></presence>"
        ))
        .await;
        let reply = john
            .expect("a reply", |stanza| stanza.attr("id") == Some("p"))
            .await;
        assert_eq!(
            muster_tests::client::error_of(&reply),
            "modify/bad-request",
            "{priority:?}"
        );
    }
    assert_eq!(stray(&mut marie).await, [""; 0]);
}
