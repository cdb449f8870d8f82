//! Resource binding (RFC 6120 §7).
//!
//! Owns the request and its answers; which resources an account has is the
//! shell's to know. From the client to the shell and back.

use std::mem;

use jid::{FullJid, ResourcePart};

use super::{Action, BindRefusal, ResourceOrigin, Session, State};
use crate::encode;
use crate::error::{
    ApplicationCondition, ErrorType, StanzaCondition, StanzaError, StreamCondition,
};
use crate::stanza::{Iq, IqType, Payload, Stanza, StanzaKind};

/// Namespace of resource binding.
pub(super) const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";

/// What is on offer after SASL: binding, the session that RFC 3921 wanted,
/// roster versions (RFC 6121 §2.6.1), stream management (XEP-0198) and client
/// states (XEP-0352).
pub(super) fn push_bind_features(out: &mut String) {
    out.push_str(
        "<bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\"><required/></bind>\
         <session xmlns=\"urn:ietf:params:xml:ns:xmpp-session\"><optional/></session>\
         <ver xmlns=\"urn:xmpp:features:rosterver\"/>\
         <sm xmlns=\"urn:xmpp:sm:3\"/><csi xmlns=\"urn:xmpp:csi:0\"/>",
    );
}

impl Session {
    /// A stanza before a resource is bound: only binding itself is allowed
    /// (RFC 6120 §7.1).
    pub(super) fn bind(&mut self, stanza: Stanza) -> Option<Action> {
        match (mem::replace(&mut self.state, State::Opening), stanza) {
            (State::Binding(account), Stanza::Iq(iq)) if is_bind(&iq) => {
                let Ok((resource, origin)) = self.wanted_resource(&iq.payload) else {
                    self.state = State::Binding(account);
                    self.refuse_bind(&iq.id, &StanzaError::BAD_REQUEST);
                    return None;
                };
                self.state = State::AwaitingBind {
                    account: account.clone(),
                    id: iq.id,
                };
                Some(Action::Bind {
                    account,
                    resource,
                    origin,
                })
            }
            (state, _) => {
                self.state = state;
                self.close(Some(StreamCondition::NotAuthorized.into()));
                None
            }
        }
    }

    /// The resource that the client asks for, or one that it cannot guess. One
    /// that is no resource is refused, never shortened (RFC 6120 §7.7.2.1).
    fn wanted_resource(
        &mut self,
        payload: &Payload,
    ) -> Result<(ResourcePart, ResourceOrigin), jid::Error> {
        let asked = payload
            .to_element()
            .ok()
            .and_then(|bind| bind.get_child("resource", BIND).map(|it| it.text()))
            .filter(|resource| !resource.is_empty());
        match asked {
            Some(resource) => Ok((
                ResourcePart::new(&resource)?.into_owned(),
                ResourceOrigin::Client,
            )),
            None => Ok((
                ResourcePart::new(&self.entropy.name())?.into_owned(),
                ResourceOrigin::Server,
            )),
        }
    }

    pub(super) fn conclude_bind(&mut self, result: Result<FullJid, BindRefusal>) {
        let (account, id) = match mem::replace(&mut self.state, State::Opening) {
            State::AwaitingBind { account, id } => (account, id),
            other => {
                self.state = other;
                return;
            }
        };
        match result {
            Ok(jid) => {
                let mut payload =
                    String::from("<bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\"><jid>");
                encode::push_text(&mut payload, jid.as_str());
                payload.push_str("</jid></bind>");
                let reply = encode::server_iq(IqType::Result, &id, None, &jid, &payload);
                self.send(reply);
                self.jid = Some(jid);
                self.begin_stanzas();
            }
            Err(refusal) => {
                self.state = State::Binding(account);
                self.refuse_bind(&id, &refusal.error());
            }
        }
    }

    /// The client has no JID yet, so the answer names none.
    fn refuse_bind(&mut self, id: &str, error: &StanzaError) {
        let reply = encode::error_reply(StanzaKind::Iq, Some(id), None, None, error);
        self.send(reply);
    }
}

impl BindRefusal {
    /// What the client is told (RFC 6120 §7.6.2, §7.7.2; XEP-0205 §3.2).
    fn error(self) -> StanzaError {
        match self {
            Self::Conflict => StanzaError::new(ErrorType::Cancel, StanzaCondition::Conflict),
            Self::Malformed => StanzaError::BAD_REQUEST,
            Self::TooManyResources => StanzaError {
                application: Some(ApplicationCondition::ResourceLimitExceeded),
                ..StanzaError::new(ErrorType::Wait, StanzaCondition::ResourceConstraint)
            },
        }
    }
}

fn is_bind(iq: &Iq) -> bool {
    iq.type_ == IqType::Set && iq.payload.first_is(BIND, "bind")
}
