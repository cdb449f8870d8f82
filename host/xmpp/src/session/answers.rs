//! Stanzas of a bound client: which are answered here, which are the shell's.
//!
//! Owns the services of the server and of the client's own account that need no
//! state: ping (XEP-0199), disco (XEP-0030), version (XEP-0092), the session of
//! RFC 3921, the refusals. Rosters, presence and routing are the shell's. An IQ
//! that asks for something always gets an answer (RFC 6120 §8.2.3).

use jid::Jid;

use super::bind::BIND;
use super::{Action, Session, Software};
use crate::decoder::Rejection;
use crate::encode;
use crate::error::{ErrorType, StanzaCondition, StanzaError};
use crate::stanza::{Iq, IqType, Message, MessageType, Presence, Stanza, StanzaKind};

const ROSTER: &str = "jabber:iq:roster";
const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
const PING: &str = "urn:xmpp:ping";
const VERSION: &str = "jabber:iq:version";
const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";

/// Whom a stanza is for, as far as a session can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The server: a domain that is served here.
    Server,
    /// The client's own account, by its bare JID or by no address at all.
    Account,
    /// A resource of the client's own account.
    OwnResource,
    /// Anybody else.
    Other,
}

impl Session {
    /// A stanza of a bound client.
    pub(super) fn stanza(&mut self, stanza: Stanza) -> Option<Action> {
        match stanza {
            Stanza::Message(message) => self.message(message),
            Stanza::Presence(presence) => self.presence(presence),
            Stanza::Iq(iq) => self.iq(iq),
        }
    }

    /// Answers a stanza that broke the rules of its kind.
    pub(super) fn reject(&mut self, rejection: &Rejection) {
        if let Some(error) = &rejection.error {
            let id = rejection.id.as_deref();
            self.refuse(rejection.kind, id, rejection.to.as_ref(), error);
        }
    }

    fn message(&mut self, mut message: Message) -> Option<Action> {
        if self.target(message.to.as_ref()) == Target::Server {
            if message.type_ != MessageType::Error {
                self.refuse(
                    StanzaKind::Message,
                    message.id.as_deref(),
                    message.to.as_ref(),
                    &StanzaError::SERVICE_UNAVAILABLE,
                );
            }
            return None;
        }
        if message.to.is_none() {
            // To the sender's own account (RFC 6120 §10.3.1).
            message.to = self.jid.as_ref().map(|jid| jid.to_bare().into());
        }
        self.stamp_lang(&mut message.lang);
        Some(Action::Route(Stanza::Message(message)))
    }

    fn presence(&mut self, mut presence: Presence) -> Option<Action> {
        // The server has no presence and wants none.
        if presence.to.is_some() && self.target(presence.to.as_ref()) == Target::Server {
            return None;
        }
        self.stamp_lang(&mut presence.lang);
        Some(Action::Presence(presence))
    }

    fn iq(&mut self, mut iq: Iq) -> Option<Action> {
        let target = self.target(iq.to.as_ref());
        let namespace = iq.payload.first();
        let is_roster = namespace.is_some_and(|(namespace, _)| namespace == ROSTER);
        match target {
            // Answers to what the server asked, such as a roster push.
            Target::Server | Target::Account if !iq.type_.is_request() => None,
            Target::Account if is_roster && iq.type_ == IqType::Get => Some(roster_get(iq)),
            // The roster belongs to the app; a client cannot change it.
            Target::Account if is_roster => self.refuse_iq(&iq, &StanzaError::SERVICE_UNAVAILABLE),
            // A forged push must not reach anybody (RFC 6121 §2.1.6).
            Target::Other if is_roster && iq.type_.is_request() => {
                self.refuse_iq(&iq, &StanzaError::FORBIDDEN)
            }
            Target::OwnResource if is_roster && iq.type_.is_request() => {
                self.refuse_iq(&iq, &StanzaError::SERVICE_UNAVAILABLE)
            }
            Target::Server | Target::Account => self.serve(&iq, target),
            Target::OwnResource | Target::Other => {
                self.stamp_lang(&mut iq.lang);
                Some(Action::Route(Stanza::Iq(iq)))
            }
        }
    }

