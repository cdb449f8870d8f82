//! Stanzas of a bound client: which are for the server, which are for others.
//!
//! Owns the reading of addresses and the refusals. What the server answers is
//! `services`; presence and routing are the shell's. An IQ that asks for
//! something always gets an answer (RFC 6120 §8.2.3).

use jid::Jid;

use super::services::{self, Answer, ROSTER, Reply, Request, ServiceAnswer};
use super::{Action, Session};
use crate::decoder::Rejection;
use crate::encode;
use crate::error::StanzaError;
use crate::stanza::{Iq, Message, MessageType, Presence, Stanza, StanzaKind};

/// Whom a stanza is for, as far as a session can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
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
            // A forged push must not reach anybody (RFC 6121 §2.1.6).
            Target::Other if is_roster && iq.type_.is_request() => {
                self.refuse_iq(&iq, &StanzaError::FORBIDDEN)
            }
            Target::OwnResource if is_roster && iq.type_.is_request() => {
                self.refuse_iq(&iq, &StanzaError::SERVICE_UNAVAILABLE)
            }
            Target::Server | Target::Account => self.serve(iq, target),
            Target::OwnResource | Target::Other => {
                self.stamp_lang(&mut iq.lang);
                Some(Action::Route(Stanza::Iq(iq)))
            }
        }
    }

    /// A request to the server or to the client's own account.
    fn serve(&mut self, iq: Iq, target: Target) -> Option<Action> {
        let own = self.jid.as_ref()?.domain();
        let domain = match (target, &iq.to) {
            (Target::Server, Some(to)) => to.domain(),
            _ => own,
        };
        let answer = services::serve(&Request {
            iq: &iq,
            target,
            domain,
            config: &self.config,
        });
        match answer {
            Answer::Result(payload) => {
                let jid = self.jid.as_ref()?;
                self.send(Reply::to(iq).result(jid, &payload));
                None
            }
            Answer::Error(error) => self.refuse_iq(&iq, &error),
            Answer::Roster { ver } => Some(Action::RosterGet { id: iq.id, ver }),
            Answer::Shell(request) => Some(Action::Serve {
                reply: Reply::to(iq),
                request,
            }),
        }
    }

    /// Answers [`Action::Serve`].
    pub fn request_served(&mut self, reply: &Reply, answer: Result<ServiceAnswer, StanzaError>) {
        let Some(jid) = &self.jid else { return };
        let stanza = match answer {
            Ok(answer) => reply.result(jid, &answer.payload()),
            Err(error) => reply.error(jid, &error),
        };
        self.send(stanza);
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
