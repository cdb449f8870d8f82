//! Rows 1 to 9: XML that is forbidden, broken or too big, over the wire.

use muster_tests::client::{Client, Mechanism, header, show};
use muster_tests::stage::{DOMAIN, Stage};

/// A stream that is open and has no login yet.
async fn before_auth(stage: &Stage) -> Client {
    let mut client = stage.connect().await;
    client.open().await;
    client
}

/// Sends `input` on a fresh stream before and after the login; both must end
/// with one of `conditions`.
async fn ends_with(stage: &Stage, input: &str, conditions: &[&str]) {
    let mut client = before_auth(stage).await;
    client.send(input).await;
    client.stream_error(conditions).await;
    let mut client = stage.bound("john").await;
    client.send(input).await;
    client.stream_error(conditions).await;
}

/// Row 1.
#[tokio::test]
async fn a_dtd_is_refused() {
    let stage = Stage::shared().await;
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"&l{};&l{0};&l{0};&l{0};\">", n - 1))
        .collect();
    for dtd in [
        format!(
            "<!DOCTYPE lolz [<!ENTITY l0 \"lol\">{laughs}]><message><body>&l9;</body></message>"
        ),
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\">".to_owned(),
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>".to_owned(),
    ] {
        ends_with(&stage, &dtd, &["restricted-xml", "not-well-formed"]).await;
        // In place of the stream header, where a DTD would belong.
        for start in ["<?xml version='1.0'?>", ""] {
            let mut client = stage.connect().await;
            client.send(format!("{start}{dtd}{}", header(DOMAIN))).await;
            client
                .stream_error(&["restricted-xml", "not-well-formed"])
                .await;
        }
    }
}

/// Row 2 (RFC 6120, section 11.1).
#[tokio::test]
async fn what_xmpp_restricts_is_refused() {
    let stage = Stage::shared().await;
    for input in [
        "<!-- hello -->",
        "<?php echo 1; ?>",
        "<message><!-- hello --></message>",
        "<message><?pi?></message>",
        "<message><body>&eacute;</body></message>",
        "<?xml version='1.0'?><message/>",
    ] {
        ends_with(&stage, input, &["restricted-xml", "not-well-formed"]).await;
    }
}

/// Row 2.
#[tokio::test]
async fn other_encodings_and_versions_of_xml_are_refused() {
    let stage = Stage::shared().await;
    let utf16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect::<Vec<u8>>()
    };
    let declared = |declaration: &str| {
        format!(
            "{declaration}{}",
            header(DOMAIN).split_once("?>").expect("one").1
        )
    };
    let allowed = ["unsupported-encoding", "not-well-formed", "restricted-xml"];
    for bytes in [
        declared("<?xml version='1.0' encoding='utf-16'?>").into_bytes(),
        declared("<?xml version='1.0' encoding='iso-8859-1'?>").into_bytes(),
        declared("<?xml version='1.1'?>").into_bytes(),
        declared("<?xml version='1.0'?><?xml version='1.0'?>").into_bytes(),
        utf16(&format!("\u{feff}{}", header(DOMAIN))),
        utf16(&header(DOMAIN)),
    ] {
        let mut client = stage.connect().await;
        client.send(bytes).await;
        client.stream_error(&allowed).await;
    }
    let mut client = stage.connect().await;
    client
        .open_with(&declared("<?xml version=\"1.0\" encoding=\"UTF-8\" ?>"))
        .await;
}

