//! What a client waits for, and what it hears meanwhile.

use super::{Client, Received, ns, show};
use crate::within_time;
use tokio::io::AsyncReadExt as _;
use xmpp_parsers::minidom::Element;

impl Client {
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
}
