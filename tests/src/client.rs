//! One XMPP client stream over TCP, scripted: it sends what the test says, byte
//! by byte if told, and hands out what comes as elements, in order.
//!
//! It knows just enough of RFC 6120 to log in (SASL PLAIN and SCRAM, bind) and
//! of RFC 6121 to ask for a roster and to answer a push; everything else is raw
//! XML written by the test. It never answers by itself, so a test sees exactly
//! what the host did.

mod framer;
mod hearing;
mod login;
mod scram;
mod words;

pub use framer::Received;
pub use scram::Exchange as ScramExchange;
pub use words::{decode, error_of, failure_of, is_push, show};

use crate::socket::Socket;
use crate::tls::Trust;
use crate::{PATIENCE, within};
use framer::Framer;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xmpp_parsers::minidom::Element;

/// Namespaces that tests name often.
pub mod ns {
    /// Stanzas of a client stream.
    pub const CLIENT: &str = "jabber:client";
    /// Rosters.
    pub const ROSTER: &str = "jabber:iq:roster";
    /// Conditions of stream errors.
    pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
    /// Conditions of stanza errors.
    pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
    /// STARTTLS.
    pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
    /// SASL.
    pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
    /// Resource binding.
    pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
    /// Ping.
    pub const PING: &str = "urn:xmpp:ping";
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7677.
    ScramSha256,
}

impl Mechanism {
    /// The name in the stream features.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
        }
    }
}

/// A client stream. Dropping it closes the TCP connection without a word.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    framer: Framer,
    /// Came, but was not what a test waited for.
    pending: VecDeque<Element>,
    domain: String,
    jid: String,
    serial: u64,
    patience: Duration,
}

impl Client {
    /// Connects, and sends nothing yet.
    pub async fn connect(address: SocketAddr, domain: &str) -> Client {
        Client::on(Socket::connect(address).await, domain)
    }