/// Rows 3 and 4: deep nesting, with and without end tags.
#[tokio::test]
async fn depth_is_bounded_before_any_tree_exists() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let nested = format!(
        "<message>{}{}</message>",
        "<a>".repeat(37_000),
        "</a>".repeat(37_000)
    );
    john.send(nested).await;
    too_big(&mut john).await;
    let mut stranger = before_auth(&stage).await;
    stranger.send("<a>".repeat(87_000)).await;
    stranger
        .stream_error(&["policy-violation", "unsupported-stanza-type"])
        .await;
    let mut stranger = before_auth(&stage).await;
    stranger
        .send(format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}",
            "<a>".repeat(87_000)
        ))
        .await;
    too_big(&mut stranger).await;

    // The bound itself is allowed: 64 elements, the stanza included.
    let mut john = stage.bound("john").await;
    let to = john.jid().to_owned();
    let deep = |depth: usize| {
        format!(
            "<message to='{to}' id='deep'>{}{}</message>",
            "<a>".repeat(depth - 1),
            "</a>".repeat(depth - 1)
        )
    };
    john.send(deep(64)).await;
    john.expect("the message", |stanza| stanza.attr("id") == Some("deep"))
        .await;
    john.send(deep(65)).await;
    too_big(&mut john).await;
}

/// Row 5.
#[tokio::test]
async fn attributes_and_declarations_are_bounded() {
    let stage = Stage::shared().await;
    let attributes = |count: usize| (0..count).map(|n| format!(" a{n}=''")).collect::<String>();
    let declarations = |count: usize| {
        (0..count)
            .map(|n| format!(" xmlns:n{n}='u:{n}'"))
            .collect::<String>()
    };
    for flood in [attributes(20_000), declarations(10_000)] {
        let mut john = stage.bound("john").await;
        john.send(format!("<message{flood}/>")).await;
        too_big(&mut john).await;
        let mut stranger = stage.connect().await;
        let open = header(DOMAIN).replace(
            "version='1.0' xmlns=",
            &format!("version='1.0'{flood} xmlns="),
        );
        stranger.send(open).await;
        stranger.stream_error(&["policy-violation"]).await;
    }
    let mut john = stage.bound("john").await;
    let to = john.jid().to_owned();
    let wide = |count: usize| {
        format!(
            "<message to='{to}' id='wide'><a xmlns='u:a'{}/></message>",
            attributes(count)
        )
    };
    john.send(wide(63)).await;
    john.expect("the message", |stanza| stanza.attr("id") == Some("wide"))
        .await;
    john.send(wide(64)).await;
    too_big(&mut john).await;
}

/// Row 6: exactly 256 KiB pass, a byte more does not, and nothing of it comes
/// back.
#[tokio::test]
async fn a_stanza_may_have_256_kib() {
    const LIMIT: usize = 256 * 1024;
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let to = john.jid().to_owned();
    let sized = |bytes: usize| {
        let head = format!("<message to='{to}' id='big'><body>");
        let foot = "</body></message>";
        format!(
            "{head}{}{foot}",
            "x".repeat(bytes - head.len() - foot.len())
        )
    };
    john.send(sized(LIMIT)).await;
    john.expect("the message", |stanza| stanza.attr("id") == Some("big"))
        .await;
    john.send(sized(LIMIT + 1)).await;
    let error = too_big(&mut john).await;
    assert!(!error.contains("xxx"), "the payload is not echoed");

    // The same without ever coming to a `>`.
    for start in ["<message><body>", "<message id='"] {
        let mut john = stage.bound("john").await;
        john.send(start).await;
        for _ in 0..5 {
            john.send("y".repeat(64 * 1024)).await;
        }
        let error = too_big(&mut john).await;
        assert!(!error.contains("yyy"));
    }
}

/// Row 7.
#[tokio::test]
async fn the_bounds_before_the_login_are_small() {
    let stage = Stage::shared().await;
    let mut stranger = before_auth(&stage).await;
    stranger
        .send(format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{}</auth>",
            "A".repeat(8 * 1024)
        ))
        .await;
    too_big(&mut stranger).await;
    let mut stranger = stage.connect().await;
    stranger
        .send(format!("<stream:stream to='{}'", "x".repeat(8 * 1024)))
        .await;
    stranger.stream_error(&["policy-violation"]).await;
    let mut stranger = before_auth(&stage).await;
    stranger
        .send(format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{}</auth>",
            "<a/>".repeat(32)
        ))
        .await;
    too_big(&mut stranger).await;
}

