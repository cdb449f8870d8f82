//! Message Carbons (XEP-0280): an account's devices get both sides of every
//! conversation, each message once.

use muster_tests::client::{Client, error_of, ns, show};
use muster_tests::stage::Stage;
use xmpp_parsers::minidom::Element;

const CARBONS: &str = "urn:xmpp:carbons:2";
const FORWARD: &str = "urn:xmpp:forward:0";

async fn turn(client: &mut Client, command: &str) {
    let command = format!("<{command} xmlns='{CARBONS}'/>");
    let reply = client.iq("set", None, &command).await;
    assert_eq!(reply.attr("type"), Some("result"), "{}", show(&reply));
}

/// A resource of romeo's with this presence, or none, and with carbons or not.
async fn romeo(stage: &Stage, resource: &str, priority: Option<i8>, carbons: bool) -> Client {
    let mut client = stage.bound_as("romeo", resource).await;
    if carbons {
        turn(&mut client, "enable").await;
    }
    if let Some(priority) = priority {
        let priority = format!("<presence><priority>{priority}</priority></presence>");
        client.send(priority).await;
    }
    client
}

/// What came, in order: `id` of a message itself, `sent id` or `received id` of
/// a copy; the rest of each is checked.
async fn came(client: &mut Client) -> Vec<String> {
    let stanzas = client.settle().await;
    let messages = stanzas.iter().filter(|stanza| stanza.name() == "message");
    messages
        .map(|message| told(client, message))
        .filter(|told| !told.contains("settle"))
        .collect()
}

fn told(client: &Client, message: &Element) -> String {
    let copy = message.children().find(|child| child.ns() == CARBONS);
    let id = |message: &Element| message.attr("id").unwrap_or("?").to_owned();
    let Some(copy) = copy else {
        return id(message);
    };
    assert_eq!(
        message.attr("from"),
        Some(client.bare()),
        "{}",
        show(message)
    );
    assert_eq!(message.attr("to"), Some(client.jid()), "{}", show(message));
    let forwarded = copy.get_child("forwarded", FORWARD).expect("<forwarded/>");
    let inner = forwarded.get_child("message", ns::CLIENT);
    let inner = inner.unwrap_or_else(|| panic!("no message in {}", show(message)));
    assert_eq!(
        message.attr("type"),
        inner.attr("type"),
        "{}",
        show(message)
    );
    format!("{} {}", copy.name(), id(inner))
}

fn chat(to: &str, id: &str) -> String {
    format!("<message to='{to}' type='chat' id='{id}'><body>hi</body></message>")
}

#[tokio::test]
async fn both_sides_of_a_conversation_reach_every_device_that_wants_them() {
    let stage = Stage::shared().await;
    let mut phone = romeo(&stage, "phone", Some(0), false).await;
    let mut laptop = romeo(&stage, "laptop", Some(0), true).await;
    let mut idle = romeo(&stage, "idle", None, true).await;
    let mut watch = romeo(&stage, "watch", Some(0), false).await;
    let mut juliet = stage.bound("juliet").await;

    juliet.send(chat(phone.jid(), "to-phone")).await;
    juliet.settle().await;
    phone.send(chat(juliet.jid(), "from-phone")).await;
    assert_eq!(came(&mut phone).await, ["to-phone"]);
    for device in [&mut laptop, &mut idle] {
        assert_eq!(came(device).await, ["received to-phone", "sent from-phone"]);
    }
    assert!(came(&mut watch).await.is_empty());
    assert_eq!(came(&mut juliet).await, ["from-phone"]);

    turn(&mut laptop, "enable").await;
    turn(&mut laptop, "disable").await;
    turn(&mut laptop, "disable").await;
    juliet.send(chat(phone.jid(), "later")).await;
    juliet.settle().await;
    assert_eq!(came(&mut phone).await, ["later"]);
    assert!(came(&mut laptop).await.is_empty());
    assert_eq!(came(&mut idle).await, ["received later"]);
}

#[tokio::test]
async fn a_message_to_the_account_comes_once_to_each_device() {
    let stage = Stage::shared().await;
    let mut phone = romeo(&stage, "phone", Some(1), true).await;
    let mut laptop = romeo(&stage, "laptop", Some(0), true).await;
    let mut bot = romeo(&stage, "bot", Some(-1), true).await;
    for device in [&mut phone, &mut laptop, &mut bot] {
        device.settle().await;
    }
    let mut juliet = stage.bound("juliet").await;
    juliet.send(chat(&stage.jid("romeo"), "m")).await;
    // The resource that is named is gone.
    juliet
        .send(chat(&format!("{}/gone", stage.jid("romeo")), "n"))
        .await;
    juliet.settle().await;
    assert_eq!(came(&mut phone).await, ["m", "n"]);
    assert_eq!(came(&mut laptop).await, ["m", "n"]);
    assert_eq!(came(&mut bot).await, ["received m", "received n"]);
}

