//! One XMPP client stream over WebSocket or BOSH, scripted like that of
//! [`crate::client`].
//!
//! [`WebClient`] is what both have in common: to log in, to ask, to wait. What
//! tells them apart is below it: [`Socket`] on an implementation of RFC 6455
//! that is not the host's, [`Bosh`] on requests that a test can also make by
//! hand.

mod bosh;
mod socket;

pub use bosh::{Bosh, HTTPBIND, Poster, body_of};
pub use socket::{Socket, handshake};

use crate::client::{is_push, ns, show};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::collections::VecDeque;
use std::net::SocketAddr;
use xmpp_parsers::minidom::Element;

/// A client stream. Dropping it closes its connections without a word.
#[derive(Debug)]
pub struct WebClient {
    /// What carries it.
    pub carrier: Carrier,
    pending: VecDeque<Element>,
    domain: String,
    jid: String,
    serial: u64,
}

/// What carries a stream.
#[derive(Debug)]
pub enum Carrier {
    /// RFC 7395.
    WebSocket(Socket),
    /// XEP-0124 and XEP-0206.
    Bosh(Bosh),
}

/// The kinds of carrier, for tests of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RFC 7395.
    WebSocket,
    /// XEP-0124 and XEP-0206.
    Bosh,
}

impl Kind {
    /// Both.
    pub const ALL: [Kind; 2] = [Kind::WebSocket, Kind::Bosh];
}

impl WebClient {
    /// Connects; no stream is open yet.
    pub async fn connect(kind: Kind, address: SocketAddr, domain: &str) -> WebClient {
        WebClient::connect_with(kind, address, domain, &[]).await
    }

    /// Connects, with these header fields in the request or in every request.
    pub async fn connect_with(
        kind: Kind,
        address: SocketAddr,
        domain: &str,
        fields: &[(&str, &str)],
    ) -> WebClient {
        WebClient {
            carrier: match kind {
                Kind::WebSocket => Carrier::WebSocket(Socket::connect(address, fields).await),
                Kind::Bosh => Carrier::Bosh(Bosh::new(Poster::new(address, fields))),
            },
            pending: VecDeque::new(),
            domain: domain.to_owned(),
            jid: String::new(),
            serial: 0,
        }
    }

    /// Connects, authenticates by PLAIN and binds a resource.
    ///
    /// # Panics
    /// If the host refuses.
    pub async fn login(
        kind: Kind,
        address: SocketAddr,
        account: &str,
        password: &str,
    ) -> WebClient {
        let (user, domain) = account.split_once('@').expect("a bare JID");
        let mut client = WebClient::connect(kind, address, domain).await;
        client.open().await;
        let outcome = client.plain(user, password).await;
        assert_eq!(outcome.name(), "success", "{}", show(&outcome));
        client.reopen().await;
        client.bind().await;
        client
    }

    /// The full JID that the host bound.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// The first stream; returns its features.
    pub async fn open(&mut self) -> Element {
        let domain = self.domain.clone();
        match &mut self.carrier {
            Carrier::WebSocket(socket) => socket.open(&domain).await,
            Carrier::Bosh(bosh) => bosh.begin(&domain).await,
        }
        self.element("stream features").await
    }

    /// The stream after SASL; returns its features.
    pub async fn reopen(&mut self) -> Element {
        let domain = self.domain.clone();
        match &mut self.carrier {
            Carrier::WebSocket(socket) => socket.open(&domain).await,
            Carrier::Bosh(bosh) => bosh.restart(&domain).await,
        }
        self.element("stream features").await
    }

    /// Tries a password; the outcome is `<success/>` or `<failure/>`.
    pub async fn plain(&mut self, user: &str, password: &str) -> Element {
        let text = BASE64.encode(format!("\0{user}\0{password}"));
        let auth = format!("<auth xmlns='{}' mechanism='PLAIN'>{text}</auth>", ns::SASL);
        self.send(&auth).await;
        self.element("the outcome of SASL").await
    }

    async fn bind(&mut self) {
        let bind = format!("<bind xmlns='{}'/>", ns::BIND);
        let reply = self.iq("set", &bind).await;
        let jid = reply
            .get_child("bind", ns::BIND)
            .and_then(|bind| bind.get_child("jid", ns::BIND));
        self.jid = jid
            .unwrap_or_else(|| panic!("no JID in {}", show(&reply)))
            .text();
    }

    /// Sends one element, complete with its namespace.
    pub async fn send(&mut self, element: &str) {
        match &mut self.carrier {
            Carrier::WebSocket(socket) => socket.send(element).await,
            Carrier::Bosh(bosh) => bosh.send(element).await,
        }
    }

    /// Sends an IQ and returns its reply; what comes before it stays pending.
    pub async fn iq(&mut self, kind: &str, payload: &str) -> Element {
        self.serial += 1;
        let id = format!("iq-{}", self.serial);
        self.send(&format!(
            "<iq xmlns='jabber:client' type='{kind}' id='{id}'>{payload}</iq>"
        ))
        .await;
        self.expect("the reply to an IQ", |element| {
            element.name() == "iq" && element.attr("id") == Some(&id)
        })
        .await
    }

    /// Asks for the roster.
    pub async fn roster(&mut self) -> Element {
        self.iq("get", "<query xmlns='jabber:iq:roster'/>").await
    }

    /// Sends initial presence and waits for its echo.
    pub async fn available(&mut self) {
        self.send("<presence xmlns='jabber:client'/>").await;
        let own = self.jid.clone();
        self.expect("one's own presence", |element| {
            element.name() == "presence" && element.attr("from") == Some(&own)
        })
        .await;
    }

    /// The next roster push, answered; the item in it.
    pub async fn push(&mut self) -> Element {
        let push = self.expect("a roster push", is_push).await;
        let id = push.attr("id").expect("a push has an id");
        self.send(&format!(
            "<iq xmlns='jabber:client' type='result' id='{id}'/>"
        ))
        .await;
        let query = push.get_child("query", ns::ROSTER).expect("a query");
        query.children().next().expect("an item").clone()
    }

    /// The next chat message, its text.
    pub async fn message(&mut self) -> String {
        let message = self.expect("a message", |element| element.name() == "message");
        let message = message.await;
        let body = message.get_child("body", ns::CLIENT);
        body.expect("a body").text()
    }

    /// The first element, pending or to come, of which `wanted` is true.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Element) -> bool) -> Element {
        if let Some(at) = self.pending.iter().position(&wanted) {
            return self.pending.remove(at).expect("it is there");
        }
        loop {
            let element = self.read(what).await;
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
            None => self.read(what).await,
        }
    }

    async fn read(&mut self, what: &str) -> Element {
        match &mut self.carrier {
            Carrier::WebSocket(socket) => socket.element(what).await,
            Carrier::Bosh(bosh) => bosh.element(what).await,
        }
    }

    /// The WebSocket under it.
    ///
    /// # Panics
    /// If it is none.
    pub fn socket(&mut self) -> &mut Socket {
        match &mut self.carrier {
            Carrier::WebSocket(socket) => socket,
            Carrier::Bosh(_) => panic!("this client is on BOSH"),
        }
    }

    /// The BOSH session under it.
    ///
    /// # Panics
    /// If it is none.
    pub fn bosh(&mut self) -> &mut Bosh {
        match &mut self.carrier {
            Carrier::Bosh(bosh) => bosh,
            Carrier::WebSocket(_) => panic!("this client is on a WebSocket"),
        }
    }
}