/// Row 7.
#[tokio::test]
async fn a_stanza_may_have_2000_elements() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    let to = john.jid().to_owned();
    let many = |count: usize| {
        format!(
            "<message to='{to}' id='many'>{}</message>",
            "<a/>".repeat(count - 1)
        )
    };
    john.send(many(2_000)).await;
    john.expect("the message", |stanza| stanza.attr("id") == Some("many"))
        .await;
    john.send(many(2_001)).await;
    too_big(&mut john).await;
    let mut john = stage.bound("john").await;
    john.send(many(5_000)).await;
    too_big(&mut john).await;
}

/// Row 8: and the stanza that the fault is in is not delivered.
#[tokio::test]
async fn what_is_not_well_formed_ends_the_stream_and_goes_nowhere() {
    let stage = Stage::shared().await;
    let mut marie = stage.bound("marie").await;
    let faults: [&[u8]; 13] = [
        b"<body>x</bodi>",
        b"<body>x</body></oops>",
        b"<u:body>x</u:body>",
        b"<body u:a=''>x</body>",
        b"<body a='1' a='2'>x</body>",
        b"<body xmlns:p='u:u' xmlns:q='u:u' p:a='1' q:a='2'>x</body>",
        b"<body>\xff\xfe</body>",
        b"<body>\xed\xa0\x80</body>",
        b"<body>&#0;</body>",
        b"<body>&#xFFFE;</body>",
        b"<body>\x07</body>",
        b"<body a=x>x</body>",
        b"<body>a < b</body>",
    ];
    for fault in faults {
        let mut john = stage.bound("john").await;
        let to = marie.jid();
        let stanza = [
            format!("<message to='{to}'>").as_bytes(),
            fault,
            b"</message>",
        ]
        .concat();
        john.send(stanza).await;
        john.stream_error(&["not-well-formed", "bad-namespace-prefix"])
            .await;
    }
    assert_eq!(marie.settle().await.len(), 0);
}

/// Row 8: text between stanzas is no stanza; white space is (RFC 6120, 4.6.1).
#[tokio::test]
async fn white_space_keeps_a_stream_alive_and_text_ends_it() {
    let stage = Stage::shared().await;
    let mut john = stage.bound("john").await;
    john.send(" \n\t ".repeat(10_000)).await;
    assert_eq!(john.settle().await.len(), 0);
    john.send("text").await;
    john.stream_error(&["bad-format", "not-well-formed", "invalid-xml"])
        .await;
}

/// Row 9: a whole session in single bytes is the same session.
#[tokio::test]
async fn the_cut_of_the_bytes_does_not_matter() {
    let stage = Stage::shared().await;
    stage.befriend(&["john", "marie"]);
    let mut marie = stage.online("marie").await;
    for size in [1, 2, 3, 7, 64] {
        let mut john = stage.connect().await;
        let bytes = john_session(&stage, size);
        john.send_in_pieces(bytes.as_bytes(), size).await;
        let message = marie
            .expect("the message", |stanza| stanza.name() == "message")
            .await;
        let text = show(&message);
        assert!(text.contains("päng &amp; \u{1F339}"), "{text}");
        assert_eq!(
            message.attr("from"),
            Some(format!("{}/r{size}", stage.jid("john")).as_str())
        );
    }
}

/// Everything that a client sends from its first byte to a message, without
/// waiting for anything in between.
fn john_session(stage: &Stage, size: usize) -> String {
    use base64::Engine as _;
    let initial = format!("\0{}\0any", stage.user("john"));
    let initial = base64::engine::general_purpose::STANDARD.encode(initial);
    let header = header(DOMAIN);
    format!(
        "{header}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{initial}</auth>{header}\
         <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r{size}</resource></bind></iq>\
         <message to='{}' type='chat'><body>päng &amp; \u{1F339}</body></message>",
        Mechanism::Plain.name(),
        stage.jid("marie"),
    )
}

/// `policy-violation` with `stanza-too-big`; the error as text.
async fn too_big(client: &mut Client) -> String {
    let error = client.stream_error(&["policy-violation"]).await;
    assert!(
        error.has_child("stanza-too-big", "urn:xmpp:errors"),
        "{}",
        show(&error)
    );
    show(&error)
}
