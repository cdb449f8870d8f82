//! Rows 10 to 12: streams that are not ours, stanzas too early, elements that
//! are no stanzas (RFC 6120, sections 4 and 8).

use muster_tests::client::{Mechanism, error_of, header, ns};
use muster_tests::muster::{ANYONE, Setup};
use muster_tests::stage::{DOMAIN, Stage};
use std::sync::Arc;
use std::time::Duration;

/// Row 10.
#[tokio::test]
async fn a_stream_that_is_not_ours_is_refused_by_its_name() {
    let stage = Stage::shared().await;
    let good = header(DOMAIN);
    for (bad, conditions) in [
        (
            good.replace("jabber:client", "jabber:server"),
            ["invalid-namespace"].as_slice(),
        ),
        (
            good.replace("http://etherx.jabber.org/streams", "urn:other"),
            &["invalid-namespace"],
        ),
        (
            good.replace(" version='1.0' xmlns=", " xmlns="),
            &["unsupported-version"],
        ),
        (
            good.replace("' version='1.0'", "' version='0.9'"),
            &["unsupported-version"],
        ),
        (
            good.replace("' version='1.0'", "' version='x'"),
            &["unsupported-version"],
        ),
        (good.replace(DOMAIN, "elsewhere.test"), &["host-unknown"]),
        (
            good.replace(DOMAIN, "not a domain"),
            &["host-unknown", "improper-addressing"],
        ),
        (
            good.replace(&format!(" to='{DOMAIN}'"), ""),
            &["host-unknown", "improper-addressing"],
        ),
        (
            good.replace("stream:stream", "stream:flow"),
            &["bad-format", "invalid-xml", "invalid-namespace"],
        ),
    ] {
        assert_ne!(bad, good);
        let mut client = stage.connect().await;
        client.send(&bad).await;
        client.stream_error(conditions).await;
    }
}

/// RFC 6120, section 4.7.5: a client that knows a later minor version is welcome.
#[tokio::test]
async fn a_later_version_is_answered_with_ours() {
    let stage = Stage::shared().await;
    let mut client = stage.connect().await;
    client
        .open_with(&header(DOMAIN).replace("' version='1.0'", "' version='1.7'"))
        .await;
}

/// Row 10.
#[tokio::test]
async fn a_second_header_in_a_stream_ends_it() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    john.send(header(DOMAIN).split_once("?>").expect("a declaration").1)
        .await;
    john.stream_error(&[
        "unsupported-stanza-type",
        "invalid-xml",
        "bad-format",
        "not-well-formed",
    ])
    .await;
    let mut stranger = stage.connect().await;
    stranger.open().await;
    stranger.send(header(DOMAIN)).await;
    let any = [
        "unsupported-stanza-type",
        "invalid-xml",
        "bad-format",
        "not-well-formed",
        "restricted-xml",
    ];
    stranger.stream_error(&any).await;
}

/// A stream that restarts after the login stays with its host.
#[tokio::test]
async fn a_login_does_not_carry_over_to_another_domain() {
    let stage = Stage::shared().await;
    let mut john = stage.connect().await;
    john.open().await;
    john.authenticate(&stage.user("john"), "any", Mechanism::Plain)
        .await
        .expect("a login");
    john.send_header(&header(muster_tests::stage::DESERTED))
        .await;
    john.stream_error(&["host-unknown", "not-authorized", "invalid-namespace"])
        .await;
}

/// Row 11: nothing passes before a resource is bound.
#[tokio::test]
async fn stanzas_before_the_login_end_the_stream() {
    let stage = Stage::shared().await;
    let mut marie = stage.bound("marie").await;
    let requests = stage.app.requests_for(&stage.user("john")).len();
    let to = marie.jid().to_owned();
    for stanza in [
        format!("<message to='{to}'><body>hi</body></message>"),
        format!("<presence to='{to}'/>"),
        "<presence/>".to_owned(),
        format!("<iq type='get' id='1' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>"),
        "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>".to_owned(),
    ] {
        let mut early = stage.connect().await;
        early.open().await;
        early.send(&stanza).await;
        early.stream_error(&["not-authorized"]).await;
        // After SASL, but without a resource.
        let mut early = stage.connect().await;
        early.open().await;
        early
            .authenticate(&stage.user("john"), "any", Mechanism::Plain)
            .await
            .expect("a login");
        early.open().await;
        early.send(&stanza).await;
        early.stream_error(&["not-authorized"]).await;
    }
    let mut early = stage.connect().await;
    early.open().await;
    early
        .send(format!(
            "<iq type='set' id='b'><bind xmlns='{}'/></iq>",
            ns::BIND
        ))
        .await;
    early.stream_error(&["not-authorized"]).await;
    assert_eq!(marie.settle().await.len(), 0);
    assert_eq!(stage.app.requests_for(&stage.user("john")).len(), requests);
}

/// Row 12.
#[tokio::test]
async fn an_element_that_is_no_stanza_ends_the_stream() {
    let stage = Stage::shared().await;
    for element in [
        "<oops/>",
        "<message xmlns='jabber:server'/>",
        "<iq xmlns='urn:x' type='get' id='1'/>",
    ] {
        let mut john = stage.bound("john").await;
        john.send(element).await;
        john.stream_error(&["unsupported-stanza-type"]).await;
    }
}

