//! What comes from the host, and what it says about the host: stanzas are the
//! client's own, and true once.

use std::time::Instant;

use muster_tests::client::{Received, is_push, ns, show};
use muster_tests::managed::SM;
use muster_tests::stage::item;
use xmpp_parsers::minidom::Element;

use super::{Cache, DOMAIN, Device, Sight};
use crate::chaos::truth::jid;

impl Device {
    pub(super) async fn received(&mut self, received: Received) {
        self.heard = Instant::now();
        match received {
            Received::Element(element) => self.take(&element).await,
            Received::Open(_) => {}
            Received::Close | Received::End => self.lost("by the other side"),
        }
    }

    async fn take(&mut self, element: &Element) {
        match (element.ns().as_str(), element.name()) {
            (SM, "r") => {
                let handled = self.session.handled;
                self.say_aside(&format!("<a xmlns='{SM}' h='{handled}'/>"))
                    .await;
            }
            (SM, "a") => self.acknowledged(element),
            (ns::CLIENT, name) => {
                self.session.handled = self.session.handled.wrapping_add(1);
                match name {
                    "iq" => self.iq(element).await,
                    "message" => self.message(element),
                    _ => self.presence(element),
                }
            }
            // How a stream ends.
            _ => self
                .tale
                .note(format!("client {}: {}", self.number, show(element))),
        }
    }

    async fn iq(&mut self, iq: &Element) {
        let id = iq.attr("id").unwrap_or_default().to_owned();
        match iq.attr("type") {
            Some("set") if is_push(iq) => {
                self.pushed(iq);
                self.say(format!("<iq type='result' id='{id}'/>")).await;
            }
            Some("get") => {
                self.say(format!("<iq type='result' id='{id}' to='{DOMAIN}'/>"))
                    .await;
            }
            Some("result" | "error") if self.session.asked.as_ref() == Some(&id) => {
                self.answered(iq);
            }
            _ => {}
        }
    }

    fn pushed(&mut self, push: &Element) {
        self.tale.count("pushes");
        if push.attr("from").is_some_and(|from| from != jid(self.user)) {
            self.broken(&format!("a push from somebody: {}", show(push)));
        }
        let query = push.get_child("query", ns::ROSTER).expect("a push");
        for entry in query.children() {
            let contact = entry.attr("jid").unwrap_or_default().to_owned();
            let removed = entry.attr("subscription") == Some("remove");
            let now = (!removed).then(|| item(entry));
            if !self.truth.was_ever(self.user, &contact, now.as_deref()) {
                self.broken(&format!("a push of what never was: {}", show(push)));
            }
            match now {
                Some(now) => self.cache.view.insert(contact, now),
                None => self.cache.view.remove(&contact),
            };
        }
        self.cache.version = query.attr("ver").map(str::to_owned);
        self.session.known = true;
    }

    fn answered(&mut self, answer: &Element) {
        self.session.asked = None;
        self.is_interested(Some(self.session.number));
        if answer.attr("type") == Some("error") {
            self.tale.count("roster gets that failed");
            self.tale
                .note(format!("client {} got no roster", self.number));
            // What there is comes by pushes.
            if !self.session.known {
                self.cache = Cache::default();
            }
            return;
        }
        if let Some(query) = answer.get_child("query", ns::ROSTER) {
            let items = query.children();
            let view = items.map(|it| (it.attr("jid").unwrap_or_default().to_owned(), item(it)));
            self.cache.view = view.collect();
            self.cache.version = query.attr("ver").map(str::to_owned);
        }
        self.session.known = true;
        if let Some(version) = self.version() {
            self.tale.note(format!(
                "client {} got version {version} of u{}",
                self.number, self.user
            ));
        }
    }

    /// Which version the view is. None may be half of one, or older than one
    /// that this session has seen.
    fn version(&mut self) -> Option<usize> {
        if !self.session.known {
            return None;
        }
        let version = self.truth.version_of(self.user, &self.cache.view);
        match version {
            None => {
                let difference = self.truth.difference(self.user, &self.cache.view);
                self.broken(&format!("a view that the app never told: {difference}"));
            }
            Some(version) if version < self.session.newest => {
                let newest = self.session.newest;
                self.broken(&format!("version {version} after version {newest}"));
            }
            Some(version) => self.session.newest = version,
        }
        version
    }

    fn message(&mut self, message: &Element) {
        let id = message.attr("id").unwrap_or_default();
        let looks = &mut self.session.looks;
        if let Some(at) = looks.iter().position(|(look, _)| look == id) {
            let (_, answer) = looks.swap_remove(at);
            let sight = Sight {
                session: self.session.number,
                version: self.version(),
                view: self.cache.view.clone(),
                available: self.session.available.clone(),
            };
            let _ = answer.send(Some(sight));
        } else if message.attr("type") != Some("error") && id.starts_with("message") {
            self.tale.count("messages");
            // A kill may repeat what was kept for somebody who was away.
            let kept = message.children().any(|child| child.name() == "delay");
            let sender = message.attr("from").unwrap_or_default();
            if !self.messages.insert(format!("{sender} {id}")) && !kept {
                self.tale
                    .note(format!("client {} got {id} twice", self.number));
                self.tale.count("messages that came twice");
            }
        }
    }

    fn presence(&mut self, presence: &Element) {
        let Some(from) = presence.attr("from") else {
            return;
        };
        match presence.attr("type") {
            None => self.session.available.insert(from.to_owned()),
            Some("unavailable") => self.session.available.remove(from),
            Some(_) => false,
        };
    }

    /// Says a stanza, again if need be.
    pub(super) async fn say(&mut self, stanza: String) {
        self.say_aside(&stanza).await;
        self.session.unacknowledged.push_back(stanza);
    }

    /// Says something that is not counted.
    pub(super) async fn say_aside(&mut self, text: &str) {
        if let Some(client) = &mut self.client {
            client.send(text).await;
        }
    }

    pub(super) fn acknowledged(&mut self, element: &Element) {
        let handled = element.attr("h").and_then(|h| h.parse::<u32>().ok());
        let handled = handled.unwrap_or(self.session.acknowledged);
        let news = handled.wrapping_sub(self.session.acknowledged) as usize;
        if news > self.session.unacknowledged.len() {
            return self.broken(&format!("more than was said: {}", show(element)));
        }
        self.session.unacknowledged.drain(..news);
        self.session.acknowledged = handled;
    }

    fn broken(&self, promise: &str) {
        let (number, user, session) = (self.number, self.user, self.session.number);
        self.tale.broken(format!(
            "client {number} (u{user}, session {session}): {promise}"
        ));
    }

    pub(super) fn fresh(&mut self, prefix: &str) -> String {
        self.session.serial += 1;
        format!("{prefix}-{}-{}", self.number, self.session.serial)
    }
}
