//! A WebSocket as a browser has one.

use crate::http::{self, Reply};
use crate::within;
use futures_util::{SinkExt as _, StreamExt as _};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use xmpp_parsers::minidom::Element;

const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";

/// A WebSocket with the subprotocol `xmpp`.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Connects to `/xmpp-websocket`, with these header fields beside the usual
    /// ones.
    ///
    /// # Panics
    /// If the host refuses, or does not confirm the subprotocol.
    pub async fn connect(address: SocketAddr, fields: &[(&str, &str)]) -> Socket {
        let mut request: Request = format!("ws://{address}/xmpp-websocket")
            .into_client_request()
            .expect("a request");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static("xmpp"));
        for (name, value) in fields {
            let name: HeaderName = name.parse().expect("a name");
            headers.insert(name, value.parse().expect("a value"));
        }
        let socket = TcpStream::connect(address).await.expect("a connection");
        socket.set_nodelay(true).expect("a TCP socket");
        let opened = tokio_tungstenite::client_async(request, socket);
        let (stream, answer) = within("a WebSocket", opened).await.expect("a WebSocket");
        let protocol = answer.headers().get("sec-websocket-protocol");
        assert_eq!(protocol, Some(&HeaderValue::from_static("xmpp")));
        Socket { stream }
    }

    /// Opens a stream and waits for the host to do the same.
    pub async fn open(&mut self, domain: &str) {
        self.send(&format!(
            "<open xmlns='{FRAMING}' to='{domain}' version='1.0'/>"
        ))
        .await;
        let open = self.element("<open/>").await;
        assert!(open.is("open", FRAMING), "{}", String::from(&open));
        assert_eq!(open.attr("from"), Some(domain));
    }

    /// Sends one element as a message.
    pub async fn send(&mut self, element: &str) {
        self.send_message(Message::text(element)).await;
    }

    /// Sends anything. A peer that has closed already is no error here.
    pub async fn send_message(&mut self, message: Message) {
        let _ = within("a message to be taken", self.stream.send(message)).await;
    }

    /// The next element.
    ///
    /// # Panics
    /// If something else comes.
    pub async fn element(&mut self, what: &str) -> Element {
        match self.receive(what).await {
            Some(Message::Text(text)) => text
                .parse()
                .unwrap_or_else(|error| panic!("{error} in {text}")),
            other => panic!("expected {what}, got {other:?}"),
        }
    }

    /// The next message; `None` at the end of the connection.
    pub async fn receive(&mut self, what: &str) -> Option<Message> {
        within(what, self.stream.next()).await?.ok()
    }

    /// What comes until the host closes, as text, and its status code; then
    /// the connection has to end.
    ///
    /// # Panics
    /// If the host does not close.
    pub async fn until_closed(&mut self) -> (Vec<String>, u16) {
        let mut texts = Vec::new();
        loop {
            match self.receive("the end").await {
                Some(Message::Text(text)) => texts.push(text.to_string()),
                Some(Message::Close(Some(frame))) => {
                    while self.receive("the end of the connection").await.is_some() {}
                    return (texts, frame.code.into());
                }
                other => panic!("expected a close frame after {texts:?}, got {other:?}"),
            }
        }
    }

    /// Sends bytes past the protocol.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt as _;
        let socket = self.stream.get_mut();
        let _ = within("bytes to be taken", socket.write_all(bytes)).await;
    }
}

/// A handshake with these header fields and the unchanging ones, for those that
/// are refused.
pub async fn handshake(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Reply {
    let usual = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let fields: Vec<_> = usual.iter().chain(fields).copied().collect();
    http::exchange(address, &http::request("GET", path, &fields, b"")).await
}
