//! RFC 6121, section 8: every row of table 1, and the rows for presence and IQ,
//! observed at the receivers and at the sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_tests::app::App;
use muster_tests::client::{Client, error_of, show};
use muster_tests::muster::{ANYONE, Setup};
use muster_tests::stage::{DOMAIN, Stage};
use xmpp_parsers::minidom::Element;

const TYPES: [&str; 5] = ["normal", "chat", "groupchat", "headline", "error"];

/// The resources of the account that is written to, and what they said of
/// themselves: a priority, or nothing.
type Account = &'static [(&'static str, Option<i8>)];

const NO_ACCOUNT: Account = &[];
const NO_ACTIVE: Account = &[("idle", None)];
const ONLY_NEGATIVE: Account = &[("bot", Some(-1)), ("phone", Some(-128))];
const ONE_NON_NEGATIVE: Account = &[("bot", Some(-1)), ("phone", Some(0))];
const MORE: Account = &[
    ("laptop", Some(5)),
    ("idle", None),
    ("phone", Some(0)),
    ("bot", Some(-1)),
];

/// The account's sessions, each with the presence of the table.
async fn assemble(stage: &Stage, account: Account) -> Vec<Client> {
    let mut sessions = Vec::new();
    for (resource, priority) in account {
        let mut session = stage.bound_as("juliet", resource).await;
        if let Some(priority) = priority {
            session
                .send(format!(
                    "<presence><priority>{priority}</priority></presence>"
                ))
                .await;
        }
        sessions.push(session);
    }
    for session in &mut sessions {
        session.settle().await;
    }
    // Once more: what the later ones broadcast has arrived.
    for session in &mut sessions {
        session.settle().await;
    }
    sessions
}

/// What became of a stanza that `romeo` sent: the resources that got it, `error:
/// …`, or `-`.
async fn fate(romeo: &mut Client, sessions: &mut [Client], id: &str, stanza: &str) -> String {
    romeo.send(stanza).await;
    let back = romeo.settle().await;
    let mut fates = Vec::new();
    for session in sessions.iter_mut() {
        let came = session.settle().await;
        let copies = came.iter().filter(|stanza| stanza.attr("id") == Some(id));
        for copy in copies {
            assert_eq!(copy.attr("from"), Some(romeo.jid()), "{}", show(copy));
            fates.push(session.resource().to_owned());
        }
    }
    let errors: Vec<&Element> = back
        .iter()
        .filter(|stanza| stanza.attr("id") == Some(id))
        .collect();
    fates.extend(
        errors
            .into_iter()
            .map(|error| format!("error: {}", error_of(error))),
    );
    if fates.is_empty() {
        "-".to_owned()
    } else {
        fates.join(" ")
    }
}

/// What nobody is there to take is kept: no answer, as of an account that does
/// not exist.
#[tokio::test]
async fn messages_follow_table_1() {
    let stage = || async { Stage::shared().await };
    follow_table_1(stage, "-").await;
}

/// Without a store it is refused.
#[tokio::test]
async fn messages_follow_table_1_where_none_are_kept() {
    let app = Arc::new(App::start().await);
    let setup =
        Setup::new()
            .host_keys("offline_messages = false")
            .host(DOMAIN, ANYONE, &app.roster_url());
    let stage = Stage::around(app, &setup).await;
    let stages = AtomicUsize::new(0);
    let stage = || async {
        let number = stages.fetch_add(1, Ordering::Relaxed);
        stage.with_tag(&format!("-{number}"))
    };
    follow_table_1(stage, REFUSED).await;
}

const REFUSED: &str = "error: cancel/service-unavailable";

