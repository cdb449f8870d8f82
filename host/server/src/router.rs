//! Stanzas on their way to somebody: messages, IQs, directed presence
//! (RFC 6121, section 8).
//!
//! Owns the delivery that [`muster_xmpp::routing`] decides, the copies of
//! messages (XEP-0280) and the check of both users' blocklists (XEP-0191). Says
//! as a return value what the sender is to be told; does not write to the
//! sender.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use muster_xmpp::carbons::{self, Copy, Direction, Marks};
use muster_xmpp::error::{ErrorType, StanzaCondition, StanzaError};
use muster_xmpp::routing::{self, Address, Kind, Route, route};
use muster_xmpp::session::Worth;
use muster_xmpp::stanza::{MessageType, PresenceType, Stanza, StanzaKind};
use muster_xmpp::{FullJid, Jid, encode};
use smallvec::SmallVec;

use crate::hosts::Hosts;
use crate::mailbox::{Mail, Mailbox};
use crate::sessions::{Blocks, Resource, Sessions};

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

    /// Delivers `stanza`, which `from` sent, to `to`, and copies of a message
    /// to those who want them.
    ///
    /// An account that does not exist and one that is offline are one and the
    /// same here: there is no resource.
    pub(crate) fn attempt(&self, stanza: &Stanza, from: &FullJid, to: &Jid) -> Delivery {
        let marks = match stanza {
            Stanza::Message(message) => Marks::of(&message.payload),
            _ => Marks::default(),
        };
        let public;
        let stanza = match stanza {
            Stanza::Message(message) if marks.private => {
                public = Stanza::Message(carbons::delivered(message));
                &public
            }
            stanza => stanza,
        };
        let journey = Journey {
            stanza,
            marks,
            from,
            to,
            inside: account_of(from) == account_of(to),
            encoded: OnceCell::new(),
        };
        let others = match self.depart(&journey) {
            Departure::Blocked => return blocked(stanza).into(),
            Departure::Free(others) => others,
        };
        let delivery = if self.hosts.is_local(to) {
            self.arrive(&journey)
        } else {
            owed(stanza, NO_SUCH_SERVER).into()
        };
        if let Delivery::Refused(error) = &delivery
            && !others.is_empty()
        {
            hand_out(journey.refusal(error), Direction::Received, &others);
        }
        delivery
    }

    /// The sender's side: whether the sender lets anything go there, and copies
    /// for the sender's other resources; returns who got one.
    fn depart(&self, journey: &Journey<'_>) -> Departure {
        let copied = !journey.inside && journey.is_copied(Direction::Sent);
        let found = self
            .sessions
            .consider(account_of(journey.from), |resources, blocks| {
                if !journey.inside && blocks.cover(journey.to) {
                    return None;
                }
                let others = resources
                    .iter()
                    .filter(|it| copied && it.carbons && it.jid != *journey.from);
                Some(others.map(Recipient::of).collect::<Recipients>())
            });
        let Some(others) = found else {
            return Departure::Blocked;
        };
        if !others.is_empty() {
            hand_out(journey.copy(Direction::Sent), Direction::Sent, &others);
        }
        Departure::Free(others)
    }

    /// The recipient's side.
    fn arrive(&self, journey: &Journey<'_>) -> Delivery {
        let account = account_of(journey.to);
        let route = self.sessions.consider(account, |resources, blocks| {
            if !journey.inside && blocks.cover(journey.from) {
                return None;
            }
            Some(match blocks {
                // Nobody is let in before it is known who is not.
                Blocks::Loading => journey.spread(&[]),
                Blocks::OutOfReach | Blocks::Known(_) => journey.spread(resources),
            })
        });
        match route {
            None => {
                metrics::counter!("muster_blocked_stanzas_total", "direction" => "in").increment(1);
                owed(journey.stanza, StanzaError::SERVICE_UNAVAILABLE).into()
            }
            Some(Route::Offline) => Delivery::Absent,
            Some(Route::Unavailable | Route::Server) => {
                owed(journey.stanza, StanzaError::SERVICE_UNAVAILABLE).into()
            }
            Some(Route::One(_) | Route::NonNegative | Route::Available | Route::Drop) => {
                Delivery::Done
            }
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

/// A stanza on its way.
struct Journey<'a> {
    stanza: &'a Stanza,
    marks: Marks,
    from: &'a FullJid,
    to: &'a Jid,
    /// It stays in one account, which cannot block itself.
    inside: bool,
    /// Written once; each mailbox gets a handle on the same bytes.
    encoded: OnceCell<Bytes>,
}

enum Departure {
    Blocked,
    /// With the sender's resources that got a copy.
    Free(Recipients),
}

/// A resource that wants copies.
struct Recipient {
    jid: FullJid,
    mailbox: Mailbox,
}

type Recipients = SmallVec<[Recipient; 1]>;

impl Recipient {
    fn of(resource: &Resource) -> Recipient {
        Recipient {
            jid: resource.jid.clone(),
            mailbox: resource.mailbox.clone(),
        }
    }
}

impl Journey<'_> {
    fn encoded(&self) -> Bytes {
        let write = || encode::stanza(self.stanza, self.from, self.to);
        self.encoded.get_or_init(write).clone()
    }

    fn is_copied(&self, direction: Direction) -> bool {
        match self.stanza {
            Stanza::Message(message) => self.marks.allow(direction, message.type_, self.to),
            _ => false,
        }
    }

    fn copy(&self, direction: Direction) -> Option<Copy> {
        let Stanza::Message(message) = self.stanza else {
            return None;
        };
        let account = match direction {
            Direction::Sent => self.from.to_bare(),
            Direction::Received => self.to.to_bare(),
        };
        Copy::new(direction, &account, message.type_, &self.encoded())
    }

    /// A copy of the error that the sender is told.
    fn refusal(&self, error: &StanzaError) -> Option<Copy> {
        let kind = self.stanza.kind();
        let refusal = encode::error_reply(
            kind,
            self.stanza.id(),
            Some(self.to),
            Some(self.from),
            error,
        );
        let account = self.from.to_bare();
        Copy::new(Direction::Received, &account, MessageType::Error, &refusal)
    }

    /// Puts the stanza into the mailboxes that it is for, and copies of a
    /// message that arrived into the others that want them. Runs under the lock
    /// of the recipient's shard.
    fn spread(&self, resources: &[Resource]) -> Route {
        let address = self
            .to
            .resource()
            .map_or(Address::Bare, |resource| Address::Full(resource.as_str()));
        let listed: SmallVec<[routing::Resource<'_>; 4]> = resources.iter().map(listed).collect();
        let route = route(kind(self.stanza), address, &listed);
        // Within one account it is the sender's copy that others get.
        let direction = match self.inside {
            true => Direction::Sent,
            false => Direction::Received,
        };
        let mut chosen = SmallVec::<[&Resource; 4]>::new();
        let mut others = Recipients::new();
        for (place, (listed, resource)) in listed.iter().zip(resources).enumerate() {
            if route.reaches(place, listed) {
                chosen.push(resource);
            } else if resource.carbons && resource.jid != *self.from {
                others.push(Recipient::of(resource));
            }
        }
        let arrived = self.put(&chosen);
        // What nobody got is told to its sender, or kept until somebody does.
        if !others.is_empty() && (arrived || self.inside) && self.is_copied(direction) {
            hand_out(self.copy(direction), direction, &others);
        }
        match (arrived || chosen.is_empty(), self.stanza.kind()) {
            (true, _) => route,
            // Those who were to get it are given up, and about to be taken out.
            (false, StanzaKind::Message) => Route::Offline,
            (false, _) => Route::Unavailable,
        }
    }

    /// Puts the stanza into the mailboxes of these; tells whether one took it.
    fn put(&self, chosen: &[&Resource]) -> bool {
        let worth = Worth::among(chosen.len());
        let mut taken = false;
        for resource in chosen {
            let stanza = self.encoded();
            taken |= resource.mailbox.send(match self.stanza.kind() {
                StanzaKind::Message => Mail::Message { stanza, worth },
                _ => Mail::Stanza(stanza),
            });
        }
        taken
    }
}

fn hand_out(copy: Option<Copy>, direction: Direction, recipients: &[Recipient]) {
    let Some(copy) = copy else { return };
    let direction = match direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    for recipient in recipients {
        let copy = copy.to(&recipient.jid);
        recipient.mailbox.send(Mail::Stanza(copy));
        metrics::counter!("muster_carbons_total", "direction" => direction).increment(1);
    }
}

/// The account of a JID, as text.
fn account_of(jid: &Jid) -> &str {
    jid.as_str().split('/').next().unwrap_or_default()
}

/// The sender blocks the recipient (XEP-0191, section 3.2). It is told so, but
/// for what is an answer itself or takes something back.
fn blocked(stanza: &Stanza) -> Option<StanzaError> {
    metrics::counter!("muster_blocked_stanzas_total", "direction" => "out").increment(1);
    match stanza {
        Stanza::Presence(presence) => {
            (presence.type_ == PresenceType::Available).then_some(StanzaError::BLOCKED)
        }
        stanza => owed(stanza, StanzaError::BLOCKED),
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
