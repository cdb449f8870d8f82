//! Every request to the server, to oneself, to others and to places that do
//! not exist gets one answer (RFC 6120, section 8.2.3), and those of others'
//! accounts tell nothing.

use muster_tests::client::{Client, error_of, show};
use muster_tests::stage::{DOMAIN, Stage};
use std::collections::BTreeMap;
use xmpp_parsers::minidom::Element;

/// What clients ask at login, what they ask later, and what nobody knows.
const REQUESTS: [&str; 26] = [
    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
    "<query xmlns='jabber:iq:version'/>",
    "<query xmlns='jabber:iq:last'/>",
    "<time xmlns='urn:xmpp:time'/>",
    "<query xmlns='jabber:iq:roster'/>",
    "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
    "<query xmlns='jabber:iq:private'/>",
    "<vCard xmlns='vcard-temp'/>",
    "<vCard xmlns='other'/>",
    "<enable xmlns='urn:xmpp:carbons:2'/>",
    "<blocklist xmlns='urn:xmpp:blocking'/>",
    "<block xmlns='urn:xmpp:blocking'><item jid='nobody.test'/></block>",
    "<unblock xmlns='urn:xmpp:blocking'/>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='storage:bookmarks'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'/>",
    "<query xmlns='urn:xmpp:mam:2'/>",
    "<query xmlns='jabber:iq:register'/>",
    "<request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/>",
    "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>",
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
    "<x xmlns='urn:example:unknown'/>",
    "<iq/>",
];

/// Answers what came to `client` from others, as a client does.
async fn answer_all(client: &mut Client) {
    for stanza in client.settle().await {
        if stanza.name() == "iq" && matches!(stanza.attr("type"), Some("get" | "set")) {
            let (id, to) = (stanza.attr("id"), stanza.attr("from"));
            let (id, to) = (id.unwrap_or_default(), to.unwrap_or_default());
            client
                .send(format!("<iq type='result' id='{id}' to='{to}'/>"))
                .await;
        }
    }
    client.settle().await;
}

#[tokio::test]
async fn every_request_gets_exactly_one_answer() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    let (own, account) = (john.jid().to_owned(), john.bare().to_owned());
    let targets = [
        None,
        Some(account.clone()),
        Some(format!("{account}/gone")),
        Some(DOMAIN.to_owned()),
        Some(format!("{DOMAIN}/x")),
        Some(stage.jid("marie")),
        Some(format!("{}/gone", stage.jid("marie"))),
        Some(stage.jid("nobody")),
        Some(format!("{}/x", stage.jid("nobody"))),
        Some(format!("conference.{DOMAIN}")),
        Some(format!("room@conference.{DOMAIN}/john")),
        Some("elsewhere.test".to_owned()),
        Some("marie@elsewhere.test".to_owned()),
        Some(marie.jid().to_owned()),
    ];
    let mut asked = BTreeMap::new();
    for (at, to) in targets.iter().enumerate() {
        for (of, payload) in REQUESTS.iter().enumerate() {
            for kind in ["get", "set"] {
                let id = format!("{at}-{of}-{kind}");
                let address = to.as_ref().map(|to| format!(" to='{to}'"));
                let address = address.unwrap_or_default();
                john.send(format!(
                    "<iq type='{kind}' id='{id}'{address}>{payload}</iq>"
                ))
                .await;
                asked.insert(id, (to.clone(), *payload));
            }
        }
        let came = john.settle().await;
        answer_all(&mut marie).await;
        let came = came.into_iter().chain(john.settle().await);
        for answer in came.filter(|it| matches!(it.attr("type"), Some("result" | "error"))) {
            let id = answer.attr("id").unwrap_or_default();
            let (to, payload) = asked
                .remove(id)
                .unwrap_or_else(|| panic!("not asked, or answered twice: {}", show(&answer)));
            let from = answer.attr("from");
            let expected = to.as_deref();
            // The answer to a roster get comes from the account, which may go
            // without saying.
            let is_roster = payload.contains("jabber:iq:roster") && from.is_none();
            assert!(from == expected || is_roster, "{}", show(&answer));
            assert_eq!(answer.attr("to"), Some(own.as_str()));
        }
        assert!(asked.is_empty(), "unanswered: {asked:?}");
    }
}

/// Whatever is asked of an account, the answer is the same whether it is a
/// contact, online, offline or not there at all.
#[tokio::test]
async fn the_account_of_another_tells_nothing() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    let _stranger = stage.online("aaron").await;
    for payload in REQUESTS {
        for kind in ["get", "set"] {
            let mut answers = Vec::new();
            for whose in ["marie", "aaron", "nobody"] {
                let to = stage.jid(whose);
                let reply = john.iq(kind, Some(&to), payload).await;
                assert_eq!(reply.attr("from"), Some(to.as_str()));
                answers.push(error_of(&reply));
            }
            let roster = payload.contains("jabber:iq:roster");
            let expected = match roster {
                true => "auth/forbidden",
                false => "cancel/service-unavailable",
            };
            assert_eq!(answers, [expected; 3], "{kind} {payload}");
        }
    }
    let came = marie.settle().await;
    assert!(came.iter().all(|it| it.name() == "presence"), "{came:?}");
}

/// A room, a service, another server: there is none, and that is said at once.
#[tokio::test]
async fn places_that_do_not_exist_are_said_not_to() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    for to in [
        "conference.example.test",
        "room@conference.example.test",
        "upload.example.test",
    ] {
        let reply = john.iq("get", Some(to), disco).await;
        assert_eq!(error_of(&reply), "cancel/remote-server-not-found", "{to}");
    }
    let bookmarks = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>";
    let reply = john.iq("get", None, bookmarks).await;
    assert_eq!(error_of(&reply), "cancel/item-not-found");
}

#[tokio::test]
async fn the_server_tells_its_time_and_how_long_it_is_up() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let last = "<query xmlns='jabber:iq:last'/>";
    let seconds = |iq: &Element| -> u64 {
        let query = iq.get_child("query", "jabber:iq:last").expect("an answer");
        query
            .attr("seconds")
            .expect("seconds")
            .parse()
            .expect("a number")
    };
    let up = seconds(&john.iq("get", Some(DOMAIN), last).await);
    assert!(up < 3600, "this host was started by the tests");
    assert_eq!(seconds(&john.iq("get", None, last).await), 0);
    let reply = john
        .iq("get", Some(DOMAIN), "<time xmlns='urn:xmpp:time'/>")
        .await;
    let time = reply.get_child("time", "urn:xmpp:time").expect("a time");
    let utc = time.get_child("utc", "urn:xmpp:time").expect("UTC").text();
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock")
        .as_secs();
    // Years of 365.2425 days are near enough for the first three digits.
    let year = 1970 + since_1970 / 31_556_952;
    assert!(
        utc.starts_with(&year.to_string()[..3]) && utc.ends_with('Z'),
        "{utc}"
    );
}