/// `absent`: what becomes of a message that could be kept.
async fn follow_table_1(stage: impl AsyncFn() -> Stage, absent: &str) {
    // normal, chat, groupchat, headline, error
    for (account, resource, expected) in [
        (NO_ACCOUNT, "", [absent, absent, REFUSED, "-", "-"]),
        (NO_ACCOUNT, "/gone", [REFUSED, absent, REFUSED, "-", "-"]),
        (NO_ACTIVE, "", [absent, absent, REFUSED, "-", "-"]),
        (NO_ACTIVE, "/gone", [REFUSED, absent, REFUSED, "-", "-"]),
        (NO_ACTIVE, "/idle", ["idle"; 5]),
        (ONLY_NEGATIVE, "", [absent, absent, REFUSED, "-", "-"]),
        (ONLY_NEGATIVE, "/phone", ["phone"; 5]),
        (ONLY_NEGATIVE, "/gone", [REFUSED, absent, REFUSED, "-", "-"]),
        (
            ONE_NON_NEGATIVE,
            "",
            ["phone", "phone", REFUSED, "phone", "-"],
        ),
        (ONE_NON_NEGATIVE, "/phone", ["phone"; 5]),
        (ONE_NON_NEGATIVE, "/bot", ["bot"; 5]),
        (
            ONE_NON_NEGATIVE,
            "/gone",
            [REFUSED, "phone", REFUSED, "-", "-"],
        ),
        (
            MORE,
            "",
            ["laptop phone", "laptop phone", REFUSED, "laptop phone", "-"],
        ),
        (MORE, "/phone", ["phone"; 5]),
        (MORE, "/gone", [REFUSED, "laptop phone", REFUSED, "-", "-"]),
    ] {
        let stage = stage().await;
        let mut sessions = assemble(&stage, account).await;
        let mut romeo = stage.bound("romeo").await;
        let to = format!("{}{resource}", stage.jid("juliet"));
        for (kind, expected) in TYPES.into_iter().zip(expected) {
            let stanza =
                format!("<message to='{to}' type='{kind}' id='{kind}'><body>hi</body></message>");
            let fate = fate(&mut romeo, &mut sessions, kind, &stanza).await;
            assert_eq!(fate, expected, "{kind} to {to} with {account:?}");
        }
    }
}

/// Directed presence; subscriptions and probes have tests of their own.
#[tokio::test]
async fn presence_follows_section_8() {
    // available, unavailable
    for (account, resource, expected) in [
        (NO_ACCOUNT, "", ["-"; 2]),
        (NO_ACCOUNT, "/gone", ["-"; 2]),
        (NO_ACTIVE, "", ["-"; 2]),
        (ONLY_NEGATIVE, "", ["bot phone"; 2]),
        (ONLY_NEGATIVE, "/phone", ["phone"; 2]),
        (MORE, "", ["laptop phone bot"; 2]),
        (MORE, "/phone", ["phone"; 2]),
        (MORE, "/gone", ["-"; 2]),
    ] {
        let stage = Stage::shared().await;
        let mut sessions = assemble(&stage, account).await;
        let mut romeo = stage.online("romeo").await;
        let to = format!("{}{resource}", stage.jid("juliet"));
        for (kind, expected) in ["", " type='unavailable'"].into_iter().zip(expected) {
            let stanza = format!("<presence to='{to}'{kind} id='p{}'/>", kind.len());
            let fate = fate(
                &mut romeo,
                &mut sessions,
                &format!("p{}", kind.len()),
                &stanza,
            )
            .await;
            assert_eq!(fate, expected, "{kind:?} to {to} with {account:?}");
        }
    }
}

