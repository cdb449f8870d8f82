//! Streams over WebSocket (RFC 7395), and what neither a page nor a frame may
//! do.

use muster_tests::client::ns;
use muster_tests::http::{exchange, request};
use muster_tests::stage::{DOMAIN, Stage};
use muster_tests::web::{Kind, Socket, WebClient, handshake};
use muster_tests::within;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

const PATH: &str = "/xmpp-websocket";
const PROTOCOL: (&str, &str) = ("Sec-WebSocket-Protocol", "xmpp");
const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");
const CLOSE: &str = "<close xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" />";

async fn online(stage: &Stage, name: &str) -> WebClient {
    let mut client = WebClient::login(Kind::WebSocket, stage.http(), &stage.jid(name), "any").await;
    client.available().await;
    client
}

/// Row 36.
#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let stage = Stage::own("[web]\norigins = [\"https://chat.example.com\"]").await;
    let host = stage.http().to_string();
    let own = format!("http://{host}");
    for origin in [
        "https://evil.example",
        "null",
        "https://chat.example.com:8443",
    ] {
        let fields = [PROTOCOL, VERSION, ("Host", &host), ("Origin", origin)];
        let reply = handshake(stage.http(), PATH, &fields).await;
        assert_eq!(reply.status, 403, "{origin}");
    }
    for origin in ["https://chat.example.com", own.as_str()] {
        Socket::connect(stage.http(), &[("Origin", origin)]).await;
    }
    Socket::connect(stage.http(), &[]).await;
    let open = Stage::own("[web]\norigins = [\"*\"]").await;
    Socket::connect(open.http(), &[("Origin", "https://evil.example")]).await;
    stage.shutdown().await;
    open.shutdown().await;
}

#[tokio::test]
async fn what_is_no_handshake_for_xmpp_is_refused() {
    let stage = Stage::shared().await;
    for (fields, status) in [
        (vec![VERSION], 400),
        (vec![VERSION, ("Sec-WebSocket-Protocol", "chat")], 400),
        (
            vec![VERSION, ("Sec-WebSocket-Protocol", "chat, x-xmpp")],
            400,
        ),
        (vec![PROTOCOL], 426),
        (vec![PROTOCOL, ("Sec-WebSocket-Version", "8")], 426),
    ] {
        let reply = handshake(stage.http(), PATH, &fields).await;
        assert_eq!(reply.status, status, "{fields:?}: {}", reply.text());
    }
    let plain = exchange(stage.http(), &request("GET", PATH, &[], b"")).await;
    assert_eq!(plain.status, 426);
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    let posted = exchange(stage.http(), &request("POST", PATH, &[], b"")).await;
    assert_eq!(posted.status, 405);
}

#[tokio::test]
async fn pings_are_answered() {
    let stage = Stage::shared().await;
    let mut socket = Socket::connect(stage.http(), &[]).await;
    socket.send_message(Message::Ping("there?".into())).await;
    let pong = socket.receive("a pong").await;
    assert_eq!(pong, Some(Message::Pong("there?".into())));
    socket.open(DOMAIN).await;
}

/// Row 36. What the stream is told, and the code that says it to the browser.
#[tokio::test]
async fn frames_that_are_too_many_too_large_or_no_text_end_the_stream() {
    let stage = Stage::shared().await;
    let fragment = |opcode, last| Message::Frame(Frame::message("a", OpCode::Data(opcode), last));
    let mut nine = vec![fragment(Data::Text, false)];
    nine.extend((0..8).map(|_| fragment(Data::Continue, false)));
    for (messages, code, condition) in [
        (nine, 1008, "policy-violation"),
        // The bound is that of a stanza before a login, 8 KiB.
        (
            vec![Message::text("x".repeat(9_000))],
            1009,
            "policy-violation",
        ),
        (vec![Message::binary(vec![1, 2, 3])], 1003, "bad-format"),
    ] {
        let mut socket = Socket::connect(stage.http(), &[]).await;
        socket.open(DOMAIN).await;
        assert_eq!(socket.element("features").await.name(), "features");
        for message in messages {
            socket.send_message(message).await;
        }
        let (last_words, said) = socket.until_closed().await;
        assert_eq!(said, code, "{last_words:?}");
        assert!(last_words[0].contains(condition), "{last_words:?}");
        assert_eq!(last_words.last().map(String::as_str), Some(CLOSE));
    }
    // Bytes that are not UTF-8, in a text frame, masked with zeros.
    let mut socket = Socket::connect(stage.http(), &[]).await;
    socket.open(DOMAIN).await;
    socket.send_raw(&[0x81, 0x81, 0, 0, 0, 0, 0xFF]).await;
    assert_eq!(socket.until_closed().await.1, 1007);
    // Frames of a client are masked.
    let mut socket = Socket::connect(stage.http(), &[]).await;
    socket.send_raw(&[0x81, 0x01, b'<']).await;
    assert_eq!(socket.until_closed().await.1, 1002);
}

