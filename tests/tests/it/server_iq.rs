//! What the host answers by itself: disco, ping, version, and a refusal to
//! everything else, never silence (RFC 6120, section 8.2.3).

use muster_tests::client::{error_of, show};
use muster_tests::stage::{DOMAIN, Stage};

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";

#[tokio::test]
async fn ping_is_answered() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let own = john.bare().to_owned();
    for to in [None, Some(DOMAIN), Some(own.as_str())] {
        let reply = john.iq("get", to, "<ping xmlns='urn:xmpp:ping'/>").await;
        assert_eq!(
            (reply.attr("type"), reply.attr("from")),
            (Some("result"), to),
            "{to:?}"
        );
    }
}

#[tokio::test]
async fn disco_tells_what_there_is_and_nothing_more() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let own = john.bare().to_owned();
    for (to, category) in [(DOMAIN, "server"), (own.as_str(), "account")] {
        let reply = john
            .iq("get", Some(to), &format!("<query xmlns='{DISCO_INFO}'/>"))
            .await;
        let query = reply.get_child("query", DISCO_INFO).expect("a query");
        let identity = query
            .get_child("identity", DISCO_INFO)
            .expect("an identity");
        assert_eq!(identity.attr("category"), Some(category));
        let features: Vec<&str> = query
            .children()
            .filter_map(|child| child.attr("var"))
            .collect();
        assert!(
            features.contains(&DISCO_INFO) && features.contains(&"urn:xmpp:ping"),
            "{features:?}"
        );
        for present in ["urn:xmpp:carbons:2", "urn:xmpp:blocking", "vcard-temp"] {
            assert!(features.contains(&present), "{present}: {features:?}");
        }
        for absent in ["urn:xmpp:mam:2", "urn:xmpp:csi:0", "jabber:iq:register"] {
            assert!(!features.contains(&absent), "{absent} does not exist");
        }
        let items = john
            .iq("get", Some(to), &format!("<query xmlns='{DISCO_ITEMS}'/>"))
            .await;
        assert!(items.has_child("query", DISCO_ITEMS), "{}", show(&items));
    }
    let node = format!("<query xmlns='{DISCO_INFO}' node='nowhere'/>");
    assert_eq!(
        error_of(&john.iq("get", Some(DOMAIN), &node).await),
        "cancel/item-not-found"
    );
}

/// Somebody else's account says nothing, whether it exists or not.
#[tokio::test]
async fn the_account_of_another_is_no_service() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let _marie = stage.online("marie").await;
    for whose in ["marie", "nobody"] {
        for query in [
            format!("<query xmlns='{DISCO_INFO}'/>"),
            "<ping xmlns='urn:xmpp:ping'/>".to_owned(),
        ] {
            let reply = john.iq("get", Some(&stage.jid(whose)), &query).await;
            assert_eq!(
                error_of(&reply),
                "cancel/service-unavailable",
                "{whose}: {query}"
            );
        }
    }
}

#[tokio::test]
async fn version_and_the_legacy_session_are_answered() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let version = john
        .iq("get", Some(DOMAIN), "<query xmlns='jabber:iq:version'/>")
        .await;
    let query = version
        .get_child("query", "jabber:iq:version")
        .expect("a version");
    assert!(
        query.has_child("name", "jabber:iq:version")
            && query.has_child("version", "jabber:iq:version")
    );
    let session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>";
    assert_eq!(
        john.iq("set", None, session).await.attr("type"),
        Some("result")
    );
}

#[tokio::test]
async fn whatever_else_is_asked_is_refused() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let own = john.bare().to_owned();
    for to in [None, Some(DOMAIN), Some(own.as_str())] {
        for payload in [
            "<query xmlns='urn:xmpp:mam:2'/>",
            "<query xmlns='jabber:iq:register'/>",
            "<x xmlns='urn:example:unknown'/>",
        ] {
            for kind in ["get", "set"] {
                let reply = john.iq(kind, to, payload).await;
                assert_eq!(
                    error_of(&reply),
                    "cancel/service-unavailable",
                    "{kind} {payload} to {to:?}"
                );
            }
        }
    }
}

/// Answers to nothing vanish; they must not start a war of errors.
#[tokio::test]
async fn stray_answers_are_swallowed() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    for to in [
        String::new(),
        format!(" to='{DOMAIN}'"),
        format!(" to='{}'", john.bare()),
    ] {
        john.send(format!("<iq type='result' id='1'{to}/>")).await;
        john.send(format!(
            "<iq type='error' id='2'{to}><error type='cancel'/></iq>"
        ))
        .await;
        john.send(format!("<message type='error' id='3'{to}/>"))
            .await;
        john.send(format!("<presence type='error' id='4'{to}/>"))
            .await;
    }
    let came = john.settle().await;
    assert!(came.is_empty(), "{came:?}");
}

#[tokio::test]
async fn a_message_to_the_domain_is_refused() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    john.send(format!(
        "<message to='{DOMAIN}' id='m'><body>hi</body></message>"
    ))
    .await;
    let reply = john
        .expect("a reply", |stanza| stanza.attr("id") == Some("m"))
        .await;
    assert_eq!(error_of(&reply), "cancel/service-unavailable");
    assert_eq!(reply.attr("from"), Some(DOMAIN));
}