#[tokio::test]
async fn iqs_follow_section_8() {
    const REFUSED: &str = "error: cancel/service-unavailable";
    // get, set, result, error
    for (account, resource, expected) in [
        (NO_ACCOUNT, "", [REFUSED, REFUSED, "-", "-"]),
        (NO_ACCOUNT, "/gone", [REFUSED, REFUSED, "-", "-"]),
        (NO_ACTIVE, "", [REFUSED, REFUSED, "-", "-"]),
        (NO_ACTIVE, "/idle", ["idle"; 4]),
        (MORE, "", [REFUSED, REFUSED, "-", "-"]),
        (MORE, "/phone", ["phone"; 4]),
        (MORE, "/gone", [REFUSED, REFUSED, "-", "-"]),
    ] {
        let stage = Stage::shared().await;
        let mut sessions = assemble(&stage, account).await;
        let mut romeo = stage.bound("romeo").await;
        let to = format!("{}{resource}", stage.jid("juliet"));
        for (kind, expected) in ["get", "set", "result", "error"].into_iter().zip(expected) {
            let payload = "<q xmlns='urn:example:unknown'/>";
            let stanza = format!("<iq to='{to}' type='{kind}' id='{kind}'>{payload}</iq>");
            let fate = fate(&mut romeo, &mut sessions, kind, &stanza).await;
            assert_eq!(fate, expected, "{kind} to {to} with {account:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_finds_its_way_back() {
    let stage = Stage::shared().await;
    let (mut romeo, mut juliet) = (stage.bound("romeo").await, stage.bound("juliet").await);
    romeo
        .send(format!(
            "<iq type='get' id='q1' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
            juliet.jid()
        ))
        .await;
    let question = juliet
        .expect("the question", |stanza| stanza.attr("id") == Some("q1"))
        .await;
    let from = question.attr("from").expect("a sender");
    assert!(
        question.get_child("ping", "urn:xmpp:ping").is_some(),
        "{}",
        show(&question)
    );
    juliet
        .send(format!("<iq type='result' id='q1' to='{from}'/>"))
        .await;
    let answer = romeo
        .expect("the answer", |stanza| stanza.attr("id") == Some("q1"))
        .await;
    assert_eq!(
        (answer.attr("type"), answer.attr("from")),
        (Some("result"), Some(juliet.jid()))
    );
}

/// What a message carries arrives as it was sent: languages, foreign payloads,
/// several bodies, text that needs escaping.
#[tokio::test]
async fn payloads_arrive_whole() {
    let stage = Stage::shared().await;
    let (mut romeo, mut juliet) = (stage.bound("romeo").await, stage.bound("juliet").await);
    romeo
        .send(format!(
            "<message to='{}' id='m' type='chat' xml:lang='de'><body>1 &lt; 2 &amp; \u{1F339} <![CDATA[<raw/>]]>]]&gt;</body>\
             <body xml:lang='en'>second</body><x xmlns='urn:example:a' xmlns:b='urn:example:b' b:k='&quot;v'>\
             <b:y><z xmlns='jabber:client'/></b:y></x></message>",
            juliet.jid()
        ))
        .await;
    let message = juliet
        .expect("the message", |stanza| stanza.attr("id") == Some("m"))
        .await;
    let text = show(&message);
    assert_eq!(
        message.attr_ns("http://www.w3.org/XML/1998/namespace", "lang"),
        Some("de"),
        "{text}"
    );
    let bodies: Vec<String> = message
        .children()
        .filter(|child| child.name() == "body")
        .map(Element::text)
        .collect();
    assert_eq!(bodies, ["1 < 2 & \u{1F339} <raw/>]]>", "second"]);
    let x = message
        .get_child("x", "urn:example:a")
        .expect("the foreign payload");
    assert_eq!(x.attr_ns("urn:example:b", "k"), Some("\"v"), "{text}");
    let y = x.get_child("y", "urn:example:b").expect("its child");
    assert!(y.get_child("z", "jabber:client").is_some(), "{text}");
}

/// Between two sessions the order of sending is the order of arrival.
#[tokio::test]
async fn messages_arrive_in_order() {
    let stage = Stage::shared().await;
    let (mut romeo, mut juliet) = (stage.bound("romeo").await, stage.bound("juliet").await);
    let burst: String = (0..500)
        .map(|n| {
            format!(
                "<message to='{}' id='{n}' type='chat'><body>{n}</body></message>",
                juliet.jid()
            )
        })
        .collect();
    romeo.send(burst).await;
    for n in 0..500 {
        let message = juliet.element("a message").await;
        assert_eq!(message.attr("id"), Some(n.to_string().as_str()));
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let stage = Stage::shared().await;
    let mut romeo = stage.bound("romeo").await;
    let long = format!("{}@example.test", "x".repeat(1024));
    for to in [
        "@example.test",
        "a@b@c",
        "juliet@",
        "a b@example.test",
        "/x",
        long.as_str(),
    ] {
        romeo
            .send(format!(
                "<message to='{to}' id='m'><body>hi</body></message>"
            ))
            .await;
        let reply = romeo
            .expect("an error", |stanza| stanza.attr("id") == Some("m"))
            .await;
        assert_eq!(error_of(&reply), "modify/jid-malformed", "{to}");
    }
}
