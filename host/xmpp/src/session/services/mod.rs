//! Requests that the server answers, at its domain and for the client's own
//! account: which there are, and what disco tells of them.
//!
//! Owns the table ([`SERVICES`]), one file a service, and what is asked of the
//! shell ([`ServiceRequest`]) where an answer needs a clock, the disk or other
//! sessions. A feature is announced because its service stands in the table,
//! and for no other reason. Does not own the reading of addresses.

mod blocking;
mod caps;
mod carbons;
mod disco;
mod last;
mod ping;
mod private;
mod pubsub;
mod reply;
mod roster;
mod time;
mod vcard;
mod version;

use std::time::Duration;

use jid::{DomainRef, Jid};

pub(super) use self::caps::push_caps;
pub use self::private::Private;
pub use self::reply::Reply;
pub(super) use self::roster::ROSTER;
use super::SessionConfig;
use super::bind::BIND;
use super::stanzas::Target;
use crate::blocklist;
use crate::error::{ErrorType, StanzaCondition, StanzaError};
use crate::stanza::{Iq, IqType, Payload};

/// One service.
struct Service {
    /// The namespace of its requests.
    namespace: &'static str,
    /// Types and names of the requests.
    requests: &'static [(IqType, &'static str)],
    /// Whom they are sent to.
    at: At,
    /// What disco calls it; nothing if no client looks for it.
    features: &'static [&'static str],
    serve: fn(&Request<'_>) -> Answer,
}

/// Where a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the server's domain.
    Server,
    /// At the client's own account.
    Account,
    /// At both.
    Both,
}

/// All services. Clients look for those of their account at the domain as well
/// (XEP-0191 §3.1, XEP-0280 §3), so that the server announces all of them.
const SERVICES: &[Service] = &[
    disco::INFO,
    disco::ITEMS,
    ping::PING,
    version::VERSION,
    last::LAST,
    time::TIME,
    roster::SERVICE,
    carbons::CARBONS,
    blocking::BLOCKING,
    vcard::VCARD,
    private::PRIVATE,
    pubsub::PUBSUB,
    pubsub::PUBSUB_OWNER,
    // RFC 3921 wanted a session; old clients still ask for it.
    Service {
        namespace: "urn:ietf:params:xml:ns:xmpp-session",
        requests: &[(IqType::Set, "session")],
        at: At::Both,
        features: &[],
        serve: |_| Answer::Result(String::new()),
    },
    // One resource a stream (RFC 6120 §7.5).
    Service {
        namespace: BIND,
        requests: &[(IqType::Set, "bind")],
        at: At::Both,
        features: &[],
        serve: |_| {
            Answer::Error(StanzaError::new(
                ErrorType::Cancel,
                StanzaCondition::NotAllowed,
            ))
        },
    },
];

/// A request to the server or to the client's own account.
pub(super) struct Request<'a> {
    pub(super) iq: &'a Iq,
    /// [`Target::Server`] or [`Target::Account`].
    pub(super) target: Target,
    /// The domain that is asked, or the account's.
    pub(super) domain: &'a DomainRef,
    pub(super) config: &'a SessionConfig,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The payload of the result; may be empty.
    Result(String),
    /// It is refused.
    Error(StanzaError),
    /// The client wants its roster.
    Roster {
        /// The version that it holds.
        ver: Option<String>,
    },
    /// The shell has the answer.
    Shell(ServiceRequest),
}

/// What a client asks of the server that needs a clock, the disk or other
/// sessions.
#[derive(Debug, PartialEq, Eq)]
pub enum ServiceRequest {
    /// How long the server has been up (XEP-0012 §5): [`ServiceAnswer::Uptime`].
    Uptime,
    /// What time it is (XEP-0202): [`ServiceAnswer::Time`].
    Time,
    /// This resource wants copies of its account's messages from now on, or no
    /// longer (XEP-0280): [`ServiceAnswer::Done`].
    Carbons {
        /// Which of the two.
        enabled: bool,
    },
    /// The account's vCard (XEP-0054): [`ServiceAnswer::Vcard`].
    VcardGet,
    /// Replace the account's vCard by this element, the only one:
    /// [`ServiceAnswer::Done`].
    VcardSet(Payload),
    /// One element of the account's private data (XEP-0049):
    /// [`ServiceAnswer::Private`].
    PrivateGet(Private),
    /// Replace that element: [`ServiceAnswer::Done`].
    PrivateSet(Private),
    /// Whom the account blocks (XEP-0191); this resource wants to hear of
    /// changes from now on: [`ServiceAnswer::Blocklist`].
    Blocklist,
    /// Block these, at least one: [`ServiceAnswer::Done`].
    Block(Vec<Jid>),
    /// Unblock these, or everybody if there is none: [`ServiceAnswer::Done`].
    Unblock(Vec<Jid>),
}

/// What the shell found for a [`ServiceRequest`].
#[derive(Debug, PartialEq, Eq)]
pub enum ServiceAnswer {
    /// It was done.
    Done,
    /// Since the start of the server.
    Uptime(Duration),
    /// Since the beginning of 1970, UTC.
    Time(Duration),
    /// The element, as it was set, if ever.
    Vcard(Option<String>),
    /// The element that was asked for; empty if it was never set.
    Private(Private),
    /// Bare JIDs, full JIDs and domains.
    Blocklist(Vec<String>),
}

impl ServiceAnswer {
    /// The payload of the IQ.
    pub(super) fn payload(&self) -> String {
        match self {
            Self::Done => String::new(),
            Self::Uptime(uptime) => last::payload(*uptime),
            Self::Time(now) => time::payload(*now),
            Self::Vcard(vcard) => vcard::payload(vcard.as_deref()),
            Self::Private(private) => private.payload(),
            Self::Blocklist(jids) => {
                blocklist::payload("blocklist", jids.iter().map(String::as_str))
            }
        }
    }
}

/// The answer to a request that is for the server; one that nobody knows is
/// refused, never ignored (RFC 6120 §8.4).
pub(super) fn serve(request: &Request<'_>) -> Answer {
    let Some((namespace, name)) = request.iq.payload.first() else {
        return Answer::Error(StanzaError::BAD_REQUEST);
    };
    let wanted = (request.iq.type_, name);
    let service = SERVICES.iter().find(|service| {
        service.namespace == namespace
            && service.at.is(request.target)
            && service.requests.contains(&wanted)
    });
    match service {
        Some(service) => (service.serve)(request),
        None => Answer::Error(StanzaError::SERVICE_UNAVAILABLE),
    }
}

impl At {
    fn is(self, target: Target) -> bool {
        match self {
            Self::Server => target == Target::Server,
            Self::Account => target == Target::Account,
            Self::Both => true,
        }
    }
}

const ITEM_NOT_FOUND: StanzaError =
    StanzaError::new(ErrorType::Cancel, StanzaCondition::ItemNotFound);
const NOT_ACCEPTABLE: StanzaError =
    StanzaError::new(ErrorType::Modify, StanzaCondition::NotAcceptable);

#[cfg(test)]
mod tests;
