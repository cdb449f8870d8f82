//! L6: tokio-xmpp as a client that knows nothing of us. It logs in, sees the
//! roster and what a POST changes in it, presence both ways, and a message.

use futures_util::StreamExt as _;
use muster_tests::stage::Stage;
use muster_tests::within;
use serde_json::json;
use tokio_xmpp::connect::DnsConfig;
use tokio_xmpp::xmlstream::Timeouts;
use tokio_xmpp::{Client, Event, IqRequest, IqResponse, Stanza};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::{BareJid, Jid};
use xmpp_parsers::message::{Lang, Message, MessageType};
use xmpp_parsers::presence::{Presence, Type};
use xmpp_parsers::roster::{Item, Roster, Subscription};

struct User(Client);

impl User {
    async fn online(stage: &Stage, name: &str) -> (User, Jid) {
        let account: BareJid = stage.jid(name).parse().expect("a JID");
        let dns = DnsConfig::Addr {
            addr: stage.xmpp().to_string(),
        };
        let client = Client::new_plaintext(account, "any", dns, Timeouts::default());
        let mut user = User(client);
        match within("Online", user.0.next()).await {
            Some(Event::Online { bound_jid, .. }) => (user, bound_jid),
            other => panic!("{name}: expected to be online, got {other:?}"),
        }
    }

    async fn roster(&mut self) -> Vec<Item> {
        let query = Roster {
            ver: None,
            items: Vec::new(),
        };
        let token = self.0.send_iq(None, IqRequest::Get(query.into())).await;
        // The client makes progress only while it is polled.
        let reply = async {
            tokio::pin!(token);
            loop {
                tokio::select! {
                    reply = &mut token => return reply.expect("a reply"),
                    event = self.0.next() => assert!(!matches!(event, Some(Event::Disconnected(_)) | None)),
                }
            }
        };
        match within("the roster", reply).await {
            IqResponse::Result(Some(payload)) => Roster::try_from(payload).expect("a roster").items,
            other => panic!("expected a roster, got {other:?}"),
        }
    }

    async fn send(&mut self, stanza: impl Into<Stanza>) {
        self.0
            .send_stanza(stanza.into())
            .await
            .expect("a connected client");
    }

    async fn stanza(&mut self) -> Stanza {
        match within("a stanza", self.0.next()).await {
            Some(Event::Stanza(stanza)) => stanza,
            other => panic!("expected a stanza, got {other:?}"),
        }
    }

    /// The item of the next push, which is answered.
    async fn push(&mut self) -> Item {
        loop {
            if let Stanza::Iq(Iq::Set { id, payload, .. }) = self.stanza().await {
                let mut roster = Roster::try_from(payload).expect("a roster push");
                self.send(Iq::Result {
                    from: None,
                    to: None,
                    id,
                    payload: None,
                })
                .await;
                return roster.items.pop().expect("an item");
            }
        }
    }

    async fn presence_from(&mut self, from: &Jid) -> Presence {
        loop {
            if let Stanza::Presence(presence) = self.stanza().await
                && presence.from.as_ref() == Some(from)
            {
                return presence;
            }
        }
    }
}

#[tokio::test]
async fn tokio_xmpp_lives_with_the_app() {
    let stage = Stage::shared().await;
    stage.contacts("john", json!({"marie": {"name": "Marie"}}));
    stage.contacts("marie", json!({"john": {}}));
    let (mut john, john_jid) = User::online(&stage, "john").await;
    let (mut marie, marie_jid) = User::online(&stage, "marie").await;

    let roster = john.roster().await;
    assert_eq!(
        (roster.len(), roster[0].name.as_deref()),
        (1, Some("Marie"))
    );
    marie.roster().await;

    // Presence, both ways.
    john.send(Presence::new(Type::None)).await;
    marie.send(Presence::new(Type::None)).await;
    assert_eq!(marie.presence_from(&john_jid).await.type_, Type::None);
    assert_eq!(john.presence_from(&marie_jid).await.type_, Type::None);

    // Rename and regroup, add, remove.
    stage.contacts(
        "john",
        json!({"marie": {"name": "Mary", "groups": ["Friends"]}}),
    );
    stage.refreshed(&["john"]).await;
    let item = john.push().await;
    assert_eq!((item.name.as_deref(), item.groups.len()), (Some("Mary"), 1));
    stage.contacts(
        "john",
        json!({"marie": {"name": "Mary", "groups": ["Friends"]}, "aaron": {}}),
    );
    stage.refreshed(&["john"]).await;
    assert_eq!(john.push().await.jid.to_string(), stage.jid("aaron"));
    stage.contacts(
        "john",
        json!({"marie": {"name": "Mary", "groups": ["Friends"]}}),
    );
    stage.refreshed(&["john"]).await;
    let item = john.push().await;
    assert_eq!(
        (item.jid.to_string(), item.subscription),
        (stage.jid("aaron"), Subscription::Remove)
    );

    // A message, by the bare JID.
    let to: Jid = stage.jid("marie").parse().expect("a JID");
    let mut message = Message::new(Some(to));
    message.type_ = MessageType::Chat;
    message
        .bodies
        .insert(Lang::default(), "hello, Marie".to_owned());
    john.send(message).await;
    loop {
        if let Stanza::Message(message) = marie.stanza().await {
            assert_eq!(message.from.as_ref(), Some(&john_jid));
            assert_eq!(
                message.bodies.values().next().map(String::as_str),
                Some("hello, Marie")
            );
            break;
        }
    }

    // And goodbye.
    john.0.send_end().await.expect("an orderly end");
    assert_eq!(
        marie.presence_from(&john_jid).await.type_,
        Type::Unavailable
    );
}