    /// A request to the server or to the client's own account.
    fn serve(&mut self, iq: &Iq, target: Target) -> Option<Action> {
        let first = iq.payload.first();
        let (namespace, name) = match &first {
            Some((namespace, name)) => (namespace.as_ref(), *name),
            None => ("", ""),
        };
        match (iq.type_, namespace, name, target) {
            (IqType::Get, PING, "ping", _) | (IqType::Set, SESSION, "session", _) => {
                self.answer(iq, "");
            }
            (IqType::Get, DISCO_INFO | DISCO_ITEMS, "query", _) if has_node(iq) => {
                let error = StanzaError::new(ErrorType::Cancel, StanzaCondition::ItemNotFound);
                return self.refuse_iq(iq, &error);
            }
            (IqType::Get, DISCO_INFO, "query", _) => {
                let info = disco_info(target, &self.config.software);
                self.answer(iq, &info);
            }
            (IqType::Get, DISCO_ITEMS, "query", _) => {
                self.answer(
                    iq,
                    "<query xmlns=\"http://jabber.org/protocol/disco#items\"/>",
                );
            }
            (IqType::Get, VERSION, "query", Target::Server) => {
                let version = version(&self.config.software);
                self.answer(iq, &version);
            }
            // One resource a stream (RFC 6120 §7.5).
            (IqType::Set, BIND, "bind", _) => {
                let error = StanzaError::new(ErrorType::Cancel, StanzaCondition::NotAllowed);
                return self.refuse_iq(iq, &error);
            }
            _ => return self.refuse_iq(iq, &StanzaError::SERVICE_UNAVAILABLE),
        }
        None
    }

    fn target(&self, to: Option<&Jid>) -> Target {
        let Some(to) = to else {
            return Target::Account;
        };
        let own = self
            .jid
            .as_ref()
            .is_some_and(|own| own.domain() == to.domain() && own.node() == to.node());
        if own && to.is_bare() {
            Target::Account
        } else if own {
            Target::OwnResource
        } else if to.node().is_none() && self.is_served(to.domain()) {
            Target::Server
        } else {
            Target::Other
        }
    }

    /// A stanza without a language has the one of its stream (RFC 6120 §8.1.5).
    fn stamp_lang(&self, lang: &mut Option<String>) {
        if lang.is_none() {
            lang.clone_from(&self.lang);
        }
    }

    fn answer(&mut self, iq: &Iq, payload: &str) {
        let Some(jid) = &self.jid else { return };
        let reply = encode::server_iq(IqType::Result, &iq.id, iq.to.as_ref(), jid, payload);
        self.send(reply);
    }

    fn refuse_iq(&mut self, iq: &Iq, error: &StanzaError) -> Option<Action> {
        self.refuse(StanzaKind::Iq, Some(&iq.id), iq.to.as_ref(), error);
        None
    }

    fn refuse(
        &mut self,
        kind: StanzaKind,
        id: Option<&str>,
        recipient: Option<&Jid>,
        error: &StanzaError,
    ) {
        let to = self.jid.as_deref();
        let reply = encode::error_reply(kind, id, recipient, to, error);
        self.send(reply);
    }
}

fn roster_get(iq: Iq) -> Action {
    let query = iq.payload.to_element().ok();
    let ver = query.and_then(|query| query.attr("ver").map(str::to_owned));
    Action::RosterGet { id: iq.id, ver }
}

fn has_node(iq: &Iq) -> bool {
    let query = iq.payload.to_element();
    query.is_ok_and(|query| query.attr("node").is_some())
}

fn disco_info(target: Target, software: &Software) -> String {
    let mut out = String::from("<query xmlns=\"http://jabber.org/protocol/disco#info\"><identity");
    let features: &[&str] = if target == Target::Server {
        encode::push_attribute(&mut out, "category", "server");
        encode::push_attribute(&mut out, "type", "im");
        encode::push_attribute(&mut out, "name", &software.name);
        &[DISCO_INFO, DISCO_ITEMS, ROSTER, VERSION, PING]
    } else {
        encode::push_attribute(&mut out, "category", "account");
        encode::push_attribute(&mut out, "type", "registered");
        &[DISCO_INFO, DISCO_ITEMS, ROSTER, PING]
    };
    out.push_str("/>");
    for feature in features {
        out.push_str("<feature");
        encode::push_attribute(&mut out, "var", feature);
        out.push_str("/>");
    }
    out.push_str("</query>");
    out
}

fn version(software: &Software) -> String {
    let mut out = String::from("<query xmlns=\"jabber:iq:version\"><name>");
    encode::push_text(&mut out, &software.name);
    out.push_str("</name><version>");
    encode::push_text(&mut out, &software.version);
    out.push_str("</version></query>");
    out
}
