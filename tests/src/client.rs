//! One XMPP client stream over TCP, scripted: it sends what the test says, byte
//! by byte if told, and hands out what comes as elements, in order.
//!
//! It knows just enough of RFC 6120 to log in (SASL PLAIN and SCRAM, bind) and
//! of RFC 6121 to ask for a roster and to answer a push; everything else is raw
//! XML written by the test. It never answers by itself, so a test sees exactly
//! what the host did.

mod framer;
mod scram;

pub use framer::Received;
pub use scram::Exchange as ScramExchange;

use crate::socket::Socket;
use crate::tls::Trust;
use crate::{PATIENCE, within, within_time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
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

    /// Proves who this is; the failure element if the host is not convinced.
    ///
    /// # Errors
    /// The `<failure/>`.
    pub async fn authenticate(
        &mut self,
        user: &str,
        password: &str,
        mechanism: Mechanism,
    ) -> Result<(), Box<Element>> {
        let last = match mechanism {
            Mechanism::Plain => {
                self.auth("PLAIN", format!("\0{user}\0{password}").as_bytes())
                    .await;
                self.element("the outcome of SASL").await
            }
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
                let mut exchange = ScramExchange::new(mechanism, "n,,", user, password);
                self.auth(mechanism.name(), exchange.first().as_bytes())
                    .await;
                let challenge = self.element("a SCRAM challenge").await;
                if challenge.name() != "challenge" {
                    return Err(Box::new(challenge));
                }
                let answer = exchange.answer(&decode(&challenge));
                self.respond(answer.as_bytes()).await;
                let outcome = self.element("the outcome of SASL").await;
                if outcome.name() == "success" {
                    assert!(
                        exchange.verifies(&decode(&outcome)),
                        "the host's signature is wrong"
                    );
                }
                outcome
            }
        };
        match last.name() {
            "success" => Ok(()),
            _ => Err(Box::new(last)),
        }
    }

    /// Sends `<auth/>` with an initial response.
    pub async fn auth(&mut self, mechanism: &str, initial: &[u8]) {
        let text = BASE64.encode(initial);
        self.send(format!(
            "<auth xmlns='{}' mechanism='{mechanism}'>{text}</auth>",
            ns::SASL
        ))
        .await;
    }

    /// Sends a SASL `<response/>`.
    pub async fn respond(&mut self, response: &[u8]) {
        let text = BASE64.encode(response);
        self.send(format!("<response xmlns='{}'>{text}</response>", ns::SASL))
            .await;
    }

    /// Binds a resource and remembers the JID.
    pub async fn bind(&mut self, resource: Option<&str>) {
        let wish = resource
            .map(|resource| format!("<resource>{resource}</resource>"))
            .unwrap_or_default();
        let reply = self
            .iq(
                "set",
                None,
                &format!("<bind xmlns='{}'>{wish}</bind>", ns::BIND),
            )
            .await;
        let jid = reply
            .get_child("bind", ns::BIND)
            .and_then(|bind| bind.get_child("jid", ns::BIND));
        self.jid = jid
            .unwrap_or_else(|| panic!("no JID in {}", show(&reply)))
            .text();
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

    /// The first element, pending or to come, of which `wanted` is true.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Element) -> bool) -> Element {
        if let Some(at) = self.pending.iter().position(&wanted) {
            return self.pending.remove(at).expect("it is there");
        }
        loop {
            let element = self.read_element(what).await;
            if wanted(&element) {
                return element;
            }
            self.pending.push_back(element);
        }
    }

    /// The next element, whatever it is.
    pub async fn element(&mut self, what: &str) -> Element {
        match self.pending.pop_front() {
            Some(element) => element,
            None => self.read_element(what).await,
        }
    }

    /// Waits until everything that the host had put into this session's mailbox
    /// by now has arrived, and hands over what nobody waited for. The proof is
    /// a message to oneself, which takes the same queue.
    pub async fn settle(&mut self) -> Vec<Element> {
        let id = self.fresh("settle");
        let to = self.jid.clone();
        self.send(format!(
            "<message to='{to}' id='{id}' type='chat'><body>settle</body></message>"
        ))
        .await;
        self.expect("a message to oneself", |element| {
            element.attr("id") == Some(&id)
        })
        .await;
        self.pending.drain(..).collect()
    }

    /// A stream error with one of these conditions, then the end of the stream,
    /// then the end of the connection (RFC 6120, section 4.9.1.1). A stream
    /// header and elements that come before stay out of the way; the elements
    /// stay pending. Returns the error.
    pub async fn stream_error(&mut self, conditions: &[&str]) -> Element {
        let error = loop {
            match self.receive_for("a stream error").await {
                Received::Element(element) if element.name() == "error" => break *element,
                Received::Element(element) => self.pending.push_back(*element),
                Received::Open(_) => {}
                other => panic!("expected a stream error of {conditions:?}, got {other:?}"),
            }
        };
        let condition = error
            .children()
            .find(|child| child.ns() == ns::STREAM_ERRORS && child.name() != "text");
        let condition = condition.map(Element::name).unwrap_or_default();
        assert!(
            conditions.contains(&condition),
            "expected {conditions:?}, got {}",
            show(&error)
        );
        match self.receive().await {
            Received::Close => {}
            other => panic!("expected </stream:stream> after {condition}, got {other:?}"),
        }
        match self.receive().await {
            Received::End => error,
            other => panic!("expected the end of the connection after {condition}, got {other:?}"),
        }
    }

    /// What came and nobody waited for.
    pub fn pending(&mut self) -> Vec<Element> {
        self.pending.drain(..).collect()
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

    /// The next thing on the wire.
    pub async fn receive(&mut self) -> Received {
        self.receive_for("anything from the host").await
    }

    /// The next thing on the wire, however long it takes. Can be given up at
    /// any point and begun again.
    pub async fn hear(&mut self) -> Received {
        loop {
            if let Some(received) = self.framer.next() {
                return received;
            }
            // Not in the future itself, of which callers hold many.
            let mut buffer = vec![0; 16 * 1024];
            match self.socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return Received::End,
                Ok(count) => self.framer.push(&buffer[..count]),
            }
        }
    }

    async fn receive_for(&mut self, what: &str) -> Received {
        within_time(self.patience, what, self.hear()).await
    }

    async fn read_element(&mut self, what: &str) -> Element {
        match self.receive_for(what).await {
            Received::Element(element) => *element,
            other => {
                let pending: Vec<String> = self.pending.iter().map(show).collect();
                panic!(
                    "{}: expected {what}, got {other:?} after {pending:?}",
                    self.jid
                )
            }
        }
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

/// Whether this is a roster push.
pub fn is_push(element: &Element) -> bool {
    element.name() == "iq"
        && element.attr("type") == Some("set")
        && element.get_child("query", ns::ROSTER).is_some()
}

/// The condition of a stanza error, with its type: `cancel/service-unavailable`.
///
/// # Panics
/// If the stanza is no error.
pub fn error_of(stanza: &Element) -> String {
    let error = stanza.get_child("error", ns::CLIENT);
    let error = error.unwrap_or_else(|| panic!("expected an error, got {}", show(stanza)));
    assert_eq!(stanza.attr("type"), Some("error"), "{}", show(stanza));
    let condition = error
        .children()
        .find(|child| child.ns() == ns::STANZA_ERRORS && child.name() != "text");
    let condition = condition.unwrap_or_else(|| panic!("no condition in {}", show(stanza)));
    format!("{}/{}", error.attr("type").unwrap_or("?"), condition.name())
}

/// The condition of a SASL failure.
pub fn failure_of(element: &Element) -> String {
    assert_eq!(element.name(), "failure", "{}", show(element));
    let condition = element.children().find(|child| child.name() != "text");
    condition
        .map(|child| child.name().to_owned())
        .unwrap_or_default()
}

/// An element as text, for messages.
pub fn show(element: &Element) -> String {
    String::from(element)
}

/// The text of a SASL element, decoded.
pub fn decode(element: &Element) -> String {
    let bytes = BASE64.decode(element.text()).expect("base64 from the host");
    String::from_utf8(bytes).expect("UTF-8 from the host")
}

#[cfg(test)]
mod tests;
