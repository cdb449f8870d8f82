//! Roster get, versioning, and what a client may not do to a roster
//! (RFC 6121, section 2).

use muster_tests::client::{Mechanism, error_of, ns};
use muster_tests::stage::{Stage, item, items};
use serde_json::json;
use xmpp_parsers::minidom::Element;

/// The version in a roster result, if it carries a roster.
fn version(roster: &Element) -> Option<&str> {
    roster.get_child("query", ns::ROSTER)?.attr("ver")
}

#[tokio::test]
async fn the_roster_is_what_the_app_says() {
    let stage = Stage::shared().await;
    stage.contacts(
        "john",
        json!({
            "marie": {"name": "Marie", "groups": ["Friends", "Work"]},
            "aaron": {"subscription": "to"},
            "juliet": {"name": "Jülïet <3 & \"co\"", "subscription": "from", "unknown": [1, {}]},
            "romeo": {"subscription": "none", "groups": {"Old": true, "Form": 1}},
            "somebody@elsewhere.test": {},
        }),
    );
    let mut john = stage.bound("john").await;
    let roster = john.roster().await;
    assert_eq!(roster.attr("type"), Some("result"));
    let mut expected = vec![
        format!(
            "{} both \"Marie\" [\"Friends\", \"Work\"]",
            stage.jid("marie")
        ),
        format!("{} to", stage.jid("aaron")),
        format!("{} from {:?}", stage.jid("juliet"), "Jülïet <3 & \"co\""),
        format!("{} none [\"Form\", \"Old\"]", stage.jid("romeo")),
        "somebody@elsewhere.test both".to_owned(),
    ];
    expected.sort();
    assert_eq!(items(&roster), expected);
}

#[tokio::test]
async fn a_user_without_contacts_has_an_empty_roster() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let roster = john.roster().await;
    assert!(
        roster.get_child("query", ns::ROSTER).is_some(),
        "not 'unchanged': none was named"
    );
    assert_eq!(items(&roster), [""; 0]);
}

/// RFC 6121, section 2.6.
#[tokio::test]
async fn a_roster_that_the_client_has_is_not_sent_again() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {}}));
    let mut john = stage.connect().await;
    john.open().await;
    john.authenticate(&stage.user("john"), "any", Mechanism::Plain)
        .await
        .expect("a login");
    let features = john.open().await;
    assert!(
        features
            .get_child("ver", "urn:xmpp:features:rosterver")
            .is_some()
    );
    john.bind(None).await;

    let get = |ver: &str| format!("<query xmlns='jabber:iq:roster' ver='{ver}'/>");
    let first = john.iq("get", None, &get("")).await;
    let known = version(&first)
        .expect("a version, as the client supports them")
        .to_owned();
    assert_eq!(items(&first).len(), 1);

    let same = john.iq("get", None, &get(&known)).await;
    assert_eq!(same.attr("type"), Some("result"));
    assert!(
        same.get_child("query", ns::ROSTER).is_none(),
        "unchanged: an empty result"
    );

    stage.contacts("john", json!({"marie": {"name": "Marie"}}));
    stage.refreshed(&["john"]).await;
    let newer = john.iq("get", None, &get(&known)).await;
    assert_eq!(
        items(&newer),
        [format!("{} both \"Marie\"", stage.jid("marie"))]
    );
    assert_ne!(version(&newer), Some(known.as_str()));
}

#[tokio::test]
async fn the_version_survives_the_session() {
    let stage = Stage::shared().await;
    stage.contacts(
        "john",
        json!({"marie": {"groups": ["b", "a"]}, "aaron": {}}),
    );
    let get = |ver: &str| format!("<query xmlns='jabber:iq:roster' ver='{ver}'/>");
    let mut john = stage.bound("john").await;
    let known = version(&john.iq("get", None, &get("")).await)
        .expect("a version")
        .to_owned();
    john.leave().await;
    let mut john = stage.bound("john").await;
    let same = john.iq("get", None, &get(&known)).await;
    assert!(
        same.get_child("query", ns::ROSTER).is_none(),
        "the same contacts, the same version"
    );
}

#[tokio::test]
async fn sessions_that_ask_at_once_share_one_fetch() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {}}));
    let gate = stage.app.hold(&stage.user("john"));
    let (mut one, mut two) = (stage.bound("john").await, stage.bound("john").await);
    let ask = async {
        let rosters = tokio::join!(one.roster(), two.roster());
        assert_eq!((items(&rosters.0).len(), items(&rosters.1).len()), (1, 1));
    };
    let open = async {
        stage.app.wait_for_requests(&stage.user("john"), 1).await;
        gate.open();
    };
    tokio::join!(ask, open);
    assert_eq!(stage.app.requests_for(&stage.user("john")).len(), 1);
}

