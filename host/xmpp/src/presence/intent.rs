//! What a presence stanza of a client asks for.
//!
//! Owns the reading of type and address against what the resource said before
//! (RFC 6121 §4.2 to §4.6). Does not deliver. From the session's presence
//! action to the server's sessions.

use jid::Jid;

use crate::stanza::PresenceType;

/// Whether a resource has announced itself. Its last presence and priority are
/// with whoever delivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Availability {
    /// Bound; nobody was told, or unavailable was sent.
    #[default]
    Unavailable,
    /// Initial presence was sent (RFC 6121 §4.2).
    Available,
}

/// What is to be done with one presence stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intent {
    /// Initial presence (§4.2.2): the resource becomes available. Send it to
    /// the linked contacts and the account's other available resources, and
    /// send the resource the presence of both.
    Initial,
    /// A later one (§4.4.2): send it to the linked contacts and the account's
    /// other available resources.
    Update,
    /// The resource becomes unavailable and stays bound (§4.5.2): send it to
    /// the linked contacts, the account's other available resources and every
    /// entity of [`Directed`](super::Directed), and forget those.
    Withdraw,
    /// Available presence to one entity (§4.6.3): remember it, then route it.
    Direct,
    /// Unavailable presence to one entity (§4.6.3): forget it, then route it.
    DirectUnavailable,
    /// A probe (§4.3): answer it if both rosters let the prober see.
    Probe,
    /// An error to one entity (RFC 6120 §8.3): route it.
    Error,
    /// Drop it without a word: a subscription stanza, which is the app's to
    /// decide and passes in no direction; or one that means nothing here.
    Drop,
}

/// Reads a presence stanza of a resource that stands as `now` says.
///
/// Unavailable presence without an address counts even for a resource that was
/// not available: it may have sent directed presence before (§4.6.3).
pub const fn intent(type_: PresenceType, to: Option<&Jid>, now: Availability) -> Intent {
    match (type_, to, now) {
        (PresenceType::Available, None, Availability::Unavailable) => Intent::Initial,
        (PresenceType::Available, None, Availability::Available) => Intent::Update,
        (PresenceType::Unavailable, None, _) => Intent::Withdraw,
        (PresenceType::Available, Some(_), _) => Intent::Direct,
        (PresenceType::Unavailable, Some(_), _) => Intent::DirectUnavailable,
        (PresenceType::Probe, Some(_), _) => Intent::Probe,
        (PresenceType::Error, Some(_), _) => Intent::Error,
        (PresenceType::Probe | PresenceType::Error, None, _)
        | (
            PresenceType::Subscribe
            | PresenceType::Subscribed
            | PresenceType::Unsubscribe
            | PresenceType::Unsubscribed,
            ..,
        ) => Intent::Drop,
    }
}

#[cfg(test)]
mod tests {
    use super::Availability::{Available, Unavailable};
    use super::*;

    #[test]
    fn every_type_to_everybody_and_to_one() {
        let marie = Jid::new("marie@example.test").unwrap();
        // Type; broadcast while unavailable, while available; directed.
        for (type_, fresh, again, directed) in [
            (
                PresenceType::Available,
                Intent::Initial,
                Intent::Update,
                Intent::Direct,
            ),
            (
                PresenceType::Unavailable,
                Intent::Withdraw,
                Intent::Withdraw,
                Intent::DirectUnavailable,
            ),
            (
                PresenceType::Probe,
                Intent::Drop,
                Intent::Drop,
                Intent::Probe,
            ),
            (
                PresenceType::Error,
                Intent::Drop,
                Intent::Drop,
                Intent::Error,
            ),
            (
                PresenceType::Subscribe,
                Intent::Drop,
                Intent::Drop,
                Intent::Drop,
            ),
            (
                PresenceType::Subscribed,
                Intent::Drop,
                Intent::Drop,
                Intent::Drop,
            ),
            (
                PresenceType::Unsubscribe,
                Intent::Drop,
                Intent::Drop,
                Intent::Drop,
            ),
            (
                PresenceType::Unsubscribed,
                Intent::Drop,
                Intent::Drop,
                Intent::Drop,
            ),
        ] {
            assert_eq!(intent(type_, None, Unavailable), fresh, "{type_:?}");
            assert_eq!(intent(type_, None, Available), again, "{type_:?}");
            for now in [Unavailable, Available] {
                assert_eq!(intent(type_, Some(&marie), now), directed, "{type_:?}");
            }
        }
    }
}
