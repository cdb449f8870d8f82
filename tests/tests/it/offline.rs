//! Messages for users of whom nobody is there (XEP-0160): kept, handed over
//! once and in order, across a kill, within bounds, and telling nobody which
//! accounts there are.

use std::path::Path;
use std::sync::Arc;

use muster_tests::app::App;
use muster_tests::client::{Client, Mechanism, error_of, show};
use muster_tests::muster::{Muster, Setup};
use muster_tests::process::{Process, run};
use muster_tests::stage::{DOMAIN, Stage};
use serde_json::json;
use xmpp_parsers::minidom::Element;

const DELAY: &str = "urn:xmpp:delay";

async fn tell(from: &mut Client, to: &str, id: &str) {
    let body = format!("<body>{id}</body>");
    from.send(format!(
        "<message to='{to}' id='{id}' type='chat'>{body}</message>"
    ))
    .await;
}

/// The bodies of the messages among `stanzas`, in order.
fn bodies(stanzas: &[Element]) -> Vec<String> {
    let bodies = stanzas
        .iter()
        .filter_map(|it| it.get_child("body", "jabber:client"));
    bodies.map(Element::text).collect()
}

/// Makes the user somebody who has been here.
async fn visit(stage: &Stage, name: &str) {
    stage.online(name).await.leave().await;
    stage.until_offline(name).await;
}

#[tokio::test]
async fn kept_messages_come_once_in_order_with_their_time() {
    let stage = Stage::shared().await;
    visit(&stage, "juliet").await;
    let mut romeo = stage.bound("romeo").await;
    for id in ["one", "two", "three"] {
        tell(&mut romeo, &stage.jid("juliet"), id).await;
    }
    assert!(romeo.settle().await.is_empty(), "no error");

    let mut juliet = stage.bound("juliet").await;
    assert!(juliet.settle().await.is_empty(), "nothing before presence");
    juliet.available().await;
    let came = juliet.settle().await;
    assert_eq!(bodies(&came), ["one", "two", "three"]);
    for message in came.iter().filter(|it| it.name() == "message") {
        assert_eq!(message.attr("from"), Some(romeo.jid()));
        assert_eq!(message.attr("to"), Some(&*stage.jid("juliet")));
        let delay = message.get_child("delay", DELAY).expect("a delay");
        assert_eq!(delay.attr("from"), Some(DOMAIN), "{}", show(message));
        let stamp = delay.attr("stamp").expect("a stamp");
        assert!(stamp.len() == 20 && stamp.ends_with('Z'), "{stamp}");
    }
    tell(&mut romeo, &stage.jid("juliet"), "four").await;
    romeo.settle().await;
    let live = juliet.settle().await;
    assert_eq!(bodies(&live), ["four"]);
    assert!(
        live[0].get_child("delay", DELAY).is_none(),
        "it did not wait"
    );
    juliet.leave().await;
    stage.until_offline("juliet").await;
    let mut again = stage.online("juliet").await;
    assert!(bodies(&again.settle().await).is_empty(), "once");
}

/// The resource goes and comes while messages are on their way, 40 times.
#[tokio::test]
async fn nothing_is_lost_doubled_or_overtaken_by_comings_and_goings() {
    const MESSAGES: usize = 400;
    let stage = Stage::shared().await;
    let mut juliet = stage.online("juliet").await;
    let mut romeo = stage.bound("romeo").await;
    let to = stage.jid("juliet");
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            tell(&mut romeo, &to, &number.to_string()).await;
        }
        romeo.settle().await
    });
    let mut came = Vec::new();
    for _ in 0..40 {
        juliet.send("<presence type='unavailable'/>").await;
        came.extend(bodies(&juliet.settle().await));
        juliet.send("<presence/>").await;
        came.extend(bodies(&juliet.settle().await));
    }
    let refused = sending.await.expect("the sender");
    assert!(refused.is_empty(), "{refused:?}");
    came.extend(bodies(&juliet.settle().await));
    // What was kept while the resource was away for the last time.
    juliet
        .send("<presence type='unavailable'/><presence/>")
        .await;
    came.extend(bodies(&juliet.settle().await));
    let all: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    assert_eq!(came, all);
}

