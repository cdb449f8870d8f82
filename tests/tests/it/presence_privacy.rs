//! Row 27: who is not a contact learns nothing, and the app alone says who is
//! one.

use muster_tests::client::{Client, is_push};
use muster_tests::stage::Stage;
use serde_json::json;
use xmpp_parsers::minidom::Element;

/// What came that says anything: `name type from`.
async fn heard(client: &mut Client) -> Vec<String> {
    let stanzas = client.settle().await;
    let line = |stanza: &Element| {
        let attribute = |name: &str| stanza.attr(name).unwrap_or("-").to_owned();
        format!(
            "{} {} {}",
            stanza.name(),
            attribute("type"),
            attribute("from")
        )
    };
    stanzas.iter().map(line).collect()
}

/// A probe by a stranger is answered alike for who is there and who is not.
#[tokio::test]
async fn a_probe_by_a_stranger_tells_nothing() {
    let stage = Stage::shared().await;
    stage.befriend(&["marie", "aaron"]);
    let mut marie = stage.online("marie").await;
    marie.settle().await;
    let mut john = stage.online("john").await;
    john.settle().await;
    let mut answers = Vec::new();
    for whose in ["marie", "nobody"] {
        john.send(format!(
            "<presence to='{}' type='probe'/>",
            stage.jid(whose)
        ))
        .await;
        let answer = heard(&mut john).await;
        answers.push(
            answer
                .iter()
                .map(|line| line.replace(&stage.jid(whose), "?"))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(answers[0], answers[1]);
    let probe = format!("<presence to='{}' type='probe'/>", marie.jid());
    john.send(probe).await;
    let answer = heard(&mut john).await;
    assert!(
        answer.iter().all(|line| !line.contains(marie.resource())),
        "{answer:?}"
    );
    assert!(
        answer.iter().all(|line| !line.starts_with("presence -")),
        "{answer:?}"
    );
    assert_eq!(heard(&mut marie).await, [""; 0], "and she is not bothered");
}

/// Listing somebody does not make that somebody visible.
#[tokio::test]
async fn a_one_way_listing_reveals_nobody() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {}}));
    let mut marie = stage.online("marie").await;
    marie.settle().await;
    let mut john = stage.online("john").await;
    john.send(format!(
        "<presence to='{}' type='probe'/>",
        stage.jid("marie")
    ))
    .await;
    marie.send("<presence><show>away</show></presence>").await;
    marie.settle().await;
    let his = heard(&mut john).await;
    assert!(
        his.iter().all(|line| !line.contains(marie.resource())),
        "{his:?}"
    );
    let jid = marie.jid().to_owned();
    marie.leave().await;
    stage.until_offline("marie").await;
    let his = heard(&mut john).await;
    assert!(his.iter().all(|line| !line.contains(&jid)), "{his:?}");
}

/// Presence flows as the subscriptions say: `from` means that the contact sees
/// the user.
#[tokio::test]
async fn presence_flows_in_the_direction_of_the_subscription() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {"subscription": "from"}}));
    stage.contacts("marie", json!({"john": {"subscription": "to"}}));
    let mut marie = stage.online("marie").await;
    let mut john = stage.online("john").await;
    let his = john.jid().to_owned();
    marie
        .expect("john's presence", |stanza| {
            stanza.attr("from") == Some(&his)
        })
        .await;
    marie.send("<presence><show>away</show></presence>").await;
    marie.settle().await;
    assert_eq!(heard(&mut john).await, [""; 0]);
    john.send("<presence><show>away</show></presence>").await;
    marie
        .expect("john's update", |stanza| stanza.attr("from") == Some(&his))
        .await;
}

/// `mod_block_subscriptions`: such presence passes in no direction and changes
/// no roster.
#[tokio::test]
async fn subscriptions_are_not_for_clients() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let (mut john, mut marie) = (stage.online("john").await, stage.online("marie").await);
    let mut stranger = stage.online("stranger").await;
    for session in [&mut john, &mut marie, &mut stranger] {
        session.settle().await;
    }
    let before = stage.app.requests().len();
    for kind in ["subscribe", "subscribed", "unsubscribe", "unsubscribed"] {
        for to in [
            stage.jid("marie"),
            stage.jid("stranger"),
            stage.jid("nobody"),
            marie.jid().to_owned(),
        ] {
            john.send(format!("<presence to='{to}' type='{kind}'/>"))
                .await;
        }
    }
    let his = john.settle().await;
    assert!(!his.iter().any(is_push), "{his:?}");
    assert!(
        his.iter()
            .all(|stanza| stanza.attr("type") == Some("error")),
        "{his:?}"
    );
    assert_eq!(heard(&mut marie).await, [""; 0]);
    assert_eq!(heard(&mut stranger).await, [""; 0]);
    // Nothing has changed: presence still flows.
    john.send("<presence><show>away</show></presence>").await;
    let from = john.jid().to_owned();
    marie
        .expect("presence", |stanza| stanza.attr("from") == Some(&from))
        .await;
    assert!(stage.app.requests().len() >= before);
}

/// A contact elsewhere is on the list and costs nothing else.
#[tokio::test]
async fn contacts_of_other_domains_are_listed_and_left_alone() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"somebody@elsewhere.test": {}}));
    let mut john = stage.online("john").await;
    assert_eq!(heard(&mut john).await, [""; 0]);
    john.send("<message to='somebody@elsewhere.test' id='m'><body>hi</body></message>")
        .await;
    let reply = john
        .expect("an error", |stanza| stanza.attr("id") == Some("m"))
        .await;
    assert_eq!(
        muster_tests::client::error_of(&reply),
        "cancel/remote-server-not-found"
    );
}
