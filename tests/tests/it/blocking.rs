//! Blocking Command (XEP-0191): commands, what a block stops, and that it lasts.

use muster_tests::client::{Client, error_of, show};
use muster_tests::stage::{Stage, items};
use serde_json::json;
use xmpp_parsers::minidom::Element;

const BLOCKING: &str = "urn:xmpp:blocking";
const ERRORS: &str = "urn:xmpp:blocking:errors";

async fn command(client: &mut Client, name: &str, jids: &[&str]) -> Element {
    let items: String = jids
        .iter()
        .map(|jid| format!("<item jid='{jid}'/>"))
        .collect();
    let kind = if name == "blocklist" { "get" } else { "set" };
    let command = format!("<{name} xmlns='{BLOCKING}'>{items}</{name}>");
    client.iq(kind, None, &command).await
}

async fn done(client: &mut Client, name: &str, jids: &[&str]) {
    let reply = command(client, name, jids).await;
    assert_eq!(reply.attr("type"), Some("result"), "{}", show(&reply));
}

/// `name jid jid …` of a list or a push.
fn listed(iq: &Element) -> String {
    let list = iq.children().find(|child| child.ns() == BLOCKING);
    let list = list.unwrap_or_else(|| panic!("no list in {}", show(iq)));
    let jids = list.children().map(|item| item.attr("jid").unwrap_or("?"));
    std::iter::once(list.name())
        .chain(jids)
        .collect::<Vec<_>>()
        .join(" ")
}

async fn pushes(client: &mut Client) -> Vec<String> {
    let stanzas = client.settle().await;
    let pushes = stanzas.iter().filter(|stanza| stanza.name() == "iq");
    pushes
        .map(|push| {
            assert_eq!(push.attr("type"), Some("set"), "{}", show(push));
            assert!(push.attr("id").is_some() && push.attr("from").is_none());
            listed(push)
        })
        .collect()
}

/// `who type` of each presence, sorted.
async fn seen(client: &mut Client) -> Vec<String> {
    let stanzas = client.settle().await;
    let presences = stanzas.iter().filter(|stanza| stanza.name() == "presence");
    let mut seen: Vec<String> = presences
        .map(|it| {
            let from = it.attr("from").unwrap_or("?");
            let name = from.split(['-', '@']).next().unwrap_or_default();
            format!("{name} {}", it.attr("type").unwrap_or("available"))
        })
        .collect();
    seen.sort();
    seen
}

#[tokio::test]
async fn a_list_is_kept_and_told_to_those_who_asked_for_it() {
    let stage = Stage::shared().await;
    let mut phone = stage.bound_as("john", "phone").await;
    let mut laptop = stage.bound_as("john", "laptop").await;
    assert_eq!(
        listed(&command(&mut phone, "blocklist", &[]).await),
        "blocklist"
    );
    done(&mut laptop, "block", &["marie@example.test", "Other.test"]).await;
    done(&mut laptop, "block", &["marie@example.test"]).await;
    done(&mut laptop, "unblock", &["other.test", "nobody.test"]).await;
    assert_eq!(
        pushes(&mut phone).await,
        [
            "block marie@example.test other.test",
            "block marie@example.test",
            "unblock nobody.test other.test",
        ]
    );
    assert!(pushes(&mut laptop).await.is_empty(), "it never asked");
    let list = command(&mut laptop, "blocklist", &[]).await;
    assert_eq!(listed(&list), "blocklist marie@example.test");
    done(&mut phone, "unblock", &[]).await;
    for device in [&mut phone, &mut laptop] {
        assert_eq!(pushes(device).await, ["unblock"]);
    }
    assert_eq!(
        listed(&command(&mut phone, "blocklist", &[]).await),
        "blocklist"
    );
}