#[tokio::test]
async fn the_first_resource_that_takes_messages_gets_them() {
    let stage = Stage::shared().await;
    visit(&stage, "juliet").await;
    let mut bot = stage.bound_as("juliet", "bot").await;
    bot.send("<presence><priority>-1</priority></presence>")
        .await;
    bot.settle().await;
    let mut romeo = stage.bound("romeo").await;
    tell(&mut romeo, &stage.jid("juliet"), "kept").await;
    assert!(romeo.settle().await.is_empty());
    assert!(bodies(&bot.settle().await).is_empty(), "negative priority");

    let mut phone = stage.bound_as("juliet", "phone").await;
    let mut laptop = stage.bound_as("juliet", "laptop").await;
    phone.send("<presence/>").await;
    assert_eq!(bodies(&phone.settle().await), ["kept"]);
    laptop.send("<presence/>").await;
    assert!(bodies(&laptop.settle().await).is_empty());
    for gone in [phone, laptop] {
        gone.leave().await;
    }
    stage.until_offline("juliet").await;
    tell(&mut romeo, &stage.jid("juliet"), "later").await;
    romeo.settle().await;
    bot.send("<presence><priority>0</priority></presence>")
        .await;
    assert_eq!(bodies(&bot.settle().await), ["later"], "no longer negative");
}

/// What is not to be kept is answered as ever, and as for an account that does
/// not exist; it does not come later.
#[tokio::test]
async fn what_is_of_the_moment_is_not_kept() {
    let stage = Stage::shared().await;
    visit(&stage, "juliet").await;
    let mut romeo = stage.bound("romeo").await;
    for (id, type_, payload, refused) in [
        ("headline", "headline", "<body>x</body>", false),
        ("error", "error", "<body>x</body>", false),
        ("groupchat", "groupchat", "<body>x</body>", true),
        (
            "no-store",
            "chat",
            "<body>x</body><no-store xmlns='urn:xmpp:hints'/>",
            true,
        ),
        (
            "typing",
            "chat",
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            false,
        ),
    ] {
        for to in ["juliet", "nobody"] {
            let to = stage.jid(to);
            romeo
                .send(format!(
                    "<message to='{to}' id='{id}' type='{type_}'>{payload}</message>"
                ))
                .await;
            let back = romeo.settle().await;
            let errors: Vec<String> = back.iter().map(error_of).collect();
            let expected: &[&str] = match refused {
                true => &["cancel/service-unavailable"],
                false => &[],
            };
            assert_eq!(errors, expected, "{id} to {to}");
        }
    }
    let mut juliet = stage.online("juliet").await;
    let came = juliet.settle().await;
    assert!(!came.iter().any(|it| it.name() == "message"), "{came:?}");
}

/// The bound is the same for who exists and who does not.
#[tokio::test]
async fn a_full_store_is_told_and_loses_nothing() {
    let stage = Stage::own("[limits.storage]\noffline_messages = 2").await;
    visit(&stage, "juliet").await;
    let mut romeo = stage.bound("romeo").await;
    for to in ["juliet", "nobody"] {
        for (id, expected) in [
            ("one", None),
            ("two", None),
            ("three", Some("cancel/service-unavailable")),
            ("four", Some("cancel/service-unavailable")),
        ] {
            tell(&mut romeo, &stage.jid(to), id).await;
            let back = romeo.settle().await;
            let error = back.first().map(error_of);
            assert_eq!(error.as_deref(), expected, "{id} to {to}");
            if let Some(error) = back.first() {
                assert_eq!(error.attr("from"), Some(&*stage.jid(to)));
                assert_eq!(error.attr("id"), Some(id));
            }
        }
    }
    let mut juliet = stage.online("juliet").await;
    assert_eq!(bodies(&juliet.settle().await), ["one", "two"]);
    juliet.leave().await;
    stage.until_offline("juliet").await;
    tell(&mut romeo, &stage.jid("juliet"), "five").await;
    assert!(romeo.settle().await.is_empty(), "there is room again");
}