#[tokio::test]
async fn a_message_to_oneself_comes_once_to_each_device() {
    let stage = Stage::shared().await;
    let mut phone = romeo(&stage, "phone", Some(0), true).await;
    let mut laptop = romeo(&stage, "laptop", Some(0), true).await;
    let mut idle = romeo(&stage, "idle", None, true).await;
    for device in [&mut phone, &mut laptop] {
        device.settle().await;
    }
    phone.send(chat(phone.bare(), "to-account")).await;
    phone.send(chat(laptop.jid(), "to-laptop")).await;
    assert_eq!(came(&mut phone).await, ["to-account"]);
    assert_eq!(came(&mut laptop).await, ["to-account", "to-laptop"]);
    assert_eq!(came(&mut idle).await, ["sent to-account", "sent to-laptop"]);
}

#[tokio::test]
async fn what_is_no_chat_or_is_private_is_not_copied() {
    let stage = Stage::shared().await;
    let mut phone = romeo(&stage, "phone", Some(0), true).await;
    let mut laptop = romeo(&stage, "laptop", Some(0), true).await;
    let mut juliet = stage.bound("juliet").await;
    let body = "<body>hi</body>";
    for (id, kind, content, copied) in [
        ("1", "chat", body, true),
        ("2", "normal", body, true),
        ("3", "normal", "<x xmlns='urn:x'/>", false),
        (
            "4",
            "normal",
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            true,
        ),
        (
            "5",
            "normal",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            true,
        ),
        ("6", "groupchat", body, false),
        ("7", "headline", body, false),
        (
            "8",
            "chat",
            "<body>hi</body><private xmlns='urn:xmpp:carbons:2'/>",
            false,
        ),
        (
            "9",
            "chat",
            "<no-copy xmlns='urn:xmpp:hints'/><body>hi</body>",
            false,
        ),
    ] {
        let to_phone = phone.jid().to_owned();
        juliet
            .send(format!(
                "<message to='{to_phone}' type='{kind}' id='in-{id}'>{content}</message>"
            ))
            .await;
        juliet.settle().await;
        let to_juliet = juliet.jid().to_owned();
        phone
            .send(format!(
                "<message to='{to_juliet}' type='{kind}' id='out-{id}'>{content}</message>"
            ))
            .await;
        assert_eq!(
            came(&mut phone).await,
            [format!("in-{id}")],
            "{kind} {content}"
        );
        let mut expected = vec![format!("received in-{id}"), format!("sent out-{id}")];
        expected.retain(|_| copied);
        assert_eq!(came(&mut laptop).await, expected, "{kind} {content}");
        // The wish for privacy is for the servers alone.
        let stanzas = juliet.settle().await;
        let arrived = stanzas
            .iter()
            .find(|it| it.attr("id") == Some(&format!("out-{id}")));
        let arrived = arrived.expect("the message");
        assert!(!arrived.has_child("private", CARBONS), "{}", show(arrived));
    }
}

#[tokio::test]
async fn a_refusal_is_copied_like_what_it_refuses() {
    let stage = Stage::shared().await;
    let mut phone = romeo(&stage, "phone", None, false).await;
    let mut laptop = romeo(&stage, "laptop", None, true).await;
    phone.send(chat("marie@elsewhere.test", "m")).await;
    let stanzas = phone.settle().await;
    assert_eq!(error_of(&stanzas[0]), "cancel/remote-server-not-found");
    assert_eq!(came(&mut laptop).await, ["sent m", "received m"]);
}

/// Only the account's bare JID may send copies, and nobody can speak in its name.
#[tokio::test]
async fn a_forged_copy_shows_who_made_it() {
    let stage = Stage::shared().await;
    let mut phone = romeo(&stage, "phone", Some(0), true).await;
    let mut juliet = stage.bound("juliet").await;
    let (to, account) = (phone.jid().to_owned(), phone.bare().to_owned());
    juliet
        .send(format!(
            "<message to='{to}' from='{account}' id='f' type='chat'><sent xmlns='{CARBONS}'>\
             <forwarded xmlns='{FORWARD}'><message xmlns='jabber:client' from='{account}/x' id='x'/>\
             </forwarded></sent></message>"
        ))
        .await;
    let forged = phone
        .expect("the message", |stanza| stanza.attr("id") == Some("f"))
        .await;
    assert_eq!(forged.attr("from"), Some(juliet.jid()));
}