#[tokio::test]
async fn commands_that_make_no_sense_are_refused() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    for (jids, error) in [
        (&[][..], "modify/bad-request"),
        (&["@"], "modify/jid-malformed"),
        (&["marie@example.test", ""], "modify/jid-malformed"),
    ] {
        let reply = command(&mut john, "block", jids).await;
        assert_eq!(error_of(&reply), error, "{jids:?}");
    }
    let marie = stage.jid("marie");
    let payload = format!("<block xmlns='{BLOCKING}'><item jid='x.test'/></block>");
    let reply = john.iq("set", Some(&marie), &payload).await;
    assert_eq!(error_of(&reply), "cancel/service-unavailable");
    assert_eq!(
        listed(&command(&mut john, "blocklist", &[]).await),
        "blocklist"
    );
}

#[tokio::test]
async fn a_list_has_a_bound() {
    let stage = Stage::own("[limits.storage]\nblocklist_entries = 2").await;
    let mut john = stage.bound("john").await;
    done(&mut john, "block", &["a.test", "b.test"]).await;
    let reply = command(&mut john, "block", &["c.test"]).await;
    assert_eq!(error_of(&reply), "modify/policy-violation");
    done(&mut john, "block", &["b.test"]).await;
    let list = command(&mut john, "blocklist", &[]).await;
    assert_eq!(listed(&list), "blocklist a.test b.test");
}

#[tokio::test]
async fn nothing_passes_from_who_is_blocked_or_to_it() {
    let stage = Stage::shared().await;
    let mut marie = stage.online("marie").await;
    let marie_jid = marie.jid().to_owned();
    let (account, domain) = (marie.bare().to_owned(), "example.test".to_owned());
    for entry in [marie_jid.clone(), account.clone(), domain] {
        let mut john = stage.online("john").await;
        done(&mut john, "block", &[&entry]).await;
        let to = john.jid().to_owned();
        let to_account = john.bare().to_owned();
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        for (stanza, answer) in [
            (format!("<message id='1' to='{to}'><body/></message>"), true),
            (
                format!("<message id='2' to='{to_account}' type='chat'><body/></message>"),
                true,
            ),
            (format!("<message id='3' to='{to}' type='error'/>"), false),
            (format!("<iq id='4' to='{to}' type='get'>{ping}</iq>"), true),
            (format!("<iq id='5' to='{to}' type='set'>{ping}</iq>"), true),
            (format!("<iq id='6' to='{to}' type='result'/>"), false),
            (format!("<presence id='7' to='{to}'/>"), false),
            (
                format!("<presence id='8' to='{to}' type='unavailable'/>"),
                false,
            ),
            (
                format!("<presence id='9' to='{to}' type='subscribe'/>"),
                false,
            ),
        ] {
            marie.send(&stanza).await;
            let back = marie.settle().await;
            let errors: Vec<String> = back.iter().map(error_of).collect();
            let expected: &[&str] = if answer {
                &["cancel/service-unavailable"]
            } else {
                &[]
            };
            assert_eq!(errors, expected, "{entry}: {stanza}");
        }
        let came = john.settle().await;
        assert!(
            came.iter().all(|it| it.attr("from") == Some(&to)),
            "{came:?}"
        );

        for (stanza, answer) in [
            (
                format!("<message id='1' to='{marie_jid}'><body/></message>"),
                true,
            ),
            (
                format!("<message id='2' to='{marie_jid}' type='error'/>"),
                false,
            ),
            (
                format!("<iq id='3' to='{marie_jid}' type='get'>{ping}</iq>"),
                true,
            ),
            (
                format!("<iq id='4' to='{marie_jid}' type='result'/>"),
                false,
            ),
            (format!("<presence id='5' to='{marie_jid}'/>"), true),
            (
                format!("<presence id='6' to='{marie_jid}' type='unavailable'/>"),
                false,
            ),
        ] {
            john.send(&stanza).await;
            let back = john.settle().await;
            for error in &back {
                assert_eq!(error_of(error), "cancel/not-acceptable", "{}", show(error));
                let error = error.get_child("error", "jabber:client").expect("an error");
                assert!(error.has_child("blocked", ERRORS), "{stanza}");
            }
            assert_eq!(back.len(), usize::from(answer), "{entry}: {stanza}");
        }
        let came = marie.settle().await;
        assert!(came.is_empty(), "{came:?}");
        // The server and one's own resources are always there.
        assert_eq!(
            john.iq("get", Some("example.test"), ping)
                .await
                .attr("type"),
            Some("result")
        );
        done(&mut john, "unblock", &[]).await;
        marie
            .send(format!("<message id='again' to='{to}'><body/></message>"))
            .await;
        john.expect("a message", |it| it.attr("id") == Some("again"))
            .await;
        john.leave().await;
        stage.until_offline("john").await;
    }
}