/// A stanza that is within the bounds after the login arrives in eight frames.
#[tokio::test]
async fn a_large_stanza_may_come_in_some_frames() {
    let stage = Stage::shared().await;
    let mut john = online(&stage, "john").await;
    let text = "x".repeat(100_000);
    let message = format!(
        "<message xmlns='jabber:client' to='{}'><body>{text}</body></message>",
        john.jid()
    );
    let pieces: Vec<&[u8]> = message.as_bytes().chunks(message.len() / 8 + 1).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let opcode = if index == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let last = index + 1 == pieces.len();
        let frame = Frame::message(piece.to_vec(), OpCode::Data(opcode), last);
        john.socket().send_message(Message::Frame(frame)).await;
    }
    assert_eq!(john.message().await, text);
}

#[tokio::test]
async fn a_stream_is_opened_and_closed_by_elements() {
    let stage = Stage::shared().await;
    let mut john = online(&stage, "john").await;
    john.socket()
        .send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")
        .await;
    let (last_words, code) = john.socket().until_closed().await;
    assert_eq!(last_words.last().map(String::as_str), Some(CLOSE));
    assert_eq!(code, 1000);
    stage.until_offline("john").await;
    // A frame that holds no whole element; the next one shows it.
    let mut socket = Socket::connect(stage.http(), &[]).await;
    socket.open(DOMAIN).await;
    socket.send("<iq type='get'").await;
    socket.send(" id='a'/>").await;
    let (last_words, _) = socket.until_closed().await;
    assert!(
        last_words.concat().contains("not-well-formed"),
        "{last_words:?}"
    );
    // The header of another kind of stream.
    let mut socket = Socket::connect(stage.http(), &[]).await;
    socket.send(&muster_tests::client::header(DOMAIN)).await;
    let (last_words, _) = socket.until_closed().await;
    assert!(
        last_words.concat().contains("<stream:error"),
        "{last_words:?}"
    );
}

#[tokio::test]
async fn a_client_that_only_closes_its_socket_is_gone() {
    let stage = Stage::shared().await;
    let mut john = online(&stage, "john").await;
    let frame = CloseFrame {
        code: 1001.into(),
        reason: "".into(),
    };
    let socket = john.socket();
    socket.send_message(Message::Close(Some(frame))).await;
    assert!(matches!(
        socket.receive("the answer").await,
        Some(Message::Close(_))
    ));
    stage.until_offline("john").await;
    let marie = online(&stage, "marie").await;
    drop(marie);
    stage.until_offline("marie").await;
}

#[tokio::test]
async fn a_host_that_stops_says_so() {
    let stage = Stage::own("").await;
    let mut john = online(&stage, "john").await;
    let mut waiting = Socket::connect(stage.http(), &[]).await;
    waiting.open(DOMAIN).await;
    let stopping = tokio::spawn(stage.shutdown());
    for socket in [john.socket(), &mut waiting] {
        let (last_words, code) = socket.until_closed().await;
        let [.., error, close] = &last_words[..] else {
            panic!("{last_words:?}");
        };
        assert!(error.contains("<system-shutdown"), "{error}");
        assert!(error.contains(ns::STREAM_ERRORS), "{error}");
        assert_eq!((close.as_str(), code), (CLOSE, 1001));
    }
    within("the host to stop", stopping)
        .await
        .expect("it stops");
}

/// Row 35.
#[tokio::test]
async fn what_is_switched_off_is_not_there() {
    let stage = Stage::own("[web]\nwebsocket = false").await;
    let reply = handshake(stage.http(), PATH, &[PROTOCOL, VERSION]).await;
    assert_eq!(reply.status, 404);
    WebClient::login(Kind::Bosh, stage.http(), &stage.jid("john"), "any").await;
    stage.shutdown().await;
}
