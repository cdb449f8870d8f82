//! What WebSocket and BOSH have in common: a stream is a stream, whatever
//! carries it.

use muster_tests::client::show;
use muster_tests::stage::{Stage, items};
use muster_tests::web::{Kind, WebClient};
use serde_json::json;

/// All that a contact list is for: seen at login, changed by the app, used to
/// talk with somebody on another transport.
#[tokio::test]
async fn a_web_client_sees_its_roster_and_its_changes_and_talks() {
    for kind in Kind::ALL {
        let stage = Stage::shared().await;
        stage.befriend(&["john", "marie"]);
        let mut john = WebClient::login(kind, stage.http(), &stage.jid("john"), "any").await;
        let roster = john.roster().await;
        assert_eq!(items(&roster), [format!("{} both", stage.jid("marie"))]);
        john.available().await;
        let mut marie = stage.online("marie").await;
        let presence = john
            .expect("marie's presence", |it| {
                it.attr("from") == Some(marie.jid())
            })
            .await;
        assert_eq!(presence.name(), "presence", "{}", show(&presence));

        stage.contacts(
            "john",
            json!({ "marie": { "name": "Marie & <co>" }, "aaron": {} }),
        );
        stage.refreshed(&["john"]).await;
        let mut pushed = [john.push().await, john.push().await];
        pushed.sort_by_key(|item| item.attr("jid").map(str::to_owned));
        assert_eq!(pushed[0].attr("jid"), Some(stage.jid("aaron").as_str()));
        assert_eq!(pushed[1].attr("name"), Some("Marie & <co>"));

        john.send(&format!(
            "<message xmlns='jabber:client' to='{}' type='chat'><body>grüße</body></message>",
            stage.jid("marie")
        ))
        .await;
        let message = marie.expect("a message", |it| it.name() == "message").await;
        assert_eq!(message.attr("from"), Some(john.jid()));
        marie
            .send(format!(
                "<message to='{}' type='chat'><body>auch so</body></message>",
                john.jid()
            ))
            .await;
        assert_eq!(john.message().await, "auch so");
    }
}