/// Row 26: the app owns the roster.
#[tokio::test]
async fn a_roster_set_is_refused_and_the_session_stays() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {}}));
    let mut john = stage.online("john").await;
    let set = format!(
        "<query xmlns='jabber:iq:roster'><item jid='{}'/></query>",
        stage.jid("aaron")
    );
    let own = stage.jid("john");
    for to in [None, Some(own.as_str())] {
        assert_eq!(
            error_of(&john.iq("set", to, &set).await),
            "cancel/service-unavailable"
        );
    }
    let remove = format!(
        "<query xmlns='jabber:iq:roster'><item jid='{}' subscription='remove'/></query>",
        stage.jid("marie")
    );
    assert_eq!(
        error_of(&john.iq("set", None, &remove).await),
        "cancel/service-unavailable"
    );
    assert_eq!(
        items(&john.roster().await),
        [format!("{} both", stage.jid("marie"))]
    );
    assert_eq!(john.settle().await.len(), 0, "no push");
}

#[tokio::test]
async fn the_roster_of_another_is_out_of_reach() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let marie = stage.online("marie").await;
    let set = format!(
        "<query xmlns='jabber:iq:roster'><item jid='{}'/></query>",
        stage.jid("aaron")
    );
    for (kind, payload) in [
        ("set", set.as_str()),
        ("get", "<query xmlns='jabber:iq:roster'/>"),
    ] {
        for whose in ["marie", "nobody"] {
            let reply = john.iq(kind, Some(&stage.jid(whose)), payload).await;
            assert_eq!(error_of(&reply), "auth/forbidden", "{kind} to {whose}");
        }
    }
    marie.leave().await;
}

/// Row 24.
#[tokio::test]
async fn a_push_that_a_client_forges_never_arrives() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    marie.settle().await;
    let forged = format!(
        "<query xmlns='jabber:iq:roster'><item jid='{}' subscription='both' name='Bank'/></query>",
        stage.jid("john")
    );
    let refusal = error_of(&john.iq("set", Some(marie.jid()), &forged).await);
    assert!(
        ["cancel/service-unavailable", "auth/forbidden"].contains(&refusal.as_str()),
        "{refusal}"
    );
    let arrived = marie.settle().await;
    assert!(
        arrived.iter().all(|stanza| stanza.name() != "iq"),
        "{arrived:?}"
    );
}

/// Row 25 and RFC 6121, section 2.1.6: an interested resource asked for its
/// roster; pushes carry no sender or the account's bare JID.
#[tokio::test]
async fn pushes_go_to_those_who_asked_and_come_from_nobody_else() {
    let stage = Stage::shared().await;
    let mut laptop = stage.bound("john").await;
    let mut phone = stage.bound("john").await;
    let mut quiet = stage.online_without_roster("john").await;
    laptop.roster().await;
    phone.roster().await;
    let mut ids = std::collections::BTreeSet::new();
    for contacts in [
        json!({"marie": {}, "aaron": {}}),
        json!({"marie": {"name": "Marie"}}),
    ] {
        stage.contacts("john", contacts);
        stage.refreshed(&["john"]).await;
        for session in [&mut laptop, &mut phone] {
            for _ in 0..2 {
                let push = session
                    .expect("a push", muster_tests::client::is_push)
                    .await;
                let from = push.attr("from");
                assert!(from.is_none() || from == Some(session.bare()), "{push:?}");
                assert!(
                    push.attr("to").is_none_or(|to| to == session.jid()),
                    "{push:?}"
                );
                let id = push.attr("id").expect("an id").to_owned();
                assert!(
                    ids.insert((session.jid().to_owned(), id)),
                    "the ids are unique in a stream"
                );
            }
        }
    }
    let stray = quiet.settle().await;
    assert!(
        stray.iter().all(|stanza| stanza.name() != "iq"),
        "{stray:?}"
    );
}

/// Invariant 1: the reply and the pushes after it add up to the app's list, even
/// if the list changes while the first fetch is on its way.
#[tokio::test]
async fn no_push_is_lost_while_the_roster_is_on_its_way() {
    let stage = Stage::shared().await;
    let user = stage.user("john");
    stage.contacts("john", json!({"marie": {}, "aaron": {}}));
    let gate = stage.app.hold(&user);
    let mut john = stage.bound("john").await;
    let login = async {
        let roster = john.roster().await;
        let mut list = items(&roster);
        while !list.contains(&format!("{} both", stage.jid("juliet"))) {
            let push = item(&john.push().await);
            let jid = push.split(' ').next().expect("a JID").to_owned();
            list.retain(|item| !item.starts_with(&jid));
            if !push.contains(" remove") {
                list.push(push);
            }
        }
        list
    };
    let change = async {
        stage.app.wait_for_requests(&user, 1).await;
        stage.contacts("john", json!({"marie": {"name": "Marie"}, "juliet": {}}));
        stage.app.hold_no_more(&user);
        let refresh = stage.refreshed(&["john"]);
        let open = async {
            // The refresh has arrived when the host is asked something after it.
            stage.ping_http().await;
            gate.open();
        };
        tokio::join!(refresh, open);
    };
    let (_, ()) = tokio::join!(login, change);
    let list = items(&john.roster().await);
    let mut expected = vec![
        format!("{} both \"Marie\"", stage.jid("marie")),
        format!("{} both", stage.jid("juliet")),
    ];
    expected.sort();
    assert_eq!(list, expected);
}