#[tokio::test]
async fn who_is_blocked_sees_a_user_go_and_come_back() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    for client in [&mut john, &mut marie] {
        client.settle().await;
    }
    let roster = items(&john.roster().await);
    done(&mut john, "block", &[&stage.jid("marie")]).await;
    assert_eq!(seen(&mut john).await, ["marie unavailable"]);
    assert_eq!(seen(&mut marie).await, ["john unavailable"]);
    // Neither hears of the other, however both come and go.
    for client in [&mut john, &mut marie] {
        client.send("<presence><show>away</show></presence>").await;
        client.settle().await;
    }
    let mut other = stage.online("marie").await;
    other.settle().await;
    john.send(format!(
        "<presence type='probe' to='{}'/>",
        stage.jid("marie")
    ))
    .await;
    assert!(seen(&mut john).await.is_empty());
    assert_eq!(seen(&mut marie).await, ["marie available"]);
    other.leave().await;
    marie
        .expect("the other one's end", |it| {
            it.attr("type") == Some("unavailable")
        })
        .await;
    assert!(seen(&mut john).await.is_empty());
    assert_eq!(
        items(&john.roster().await),
        roster,
        "the roster is the app's"
    );

    done(&mut john, "unblock", &[&stage.jid("marie")]).await;
    assert_eq!(seen(&mut john).await, ["marie available"]);
    assert_eq!(seen(&mut marie).await, ["john available"]);
    // What is blocked already is not taken away again.
    done(&mut john, "block", &[&stage.jid("marie")]).await;
    done(&mut john, "block", &["example.test"]).await;
    assert_eq!(seen(&mut marie).await, ["john unavailable"]);
    assert_eq!(seen(&mut john).await, ["marie unavailable"]);
}

/// One resource of a contact can be blocked alone.
#[tokio::test]
async fn a_block_of_a_resource_leaves_the_others() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let (mut phone, mut laptop) = (
        stage.bound_as("marie", "phone").await,
        stage.bound_as("marie", "laptop").await,
    );
    for device in [&mut phone, &mut laptop] {
        device.roster().await;
        device.available().await;
    }
    for device in [&mut phone, &mut laptop, &mut john] {
        device.settle().await;
    }
    let blocked = phone.jid().to_owned();
    done(&mut john, "block", &[&blocked]).await;
    assert_eq!(seen(&mut phone).await, ["john unavailable"]);
    assert!(seen(&mut laptop).await.is_empty());
    let gone = john.settle().await;
    let gone: Vec<_> = gone
        .iter()
        .map(|it| it.attr("from").unwrap_or_default())
        .collect();
    assert_eq!(gone, [blocked]);
    john.send("<presence><show>dnd</show></presence>").await;
    john.settle().await;
    assert!(seen(&mut phone).await.is_empty());
    assert_eq!(seen(&mut laptop).await, ["john available"]);
}

/// Directed presence ends with a block, for those who had it.
#[tokio::test]
async fn directed_presence_ends_with_a_block() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let mut marie = stage.bound("marie").await;
    let to = marie.jid().to_owned();
    john.send(format!("<presence to='{to}'/>")).await;
    john.settle().await;
    done(&mut john, "block", &[&stage.jid("marie")]).await;
    assert_eq!(
        seen(&mut marie).await,
        ["john available", "john unavailable"]
    );
    john.leave().await;
    stage.until_offline("john").await;
    assert!(seen(&mut marie).await.is_empty(), "it was said once");
}

