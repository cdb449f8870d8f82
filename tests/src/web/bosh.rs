//! A BOSH session as a browser has one: at most two requests at once, on
//! connections that live for one request each.

use crate::http::{self, Reply};
use crate::within;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use tokio::sync::mpsc;
use xmpp_parsers::minidom::Element;

/// Namespace of `<body/>`.
pub const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";

/// Posts requests.
#[derive(Debug, Clone)]
pub struct Poster {
    address: SocketAddr,
    fields: Vec<(String, String)>,
}

impl Poster {
    /// Posts to `address`, with these header fields each time.
    pub fn new(address: SocketAddr, fields: &[(&str, &str)]) -> Poster {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Poster {
            address,
            fields: fields.iter().map(owned).collect(),
        }
    }

    /// Posts a `<body/>` with these attributes and this content; the reply.
    pub async fn post(&self, attributes: &str, content: &str) -> Reply {
        let body = format!(
            "<body xmlns='{HTTPBIND}' xmlns:xmpp='urn:xmpp:xbosh' {attributes}>{content}</body>"
        );
        self.post_raw(body.as_bytes()).await
    }

    /// Posts anything.
    pub async fn post_raw(&self, body: &[u8]) -> Reply {
        let mut fields = vec![("Content-Type", "text/xml; charset=utf-8")];
        fields.extend(self.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        http::post(self.address, "/http-bind", &fields, body).await
    }
}

/// The number of a request, and what came of it.
type Answer = (u64, Reply);

/// A session.
#[derive(Debug)]
pub struct Bosh {
    /// How to reach the host past what this remembers.
    pub poster: Poster,
    /// The session's name, once it has begun.
    pub sid: String,
    /// The next request.
    pub rid: u64,
    /// Requests without an answer.
    open: usize,
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    /// Answers that came before their turn.
    early: BTreeMap<u64, Reply>,
    /// The answer whose turn it is.
    turn: u64,
    elements: VecDeque<Element>,
    /// The last answer, which says how the session ended.
    ended: Option<Element>,
}

impl Bosh {
    /// A session that has not begun.
    pub fn new(poster: Poster) -> Bosh {
        let rid = 4_711;
        Bosh {
            poster,
            sid: String::new(),
            rid,
            open: 0,
            answers: mpsc::channel(16),
            early: BTreeMap::new(),
            turn: rid,
            elements: VecDeque::new(),
            ended: None,
        }
    }

    /// Asks for a session and takes its first answer.
    ///
    /// # Panics
    /// If there is no session.
    pub async fn begin(&mut self, domain: &str) {
        let attributes = format!(
            "to='{domain}' wait='60' hold='1' ver='1.6' xml:lang='en' xmpp:version='1.0' \
             content='text/xml; charset=utf-8'"
        );
        self.post(&attributes, "");
        let body = self.answer("the first answer").await;
        let sid = body.attr("sid");
        self.sid = sid
            .unwrap_or_else(|| panic!("no sid in {}", String::from(&body)))
            .to_owned();
    }

    /// Asks for the stream after SASL.
    pub async fn restart(&mut self, domain: &str) {
        self.room().await;
        self.post(
            &format!("to='{domain}' xmpp:restart='true' xml:lang='en'"),
            "",
        );
    }

    /// Sends one element, or several.
    pub async fn send(&mut self, content: &str) {
        self.room().await;
        self.post("", content);
    }

    /// The next element.
    ///
    /// # Panics
    /// If the session ends.
    pub async fn element(&mut self, what: &str) -> Element {
        loop {
            if let Some(element) = self.elements.pop_front() {
                return element;
            }
            if let Some(ended) = &self.ended {
                panic!("expected {what}, got {}", String::from(ended));
            }
            if self.open == 0 {
                self.post("", "");
            }
            self.answer(what).await;
        }
    }

    /// The `<body/>` that ends the session, and what came before it.
    pub async fn until_ended(&mut self) -> (Element, Vec<Element>) {
        loop {
            if let Some(ended) = self.ended.take() {
                return (ended, self.elements.drain(..).collect());
            }
            if self.open == 0 {
                self.post("", "");
            }
            self.answer("the end of the session").await;
        }
    }

    /// Posts the next request; its answer is taken later.
    pub fn post(&mut self, attributes: &str, content: &str) {
        let (rid, sid) = (self.rid, &self.sid);
        let sid = match sid.as_str() {
            "" => String::new(),
            sid => format!("sid='{sid}' "),
        };
        let attributes = format!("rid='{rid}' {sid}{attributes}");
        let (poster, answers) = (self.poster.clone(), self.answers.0.clone());
        let content = content.to_owned();
        tokio::spawn(async move {
            let reply = poster.post(&attributes, &content).await;
            let _ = answers.send((rid, reply)).await;
        });
        self.rid += 1;
        self.open += 1;
    }

    /// Waits until another request may be made.
    async fn room(&mut self) {
        while self.open >= 2 {
            self.answer("room for a request").await;
        }
    }

    /// Takes the next answer in order.
    async fn answer(&mut self, what: &str) -> Element {
        let reply = loop {
            if let Some(reply) = self.early.remove(&self.turn) {
                break reply;
            }
            let next = within(what, self.answers.1.recv()).await;
            let (rid, reply) = next.expect("this end is open");
            self.early.insert(rid, reply);
        };
        self.turn += 1;
        self.open -= 1;
        let body = body_of(&reply);
        self.elements.extend(body.children().cloned());
        if body.attr("type") == Some("terminate") {
            self.ended = Some(body.clone());
        }
        body
    }
}

/// The `<body/>` of a reply.
///
/// # Panics
/// If it is none, or not what XEP-0124 wants of HTTP.
pub fn body_of(reply: &Reply) -> Element {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        Some("text/xml; charset=utf-8")
    );
    let body: Element = reply.text().parse().expect("XML from the host");
    assert!(body.is("body", HTTPBIND), "{}", reply.text());
    body
}