    /// Connects, where perhaps nobody listens.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn try_connect(address: SocketAddr, domain: &str) -> std::io::Result<Client> {
        Ok(Client::on(Socket::try_connect(address).await?, domain))
    }

    fn on(socket: Socket, domain: &str) -> Client {
        Client {
            socket,
            framer: Framer::default(),
            pending: VecDeque::new(),
            domain: domain.to_owned(),
            jid: String::new(),
            serial: 0,
            patience: PATIENCE,
        }
    }

    /// Connects, authenticates and binds `resource`, or one that the host makes.
    pub async fn login(
        address: SocketAddr,
        account: &str,
        password: &str,
        resource: Option<&str>,
        mechanism: Mechanism,
    ) -> Client {
        let (user, domain) = account.split_once('@').expect("a bare JID");
        let mut client = Client::connect(address, domain).await;
        client.open().await;
        if let Err(failure) = client.authenticate(user, password, mechanism).await {
            panic!("{account} cannot log in: {}", show(&failure));
        }
        client.open().await;
        client.bind(resource).await;
        client
    }

    /// Connects under TLS, and sends nothing yet.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn connect_tls(
        address: SocketAddr,
        domain: &str,
        trust: &Trust,
    ) -> std::io::Result<Client> {
        let mut client = Client::connect(address, domain).await;
        client.socket.start_tls(domain, trust).await?;
        Ok(client)
    }

    /// Connects, opens a stream and has it encrypted; the stream under TLS is
    /// still to be opened.
    pub async fn connect_starttls(address: SocketAddr, domain: &str, trust: &Trust) -> Client {
        let mut client = Client::connect(address, domain).await;
        client.open().await;
        client.starttls(b"", trust).await.expect("a handshake");
        client
    }

    /// Asks for TLS, with `pipelined` in the same segment, and shakes hands.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn starttls(&mut self, pipelined: &[u8], trust: &Trust) -> std::io::Result<()> {
        let ask = format!("<starttls xmlns='{}'/>", ns::TLS);
        self.send([ask.as_bytes(), pipelined].concat()).await;
        let proceed = self.element("leave to start TLS").await;
        assert_eq!((proceed.name(), &*proceed.ns()), ("proceed", ns::TLS));
        let domain = self.domain.clone();
        self.socket.start_tls(&domain, trust).await
    }

    /// TLS, if there is any: its version, its certificate, its exporter.
    pub fn tls(&self) -> Option<&rustls::ClientConnection> {
        self.socket.tls()
    }

    /// Logs in on a connection that has no stream yet, or a new one.
    pub async fn log_in(&mut self, user: &str, password: &str, mechanism: Mechanism) {
        self.open().await;
        if let Err(failure) = self.authenticate(user, password, mechanism).await {
            panic!("{user} cannot log in: {}", show(&failure));
        }
        self.open().await;
        self.bind(None).await;
    }

    /// The full JID that the host bound.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// The account's bare JID.
    pub fn bare(&self) -> &str {
        self.jid.split('/').next().unwrap_or_default()
    }

    /// The bound resource.
    pub fn resource(&self) -> &str {
        self.jid
            .split_once('/')
            .map_or("", |(_, resource)| resource)
    }

    /// Sends bytes in one piece. A peer that has closed already is no error
    /// here: what it said before can still be read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = async {
            self.socket.write_all(bytes.as_ref()).await?;
            // TLS may keep something back.
            self.socket.flush().await
        };
        let _ = within("bytes to be taken", sent).await;
    }

    /// Sends bytes in segments of `size`.
    pub async fn send_in_pieces(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size) {
            self.send(piece).await;
            // Lets the peer run, so that it reads the pieces one by one.
            tokio::task::yield_now().await;
        }
    }

    /// Sends `bytes` every so often until the peer says something.
    pub async fn send_until_answered(&mut self, bytes: &[u8], every: Duration) {
        let answered = async {
            while tokio::time::timeout(every, self.socket.tcp().readable())
                .await
                .is_err()
            {
                let _ = self.socket.write_all(bytes).await;
            }
        };
        within("an answer to a drip", answered).await;
    }

    /// A new stream: sends its header and returns the features.
    pub async fn open(&mut self) -> Element {
        self.open_with(&header(&self.domain)).await
    }

    /// A new stream with a header of the test's making; returns the features.
    pub async fn open_with(&mut self, header: &str) -> Element {
        self.send_header(header).await;
        match self.receive().await {
            Received::Open(_) => self.element("stream features").await,
            other => panic!("expected a stream header, got {other:?}"),
        }
    }

    /// Sends the header of a new stream, to which the peer answers with its own.
    pub async fn send_header(&mut self, header: &str) {
        self.framer.restart();
        self.send(header).await;
    }

    /// Sends an IQ and returns its reply, result or error; what comes before it
    /// stays pending.
    pub async fn iq(&mut self, kind: &str, to: Option<&str>, payload: &str) -> Element {
        let id = self.fresh("iq");
        let to = to.map(|to| format!(" to='{to}'")).unwrap_or_default();
        self.send(format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>"))
            .await;
        self.expect("the reply to an IQ", |element| {
            element.name() == "iq"
                && element.attr("id") == Some(&id)
                && matches!(element.attr("type"), Some("result" | "error"))
        })
        .await
    }

    /// Asks for the roster, which makes this resource an interested one.
    pub async fn roster(&mut self) -> Element {
        self.iq("get", None, "<query xmlns='jabber:iq:roster'/>")
            .await
    }

    /// Sends initial presence and waits until the host has broadcast it, which
    /// it shows by sending it to this very resource (RFC 6121, section 4.2.2).
    pub async fn available(&mut self) {
        self.send("<presence/>").await;
        let own = self.jid.clone();
        self.expect("one's own presence", |element| {
            element.name() == "presence" && element.attr("from") == Some(&own)
        })
        .await;
    }

    /// The next roster push, answered; the only item in it.
    pub async fn push(&mut self) -> Element {
        let push = self.expect("a roster push", is_push).await;
        let id = push.attr("id").expect("a push has an id").to_owned();
        self.send(format!("<iq type='result' id='{id}'/>")).await;
        let query = push
            .get_child("query", ns::ROSTER)
            .expect("a push has a query");
        assert_eq!(
            query.children().count(),
            1,
            "RFC 6121, 2.1.6: one item a push"
        );
        query.children().next().expect("an item").clone()
    }

    /// Closes the stream properly and waits for the host to do the same.
    pub async fn leave(mut self) {
        self.send("</stream:stream>").await;
        loop {
            match self.receive().await {
                Received::Close => {}
                Received::End => return,
                Received::Open(_) | Received::Element(_) => {}
            }
        }
    }

    /// Whether the connection ends now, and in such a way that nobody can have
    /// cut it short: under TLS with a `close_notify`.
    pub async fn ends_properly(&mut self) -> bool {
        let mut rest = [0; 16];
        let end = within("the end of the connection", self.socket.read(&mut rest));
        matches!(end.await, Ok(0))
    }

    /// Breaks the connection with a TCP reset.
    pub fn vanish(self) {
        self.socket.tcp().set_zero_linger().expect("a TCP socket");
    }

    /// How long it waits from now on for something that must happen.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// An id that this stream has not used.
    pub fn fresh(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}-{}", self.serial)
    }
}

/// The header of a client stream to `domain`.
pub fn header(domain: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

#[cfg(test)]
mod tests;
