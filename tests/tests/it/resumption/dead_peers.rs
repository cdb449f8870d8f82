//! Peers that are gone without a word.

use super::*;

const IMPATIENT: &str = "[limits.xmpp]\nidle_ping = '200ms'\nping_timeout = '200ms'";

/// Row 34.
#[tokio::test]
async fn a_dead_peer_is_found_and_its_end_is_told_once() {
    let stage = Stage::own(IMPATIENT).await;
    stage.befriend(&["john", "marie"]);
    let wire = Wire::to(stage.xmpp()).await;
    let account = stage.jid("john");
    let mut john = Client::login(wire.address(), &account, "any", None, Mechanism::Plain).await;
    john.roster().await;
    john.available().await;
    let jid = john.jid().to_owned();
    // Marie answers what she is asked, and lives.
    let mut marie = stage.online("marie").await;
    wire.break_now(End::Dead);
    let mut pinged = false;
    loop {
        let element = marie.element("anything").await;
        if element.attr("type") == Some("get") {
            pinged = true;
            assert_eq!(element.attr("from"), Some(DOMAIN));
            let id = element.attr("id").expect("an id").to_owned();
            marie
                .send(format!("<iq type='result' id='{id}' to='{DOMAIN}'/>"))
                .await;
        } else if is_unavailable(&element) {
            assert_eq!(element.attr("from"), Some(jid.as_str()));
            break;
        }
    }
    assert!(pinged, "marie said nothing for as long");
    assert!(
        !marie.settle().await.iter().any(is_unavailable),
        "it is said once"
    );
    drop(john);
}

#[tokio::test]
async fn a_dead_peer_can_come_back() {
    let stage = Stage::own(IMPATIENT).await;
    let wire = Wire::to(stage.xmpp()).await;
    let mut john = managed_over(&wire, &stage, "john").await;
    wire.break_now(End::Dead);
    wire.given_up(1).await;
    let _old = john.abandon();
    john.resume(stage.xmpp()).await;
    john.say("<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    john.expect("an answer", |it| it.attr("id") == Some("ping"))
        .await;
}
