//! Row 23: every `from` is the host's (RFC 6120, section 8.1.2.1).

use muster_tests::stage::Stage;

#[tokio::test]
async fn a_sender_cannot_name_itself() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let (mut john, mut marie) = (stage.online("john").await, stage.online("marie").await);
    marie.settle().await;
    let payload = "<q xmlns='urn:example:q'/>";
    for (n, claim) in [
        "aaron@example.test",
        "example.test",
        "marie@example.test/x",
        "not a jid",
        "",
    ]
    .iter()
    .enumerate()
    {
        let to = marie.jid().to_owned();
        for stanza in [
            format!("<message from='{claim}' to='{to}' id='m{n}'><body>hi</body></message>"),
            format!("<presence from='{claim}' to='{to}' id='m{n}'/>"),
            format!("<iq from='{claim}' to='{to}' id='m{n}' type='get'>{payload}</iq>"),
            format!("<presence from='{claim}' id='m{n}'/>"),
        ] {
            john.send(&stanza).await;
            let id = format!("m{n}");
            let arrived = marie
                .expect("the stanza", |arrived| arrived.attr("id") == Some(&id))
                .await;
            assert_eq!(arrived.attr("from"), Some(john.jid()), "{stanza}");
        }
    }
}

/// The stamp is the account that logged in, prepared, not what was typed.
#[tokio::test]
async fn the_stamp_is_the_prepared_account() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("JoHN").await;
    assert_eq!(john.bare(), stage.jid("john"));
    let arrived = {
        john.send(format!(
            "<message to='{}' id='m'><body>hi</body></message>",
            john.jid()
        ))
        .await;
        john.expect("the message", |arrived| arrived.attr("id") == Some("m"))
            .await
    };
    assert_eq!(arrived.attr("from"), Some(john.jid()));
}
