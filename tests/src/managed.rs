//! A client that keeps the rules of stream management (XEP-0198) over any
//! number of connections.
//!
//! It owns its side of the counting: what it handled, what it has to send
//! again. It answers `<r/>` and nothing else by itself.

use crate::client::{Client, Mechanism, Received, header, show};
use crate::within;
use std::collections::VecDeque;
use std::net::SocketAddr;
use xmpp_parsers::minidom::Element;

/// The namespace.
pub const SM: &str = "urn:xmpp:sm:3";

/// A managed session.
#[derive(Debug)]
pub struct Managed {
    /// `None` between two connections.
    client: Option<Client>,
    account: String,
    jid: String,
    previd: String,
    /// Stanzas of the host that were handled.
    handled: u32,
    /// Stanzas that the host has acknowledged.
    acknowledged: u32,
    /// Stanzas after those.
    queue: VecDeque<String>,
    /// Stanzas that arrived, in order, as far as nobody took them.
    got: VecDeque<Element>,
    /// The time that the host gives for a resumption, in seconds.
    pub max: Option<String>,
}

/// A connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Managed {
    /// Makes a bound session a managed and resumable one.
    pub async fn enable(mut client: Client) -> Managed {
        client
            .send(format!("<enable xmlns='{SM}' resume='true'/>"))
            .await;
        let enabled = client.expect("<enabled/>", |it| it.ns() == SM).await;
        assert_eq!(enabled.name(), "enabled", "{}", show(&enabled));
        assert_eq!(enabled.attr("resume"), Some("true"));
        Managed {
            account: client.bare().to_owned(),
            jid: client.jid().to_owned(),
            previd: enabled.attr("id").expect("an identifier").to_owned(),
            handled: 0,
            acknowledged: 0,
            queue: VecDeque::new(),
            got: VecDeque::new(),
            max: enabled.attr("max").map(str::to_owned),
            client: Some(client),
        }
    }

    /// The full JID.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// What the host calls the session.
    pub fn previd(&self) -> &str {
        &self.previd
    }

    /// What was handled so far.
    pub fn handled(&self) -> u32 {
        self.handled
    }

    /// Stanzas that the host has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.queue.len()
    }

    /// Says a stanza, which is kept until the host acknowledges it; without a
    /// connection it is said over the next one.
    pub async fn say(&mut self, stanza: impl Into<String>) {
        let stanza = stanza.into();
        self.nonza(&stanza).await;
        self.queue.push_back(stanza);
    }

    /// Says something that is no stanza.
    pub async fn nonza(&mut self, element: &str) {
        if let Some(client) = &mut self.client {
            client.send(element).await;
        }
    }

    /// Asks what the host has handled.
    pub async fn ask(&mut self) {
        self.nonza(&format!("<r xmlns='{SM}'/>")).await;
    }

    /// Takes in the next element, whatever it is.
    ///
    /// # Errors
    /// [`Gone`]: the connection, or the stream, has ended.
    pub async fn hear(&mut self) -> Result<(), Gone> {
        let Some(client) = &mut self.client else {
            return Err(Gone);
        };
        let element = match client.receive().await {
            Received::Element(element) => *element,
            Received::Open(_) => return Ok(()),
            Received::Close | Received::End => return Err(Gone),
        };
        match (element.ns().as_str(), element.name()) {
            (SM, "r") => {
                let handled = self.handled;
                client
                    .send(format!("<a xmlns='{SM}' h='{handled}'/>"))
                    .await;
            }
            (SM, "a") => self.acknowledged(&element),
            ("jabber:client", _) => {
                self.handled = self.handled.wrapping_add(1);
                self.got.push_back(element);
            }
            // The last word of a connection that another one took over from.
            (_, "error") => return Err(Gone),
            _ => panic!("unexpected: {}", show(&element)),
        }
        Ok(())
    }

    /// The next stanza of which `wanted` is true; those before it are dropped.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Element) -> bool) -> Element {
        loop {
            while let Some(element) = self.got.pop_front() {
                if wanted(&element) {
                    return element;
                }
            }
            self.hear()
                .await
                .unwrap_or_else(|Gone| panic!("the stream ended before {what}"));
        }
    }

    /// Stanzas that arrived and nobody took.
    pub fn got(&mut self) -> Vec<Element> {
        self.got.drain(..).collect()
    }

    /// Counts stanzas that were handled over another kind of connection.
    pub fn handled_elsewhere(&mut self, stanzas: u32) {
        self.handled = self.handled.wrapping_add(stanzas);
    }

    /// Breaks the connection with a TCP reset.
    pub fn vanish(&mut self) {
        if let Some(client) = self.client.take() {
            client.vanish();
        }
    }

    /// Leaves the connection as it is, open, and uses it no more.
    pub fn abandon(&mut self) -> Option<Client> {
        self.client.take()
    }

    /// Goes on over a new connection.
    ///
    /// # Panics
    /// If the host refuses or the connection breaks.
    pub async fn resume(&mut self, address: SocketAddr) {
        let resumed = self.try_resume(address).await;
        resumed
            .unwrap_or_else(|Gone| panic!("the connection broke before {} was resumed", self.jid));
    }

    /// The same over a connection that may break on the way. Can be given up at
    /// any point and tried again.
    ///
    /// # Errors
    /// [`Gone`]: it broke.
    ///
    /// # Panics
    /// If the host refuses.
    pub async fn try_resume(&mut self, address: SocketAddr) -> Result<(), Gone> {
        let mut client = authenticated(address, &self.account).await?;
        client.send(resume(&self.previd, self.handled)).await;
        let resumed = element(&mut client).await?;
        assert_eq!(resumed.name(), "resumed", "{}", show(&resumed));
        assert_eq!(resumed.attr("previd"), Some(self.previd.as_str()));
        self.acknowledged(&resumed);
        for stanza in &self.queue {
            client.send(stanza).await;
        }
        self.client = Some(client);
        Ok(())
    }

    fn acknowledged(&mut self, element: &Element) {
        let handled: u32 = element
            .attr("h")
            .expect("a count")
            .parse()
            .expect("a number");
        let news = handled.wrapping_sub(self.acknowledged) as usize;
        assert!(
            news <= self.queue.len(),
            "more than was sent: {}",
            show(element)
        );
        self.queue.drain(..news);
        self.acknowledged = handled;
    }
}

/// The wish to resume.
pub fn resume(previd: &str, handled: u32) -> String {
    format!("<resume xmlns='{SM}' previd='{previd}' h='{handled}'/>")
}

/// A stream of `account` that has logged in and bound nothing.
///
/// # Errors
/// [`Gone`] if the connection breaks on the way.
pub async fn authenticated(address: SocketAddr, account: &str) -> Result<Client, Gone> {
    let (user, domain) = account.split_once('@').expect("a bare JID");
    let mut client = Client::connect(address, domain).await;
    for stage in 0..2 {
        client.send_header(&header(domain)).await;
        element(&mut client).await?;
        if stage == 0 {
            client
                .auth(Mechanism::Plain.name(), format!("\0{user}\0any").as_bytes())
                .await;
            let outcome = element(&mut client).await?;
            assert_eq!(outcome.name(), "success", "{}", show(&outcome));
        }
    }
    Ok(client)
}

async fn element(client: &mut Client) -> Result<Element, Gone> {
    loop {
        match within("an element", client.receive()).await {
            Received::Element(element) => return Ok(*element),
            Received::Open(_) => {}
            Received::Close | Received::End => return Err(Gone),
        }
    }
}