/// The list is there before the first stanza can arrive.
#[tokio::test]
async fn a_block_outlives_the_session() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.bound("john").await;
    done(&mut john, "block", &[&stage.jid("marie")]).await;
    john.leave().await;
    let mut marie = stage.online("marie").await;
    stage.until_offline("john").await;
    let mut john = stage.online("john").await;
    assert!(seen(&mut john).await.is_empty());
    assert!(seen(&mut marie).await.is_empty());
    let to = john.jid().to_owned();
    marie
        .send(format!("<message id='m' to='{to}'><body/></message>"))
        .await;
    let back = marie.settle().await;
    assert_eq!(error_of(&back[0]), "cancel/service-unavailable");
    assert!(john.settle().await.is_empty());
}

/// A roster that changes meanwhile changes nothing about the block.
#[tokio::test]
async fn a_refresh_does_not_lift_a_block() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut john = stage.online("john").await;
    let mut marie = stage.online("marie").await;
    done(&mut john, "block", &[&stage.jid("marie")]).await;
    for client in [&mut john, &mut marie] {
        client.settle().await;
    }
    for contacts in [json!({}), json!({"marie": {}})] {
        stage.contacts("john", contacts);
        stage.refreshed(&["john"]).await;
        john.push().await;
    }
    assert!(seen(&mut john).await.is_empty());
    let his = seen(&mut marie).await;
    assert!(!his.contains(&"john available".to_owned()), "{his:?}");
}

#[tokio::test]
async fn copies_do_not_carry_what_is_blocked() {
    let stage = Stage::shared().await;
    let mut phone = stage.bound_as("john", "phone").await;
    let mut laptop = stage.bound_as("john", "laptop").await;
    let enable = "<enable xmlns='urn:xmpp:carbons:2'/>";
    laptop.iq("set", None, enable).await;
    let mut marie = stage.bound("marie").await;
    done(&mut phone, "block", &[marie.bare()]).await;
    let (to_phone, to_marie) = (phone.jid().to_owned(), marie.jid().to_owned());
    marie
        .send(format!(
            "<message id='in' type='chat' to='{to_phone}'><body>hi</body></message>"
        ))
        .await;
    marie.settle().await;
    phone
        .send(format!(
            "<message id='out' type='chat' to='{to_marie}'><body>hi</body></message>"
        ))
        .await;
    // Sent copies of `settle` do come.
    phone.settle().await;
    let came = laptop.settle().await;
    let forged = |it: &&Element| {
        show(it).contains("id='in'")
            || show(it).contains("id='out'")
            || show(it).contains("id=\"in\"")
            || show(it).contains("id=\"out\"")
    };
    assert_eq!(came.iter().filter(forged).count(), 0, "{came:?}");
    assert!(!came.is_empty(), "copies do come otherwise");
}

/// Who is blocked cannot leave messages for later either.
#[tokio::test]
async fn nothing_is_kept_from_who_is_blocked() {
    let stage = Stage::shared().await;
    let mut john = stage.online("john").await;
    let mut marie = stage.bound("marie").await;
    let mut aaron = stage.bound("aaron").await;
    done(&mut john, "block", &[marie.bare()]).await;
    let to = john.bare().to_owned();
    john.leave().await;
    stage.until_offline("john").await;
    for (sender, refused) in [(&mut marie, true), (&mut aaron, false)] {
        let text = sender.bare().to_owned();
        sender
            .send(format!(
                "<message to='{to}' type='chat'><body>{text}</body></message>"
            ))
            .await;
        let back = sender.settle().await;
        let errors: Vec<String> = back.iter().map(error_of).collect();
        let expected: &[&str] = match refused {
            true => &["cancel/service-unavailable"],
            false => &[],
        };
        assert_eq!(errors, expected);
    }
    let mut john = stage.online("john").await;
    let kept = john.expect("a message", |it| it.name() == "message").await;
    assert_eq!(kept.attr("from"), Some(aaron.jid()));
    let rest = john.settle().await;
    assert!(rest.iter().all(|it| it.name() != "message"), "{rest:?}");
}
