//! Where a stanza for a local account goes (RFC 6121 §8.5), as a pure table.
//!
//! Owns the choice among an account's resources. Does not own the registry of
//! resources, the mailboxes, the error stanza or what the session answers by
//! itself (stanzas to the server and to the sender's own account). From the
//! router to the router.
//!
//! An account that does not exist and one without a resource are the same
//! input, no resources: so nobody can tell them apart by what comes back.

use crate::stanza::{IqType, MessageType, PresenceType};

/// What is to be routed: the stanza's kind and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A message of that type.
    Message(MessageType),
    /// Presence of that type, addressed to somebody.
    Presence(PresenceType),
    /// An IQ of that type.
    Iq(IqType),
}

/// Whom it is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address<'a> {
    /// The account.
    Bare,
    /// One resource of the account: the prepared resourcepart.
    Full(&'a str),
}

/// One bound resource of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource<'a> {
    /// The prepared resourcepart.
    pub name: &'a str,
    /// The priority of its last presence; `None` while it is connected but not
    /// available (RFC 6121 §4.2, §4.5).
    pub priority: Option<i8>,
}

/// What is to be done with the stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Deliver it to the resource at this place in the list.
    One(usize),
    /// Deliver a copy to every available resource whose priority is not
    /// negative; there is at least one.
    NonNegative,
    /// Deliver a copy to every available resource; there is at least one.
    Available,
    /// Keep it for later, or refuse it as [`Route::Unavailable`] does: nobody
    /// is there to take it. Unknown accounts are to be answered for as known
    /// ones are.
    Offline,
    /// Answer `cancel/service-unavailable` (RFC 6120 §8.3.3.19).
    Unavailable,
    /// Drop it without a word.
    Drop,
    /// The server answers for the account (RFC 6121 §8.5.2.1.3, §4.3.2): an IQ
    /// that it does not know with [`Route::Unavailable`], a probe by
    /// what both rosters say.
    Server,
}

impl Route {
    /// Whether a copy goes to `resource`, which stands at `place` in the list
    /// that the route was chosen from.
    pub fn reaches(self, place: usize, resource: &Resource<'_>) -> bool {
        match self {
            Self::One(chosen) => chosen == place,
            Self::NonNegative => resource.takes_messages(),
            Self::Available => resource.priority.is_some(),
            Self::Offline | Self::Unavailable | Self::Drop | Self::Server => false,
        }
    }
}

impl Resource<'_> {
    /// Available with a priority that is not negative: it takes what is sent
    /// to the account (RFC 6121 §4.7.2.3).
    fn takes_messages(&self) -> bool {
        self.priority.is_some_and(|priority| priority >= 0)
    }
}

/// Chooses the route of a stanza to an account of this server. `resources` are
/// the account's bound ones, in any order; none if there is no such account.
pub fn route(kind: Kind, to: Address<'_>, resources: &[Resource<'_>]) -> Route {
    let matching = match to {
        Address::Bare => None,
        Address::Full(name) => resources.iter().position(|resource| resource.name == name),
    };
    match (kind, to, matching) {
        // Subscriptions belong to the app; in no direction does a request or
        // an answer to one pass.
        (Kind::Presence(type_), ..) if is_subscription(type_) => Route::Drop,
        // A probe is for the server, which knows who may see what.
        (Kind::Presence(PresenceType::Probe), ..) => Route::Server,
        (_, _, Some(place)) => Route::One(place),
        (Kind::Message(type_), Address::Bare, None) => message_to_account(type_, resources),
        (Kind::Message(type_), Address::Full(_), None) => message_to_nobody(type_, resources),
        (Kind::Presence(type_), Address::Bare, None) => presence_to_account(type_, resources),
        (Kind::Presence(_), Address::Full(_), None) => Route::Drop,
        // Nobody waits for an answer to an answer.
        (Kind::Iq(IqType::Result | IqType::Error), ..) => Route::Drop,
        (Kind::Iq(IqType::Get | IqType::Set), Address::Bare, None) => Route::Server,
        (Kind::Iq(IqType::Get | IqType::Set), Address::Full(_), None) => Route::Unavailable,
    }
}

/// RFC 6121 §8.5.2. Where it leaves a choice between one most available
/// resource and all non-negative ones, all get it: a user reads on the device
/// at hand, whatever its priority.
fn message_to_account(type_: MessageType, resources: &[Resource<'_>]) -> Route {
    let reachable = resources.iter().any(Resource::takes_messages);
    match type_ {
        MessageType::Normal | MessageType::Chat if reachable => Route::NonNegative,
        MessageType::Normal | MessageType::Chat => Route::Offline,
        MessageType::Headline if reachable => Route::NonNegative,
        MessageType::Headline | MessageType::Error => Route::Drop,
        MessageType::Groupchat => Route::Unavailable,
    }
}

/// RFC 6121 §8.5.3.2.1: no resource has that name. Where it leaves a choice
/// between silence and an error, the sender of a message hears of it.
fn message_to_nobody(type_: MessageType, resources: &[Resource<'_>]) -> Route {
    match type_ {
        // The resource went away in the middle of a conversation.
        MessageType::Chat => message_to_account(MessageType::Chat, resources),
        MessageType::Normal | MessageType::Groupchat => Route::Unavailable,
        MessageType::Headline | MessageType::Error => Route::Drop,
    }
}

/// RFC 6121 §8.5.2.1.2.
fn presence_to_account(type_: PresenceType, resources: &[Resource<'_>]) -> Route {
    let anybody = resources.iter().any(|resource| resource.priority.is_some());
    match type_ {
        PresenceType::Available | PresenceType::Unavailable if anybody => Route::Available,
        _ => Route::Drop,
    }
}

/// The types that ask for a subscription or answer such a request.
fn is_subscription(type_: PresenceType) -> bool {
    matches!(
        type_,
        PresenceType::Subscribe
            | PresenceType::Subscribed
            | PresenceType::Unsubscribe
            | PresenceType::Unsubscribed
    )
}

#[cfg(test)]
mod tests;
