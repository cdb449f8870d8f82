//! Stanzas on their way to somebody: messages, IQs, directed presence
//! (RFC 6121, section 8).
//!
//! Owns the delivery that [`muster_xmpp::routing`] decides. Says as a return
//! value what the sender is to be told; does not write to the sender.

use std::sync::Arc;

use muster_xmpp::error::{ErrorType, StanzaCondition, StanzaError};
use muster_xmpp::routing::{self, Address, Kind, Route, route};
use muster_xmpp::session::Worth;
use muster_xmpp::stanza::{MessageType, Stanza, StanzaKind};
use muster_xmpp::{FullJid, Jid, encode};
use smallvec::SmallVec;

use crate::hosts::Hosts;
use crate::mailbox::Mail;
use crate::sessions::{Resource, Sessions};

/// Delivers stanzas to the bound resources of this server.
pub(crate) struct Router {
    hosts: Arc<Hosts>,
    sessions: Arc<Sessions>,
}

impl Router {
    /// A router for the resources in `sessions` on the domains of `hosts`.
    pub(crate) fn new(hosts: Arc<Hosts>, sessions: Arc<Sessions>) -> Router {
        Router { hosts, sessions }
    }

    /// Delivers `stanza`, which `from` sent, to `to`. Returns the error that
    /// the sender is owed, if any; a message that nobody is there to take is
    /// not kept.
    pub(crate) fn deliver(&self, stanza: &Stanza, from: &FullJid, to: &Jid) -> Option<StanzaError> {
        match self.attempt(stanza, from, to) {
            Delivery::Done => None,
            Delivery::Refused(error) => Some(error),
            Delivery::Absent => owed(stanza, StanzaError::SERVICE_UNAVAILABLE),
        }
    }

    /// Delivers `stanza`, which `from` sent, to `to`.
    ///
    /// An account that does not exist and one that is offline are one and the
    /// same here: there is no resource.
    pub(crate) fn attempt(&self, stanza: &Stanza, from: &FullJid, to: &Jid) -> Delivery {
        if !self.hosts.is_local(to) {
            return owed(stanza, NO_SUCH_SERVER).into();
        }
        let address = to
            .resource()
            .map_or(Address::Bare, |resource| Address::Full(resource.as_str()));
        let account = to.to_bare();
        let is_message = stanza.kind() == StanzaKind::Message;
        let route = self.sessions.look(account.as_str(), |resources| {
            let listed: SmallVec<[routing::Resource<'_>; 4]> =
                resources.iter().map(listed).collect();
            let route = route(kind(stanza), address, &listed);
            let chosen: SmallVec<[&Resource; 4]> = listed
                .iter()
                .zip(resources)
                .enumerate()
                .filter(|(place, (listed, _))| route.reaches(*place, listed))
                .map(|(_, (_, resource))| resource)
                .collect();
            if !chosen.is_empty() {
                // Encoded once; each mailbox gets a handle on the same bytes.
                let encoded = encode::stanza(stanza, &Jid::from(from.clone()), to);
                let worth = Worth::among(chosen.len());
                let mail = |stanza| match is_message {
                    true => Mail::Message { stanza, worth },
                    false => Mail::Stanza(stanza),
                };
                let mut taken = false;
                for resource in &chosen {
                    taken |= resource.mailbox.send(mail(encoded.clone()));
                }
                if !taken {
                    // Given up, and about to be taken out.
                    return match is_message {
                        true => Route::Offline,
                        false => Route::Unavailable,
                    };
                }
            }
            route
        });
        match route {
            Route::Offline => Delivery::Absent,
            Route::Unavailable | Route::Server => {
                owed(stanza, StanzaError::SERVICE_UNAVAILABLE).into()
            }
            Route::One(_) | Route::NonNegative | Route::Available | Route::Drop => Delivery::Done,
        }
    }
}

/// What became of a stanza.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// It is on its way, or nobody is to hear of its loss.
    Done,
    /// The sender is owed this.
    Refused(StanzaError),
    /// It is a message that could be kept, and nobody is there to take it.
    Absent,
}

impl From<Option<StanzaError>> for Delivery {
    fn from(owed: Option<StanzaError>) -> Delivery {
        owed.map_or(Delivery::Done, Delivery::Refused)
    }
}

/// There is no federation: other domains cannot be reached (RFC 6120, section 8.3.3.16).
const NO_SUCH_SERVER: StanzaError =
    StanzaError::new(ErrorType::Cancel, StanzaCondition::RemoteServerNotFound);

fn kind(stanza: &Stanza) -> Kind {
    match stanza {
        Stanza::Message(message) => Kind::Message(message.type_),
        Stanza::Presence(presence) => Kind::Presence(presence.type_),
        Stanza::Iq(iq) => Kind::Iq(iq.type_),
    }
}

fn listed(resource: &Resource) -> routing::Resource<'_> {
    routing::Resource {
        name: resource.jid.resource().as_str(),
        priority: resource
            .available
            .as_ref()
            .map(|presence| presence.priority),
    }
}

/// Nobody is told about the loss of a presence, of an error or of an answer.
fn owed(stanza: &Stanza, error: StanzaError) -> Option<StanzaError> {
    let owed = match stanza {
        Stanza::Message(message) => message.type_ != MessageType::Error,
        Stanza::Presence(_) => false,
        Stanza::Iq(iq) => iq.type_.is_request(),
    };
    owed.then_some(error)
}
