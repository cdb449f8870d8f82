//! vCards (XEP-0054) and private storage (XEP-0049): kept for their owner.

use muster_tests::client::{Client, error_of, show};
use muster_tests::stage::Stage;
use xmpp_parsers::minidom::Element;

const VCARD: &str = "vcard-temp";
const GET: &str = "<vCard xmlns='vcard-temp'/>";

fn vcard(name: &str) -> String {
    format!("<vCard xmlns='{VCARD}'><FN>{name}</FN><PHOTO><BINVAL>AAAA</BINVAL></PHOTO></vCard>")
}

/// The full name in the vCard of an answer; nothing if it is empty.
fn name(iq: &Element) -> String {
    let vcard = iq.get_child("vCard", VCARD);
    let vcard = vcard.unwrap_or_else(|| panic!("no vCard in {}", show(iq)));
    vcard
        .get_child("FN", VCARD)
        .map(Element::text)
        .unwrap_or_default()
}

async fn done(client: &mut Client, payload: &str) {
    let reply = client.iq("set", None, payload).await;
    assert_eq!(reply.attr("type"), Some("result"), "{}", show(&reply));
}

#[tokio::test]
async fn a_vcard_is_kept_for_its_owner() {
    let stage = Stage::shared().await;
    let mut phone = stage.bound_as("john", "phone").await;
    assert_eq!(name(&phone.iq("get", None, GET).await), "");
    done(&mut phone, &vcard("John &lt;1&gt;")).await;
    phone.leave().await;
    stage.until_offline("john").await;
    let mut laptop = stage.bound_as("john", "laptop").await;
    let own = laptop.bare().to_owned();
    for to in [None, Some(own.as_str())] {
        let reply = laptop.iq("get", to, GET).await;
        assert_eq!(name(&reply), "John <1>");
        assert!(show(&reply).contains("AAAA"));
    }
    done(&mut laptop, GET).await;
    assert_eq!(name(&laptop.iq("get", None, GET).await), "");
}

/// A contact's vCard, a stranger's and nobody's: one answer, at once.
#[tokio::test]
async fn the_vcard_of_another_tells_nothing() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    done(&mut marie, &vcard("Marie")).await;
    let mut answers = Vec::new();
    for whose in ["marie", "nobody"] {
        for kind in ["get", "set"] {
            let reply = john.iq(kind, Some(&stage.jid(whose)), &vcard("X")).await;
            answers.push(error_of(&reply));
        }
    }
    assert_eq!(answers, ["cancel/service-unavailable"; 4]);
    assert_eq!(name(&marie.iq("get", None, GET).await), "Marie");
}

#[tokio::test]
async fn private_data_is_kept_by_namespace() {
    let stage = Stage::shared().await;
    let mut phone = stage.bound_as("john", "phone").await;
    let query = |inside: &str| format!("<query xmlns='jabber:iq:private'>{inside}</query>");
    let bookmarks = query("<storage xmlns='storage:bookmarks'/>");
    let reply = phone.iq("get", None, &bookmarks).await;
    assert!(
        show(&reply).contains("storage:bookmarks"),
        "{}",
        show(&reply)
    );
    let room = "<conference jid='room@conference.test' autojoin='true'/>";
    done(
        &mut phone,
        &query(&format!(
            "<storage xmlns='storage:bookmarks'>{room}</storage>"
        )),
    )
    .await;
    done(
        &mut phone,
        &query("<prefs xmlns='urn:example:client'>x</prefs>"),
    )
    .await;
    let mut laptop = stage.bound_as("john", "laptop").await;
    let reply = laptop.iq("get", None, &bookmarks).await;
    let storage = reply
        .get_child("query", "jabber:iq:private")
        .and_then(|query| query.get_child("storage", "storage:bookmarks"));
    let storage = storage.unwrap_or_else(|| panic!("no bookmarks in {}", show(&reply)));
    let conference = storage
        .get_child("conference", "storage:bookmarks")
        .expect("a room");
    assert_eq!(conference.attr("jid"), Some("room@conference.test"));
    let mut marie = stage.bound("marie").await;
    let reply = marie.iq("get", None, &bookmarks).await;
    assert!(!show(&reply).contains("conference.test"));
    let reply = marie.iq("get", Some(&stage.jid("john")), &bookmarks).await;
    assert_eq!(error_of(&reply), "cancel/service-unavailable");
    for inside in ["", "<a xmlns='urn:a'/><b xmlns='urn:b'/>"] {
        let reply = phone.iq("get", None, &query(inside)).await;
        assert_eq!(error_of(&reply), "modify/not-acceptable");
    }
}

#[tokio::test]
async fn what_is_kept_has_bounds() {
    let limits = "[limits.storage]\nvcard_bytes = \"200B\"\nprivate_bytes = \"200B\"";
    let stage = Stage::own(limits).await;
    let mut john = stage.bound("john").await;
    done(&mut john, &vcard("John")).await;
    let reply = john.iq("set", None, &vcard(&"x".repeat(200))).await;
    assert_eq!(error_of(&reply), "modify/policy-violation");
    let error = reply.get_child("error", "jabber:client").expect("an error");
    assert!(
        error.children().any(|child| child.name() == "text"),
        "it says why"
    );
    assert_eq!(name(&john.iq("get", None, GET).await), "John");
    let private = |namespace: &str| {
        let text = "x".repeat(100);
        format!("<query xmlns='jabber:iq:private'><a xmlns='{namespace}'>{text}</a></query>")
    };
    done(&mut john, &private("urn:a")).await;
    done(&mut john, &private("urn:a")).await;
    let reply = john.iq("set", None, &private("urn:b")).await;
    assert_eq!(error_of(&reply), "modify/policy-violation");
}

/// What vCard-based avatars put into presence arrives (XEP-0153).
#[tokio::test]
async fn the_hash_of_an_avatar_passes_in_presence() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    marie
        .send("<presence><x xmlns='vcard-temp:x:update'><photo>01b87fcd</photo></x></presence>")
        .await;
    let update = john
        .expect("an update", |it| it.has_child("x", "vcard-temp:x:update"))
        .await;
    assert!(show(&update).contains("01b87fcd"));
}