/// Row 12 (RFC 6120, section 8.2.3): the session survives.
#[tokio::test]
async fn an_iq_that_breaks_the_rules_is_a_bad_request() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let mut marie = stage.bound("marie").await;
    let marie_jid = marie.jid().to_owned();
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    for to in [String::new(), format!(" to='{marie_jid}'")] {
        for (iq, id) in [
            (format!("<iq type='get'{to}>{ping}</iq>"), None),
            (format!("<iq type='get' id='2'{to}/>"), Some("2")),
            (
                format!("<iq type='set' id='3'{to}>{ping}{ping}</iq>"),
                Some("3"),
            ),
            (
                format!("<iq type='fetch' id='4'{to}>{ping}</iq>"),
                Some("4"),
            ),
            (format!("<iq id='5'{to}>{ping}</iq>"), Some("5")),
        ] {
            john.send(&iq).await;
            let reply = john.element("a reply").await;
            assert_eq!(error_of(&reply), "modify/bad-request", "{iq}");
            assert_eq!(reply.attr("id"), id, "{iq}");
        }
    }
    assert_eq!(marie.settle().await.len(), 0);
    assert_eq!(john.settle().await.len(), 0);
}

#[tokio::test]
async fn a_type_that_does_not_exist_is_a_bad_request_or_normal() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    john.send(format!(
        "<presence type='asleep' id='p' to='{}'/>",
        john.jid().to_owned()
    ))
    .await;
    let reply = john
        .expect("a reply", |stanza| stanza.attr("id") == Some("p"))
        .await;
    assert_eq!(error_of(&reply), "modify/bad-request");
    // RFC 6121, section 5.2.2: an unknown type of message is `normal`.
    john.send(format!(
        "<message type='yell' id='m' to='{}'><body>hi</body></message>",
        john.jid().to_owned()
    ))
    .await;
    let message = john
        .expect("the message", |stanza| stanza.attr("id") == Some("m"))
        .await;
    assert!(
        matches!(message.attr("type"), None | Some("normal")),
        "{message:?}"
    );
}

/// RFC 6120, section 4.4.
#[tokio::test]
async fn a_closed_stream_is_closed_in_return() {
    let stage = Stage::shared().await;
    let mut stranger = stage.connect().await;
    stranger.open().await;
    stranger.leave().await;
    stage.bound("john").await.leave().await;
}

/// Row 30: the time until a resource is bound is counted in all, not from the
/// last byte.
#[tokio::test]
async fn a_login_that_takes_too_long_is_cut_off() {
    let stage = Stage::own("[limits.xmpp]\nauth_timeout = \"500ms\"").await;
    // Bound before the others connect: if its clock still ran, it would end first.
    let mut john = stage.bound("john").await;
    let mut silent = stage.connect().await;
    silent.stream_error(&["connection-timeout"]).await;
    let mut chatty = stage.connect().await;
    chatty.open().await;
    chatty
        .send_until_answered(b" ", Duration::from_millis(20))
        .await;
    chatty.stream_error(&["connection-timeout"]).await;
    assert_eq!(
        john.settle().await.len(),
        0,
        "a bound session is not under that clock"
    );
}

/// Virtual hosts side by side: other users, other contacts, one host.
#[tokio::test]
async fn two_domains_do_not_mix() {
    let app = Arc::new(muster_tests::app::App::start().await);
    let other = muster_tests::app::App::start().await;
    let setup = Setup::for_app(&app).host("other.test", ANYONE, &other.roster_url());
    let stage = Stage::around(app, &setup).await;
    stage
        .app
        .set_contacts("john", serde_json::json!({"here@example.test": {}}));
    other.set_contacts("john", serde_json::json!({"there@other.test": {}}));
    let mut here = stage.bound("john").await;
    let login = |account| {
        muster_tests::client::Client::login(stage.xmpp(), account, "any", None, Mechanism::Plain)
    };
    let mut there = login("john@other.test").await;
    assert_eq!(
        muster_tests::stage::items(&here.roster().await),
        ["here@example.test both"]
    );
    assert_eq!(
        muster_tests::stage::items(&there.roster().await),
        ["there@other.test both"]
    );
    // One can write to the other.
    there
        .send(format!(
            "<message to='{}' id='m'><body>hi</body></message>",
            here.jid()
        ))
        .await;
    let message = here
        .expect("the message", |stanza| stanza.attr("id") == Some("m"))
        .await;
    assert_eq!(message.attr("from"), Some(there.jid()));
    // A refresh is for the domain that it names.
    other.set_contacts("john", serde_json::json!({}));
    muster_tests::muster::refresh(stage.http(), "other.test", &["john"]).await;
    assert_eq!(
        muster_tests::stage::item(&there.push().await),
        "there@other.test remove"
    );
    assert_eq!(here.settle().await.len(), 0);
    assert_eq!(stage.app.requests_for("john").len(), 1);
}

/// Row 35.
#[tokio::test]
async fn what_is_not_built_is_refused_by_its_name() {
    let stage = Stage::shared().await;
    let mut client = stage.connect().await;
    let features = client.open().await;
    assert!(!features.has_child("compression", "http://jabber.org/features/compress"));
    client.send("<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>").await;
    let failure = client.element("a failure").await;
    assert!(
        failure.has_child("unsupported-method", "http://jabber.org/protocol/compress"),
        "{failure:?}"
    );
}