/// XEP-0191, section 3.3: whom the user blocks is told that nobody is there.
#[tokio::test]
async fn a_blocked_sender_is_refused_while_the_user_is_away() {
    let stage = Stage::shared().await;
    let mut juliet = stage.online("juliet").await;
    let paris = stage.jid("paris");
    let block = format!("<block xmlns='urn:xmpp:blocking'><item jid='{paris}'/></block>");
    let done = juliet.iq("set", None, &block).await;
    assert_eq!(done.attr("type"), Some("result"), "{}", show(&done));
    juliet.leave().await;
    stage.until_offline("juliet").await;
    for (name, expected) in [
        ("paris", Some("cancel/service-unavailable")),
        ("romeo", None),
    ] {
        let mut sender = stage.bound(name).await;
        tell(&mut sender, &stage.jid("juliet"), name).await;
        let back = sender.settle().await;
        assert_eq!(back.first().map(error_of).as_deref(), expected, "{name}");
    }
    let mut juliet = stage.online("juliet").await;
    assert_eq!(bodies(&juliet.settle().await), ["romeo"]);
}

/// Somebody who has never been here is known by the app's word: a contact.
#[tokio::test]
async fn a_contact_who_never_came_gets_messages_and_a_stranger_fills_nothing() {
    let stage = Stage::shared().await;
    stage.contacts("romeo", json!({"juliet": {}}));
    let mut romeo = stage.online("romeo").await;
    let mut tybalt = stage.online("tybalt").await;
    tell(&mut romeo, &stage.jid("juliet"), "from romeo").await;
    tell(&mut tybalt, &stage.jid("juliet"), "from a stranger").await;
    assert!(bodies(&romeo.settle().await).is_empty());
    assert!(bodies(&tybalt.settle().await).is_empty());
    let mut juliet = stage.online("juliet").await;
    assert_eq!(bodies(&juliet.settle().await), ["from romeo"]);
}

#[tokio::test]
async fn kept_messages_survive_a_kill_and_come_once() {
    let app = App::start().await;
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    login(&process, "juliet").await.leave().await;
    let mut romeo = login(&process, "romeo").await;
    let to = format!("juliet@{DOMAIN}");
    loop {
        // Until she has gone.
        romeo
            .send(format!(
                "<message to='{to}' id='x'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>"
            ))
            .await;
        if !romeo.settle().await.is_empty() {
            break;
        }
    }
    for id in ["one", "two", "three"] {
        tell(&mut romeo, &to, id).await;
    }
    // Whatever is answered after them has been handled after them.
    romeo.settle().await;
    process.kill_and_restart(binary()).await;
    let mut juliet = login(&process, "juliet").await;
    assert_eq!(bodies(&juliet.settle().await), ["one", "two", "three"]);
    process.kill_and_restart(binary()).await;
    let mut juliet = login(&process, "juliet").await;
    assert!(bodies(&juliet.settle().await).is_empty());
}

/// The second one says what is wrong, and ends with EX_UNAVAILABLE.
#[tokio::test]
async fn two_servers_do_not_share_a_storage_directory() {
    let app = App::start().await;
    let process = Process::start(binary(), &Setup::for_app(&app)).await;
    let storage = process.directory().join("data");
    let section = format!("[storage]\ndirectory = {storage:?}");
    let second = process.directory().join("second.toml");
    std::fs::write(&second, Setup::for_app(&app).with(&section).text()).expect("a file");
    let second = second.to_str().expect("UTF-8");
    let output = run(binary(), &["serve", "--config", second]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    login(&process, "juliet").await.leave().await;
}

/// A damaged file costs what is in it, not the chat.
#[tokio::test]
async fn without_its_store_the_server_chats_on() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("data")).expect("a directory");
    let file = directory.path().join("data/muster.redb");
    std::fs::write(&file, "no store").expect("a file");
    let app = Arc::new(App::start().await);
    let muster = Muster::start_in(directory, &Setup::for_app(&app)).await;
    let stage = Stage::on(app, muster);
    let mut juliet = stage.online("juliet").await;
    let mut romeo = stage.bound("romeo").await;
    tell(&mut romeo, &stage.jid("juliet"), "live").await;
    assert!(romeo.settle().await.is_empty());
    assert_eq!(bodies(&juliet.settle().await), ["live"]);
    juliet.leave().await;
    stage.until_offline("juliet").await;
    tell(&mut romeo, &stage.jid("juliet"), "late").await;
    let back = romeo.settle().await;
    assert_eq!(error_of(&back[0]), "wait/resource-constraint");
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

async fn login(process: &Process, name: &str) -> Client {
    let account = format!("{name}@{DOMAIN}");
    let login = Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain);
    let mut client = login.await;
    client.available().await;
    client
}
