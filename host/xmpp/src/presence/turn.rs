//! Whom a roster lets see whom, and what a change of it turns on and off.
//!
//! Owns one side of the agreement: what one user's roster says. Presence
//! passes only where the other's roster agrees; whoever delivers asks it.
//! From presence and roster changes to deliveries.

use crate::roster::{Change, Item, Snapshot, Subscription};

/// The contacts that the user's presence may go to, as far as the user's own
/// roster says.
pub fn audience(roster: &Snapshot) -> impl Iterator<Item = Item<'_>> {
    roster.iter().filter(|item| item.subscription().from())
}

/// The contacts whose presence the user may be sent, as far as the user's own
/// roster says: whom initial presence probes (RFC 6121 §4.2.2).
pub fn sources(roster: &Snapshot) -> impl Iterator<Item = Item<'_>> {
    roster.iter().filter(|item| item.subscription().to())
}

/// What a changed roster means for the presence of one contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// The contact's bare JID.
    pub contact: &'a str,
    /// The user's presence, on its way to the contact.
    pub sending: Flow,
    /// The contact's presence, on its way to the user.
    pub seeing: Flow,
}

/// What becomes of presence in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// It passes from now on: the current presence is due.
    Begins,
    /// It passes no longer: unavailable is due, and nothing after it.
    Ends,
    /// It passes, or does not, as before: nothing is due.
    Stays,
}

/// What `changes`, made to `old`, mean for presence: one turn for each contact
/// with whom something begins or ends.
pub fn turns<'a>(old: &'a Snapshot, changes: &'a [Change<'a>]) -> impl Iterator<Item = Turn<'a>> {
    changes
        .iter()
        .map(move |change| turn(old, change))
        .filter(|turn| turn.sending != Flow::Stays || turn.seeing != Flow::Stays)
}

fn turn<'a>(old: &'a Snapshot, change: &Change<'a>) -> Turn<'a> {
    let item = change.item();
    let (was, is) = match change {
        Change::Added(_) => (Subscription::None, item.subscription()),
        Change::Removed(_) => (item.subscription(), Subscription::None),
        Change::Changed(_) => (old.subscription(item.jid()), item.subscription()),
    };
    Turn {
        contact: item.jid(),
        sending: Flow::between(was.from(), is.from()),
        seeing: Flow::between(was.to(), is.to()),
    }
}

impl Flow {
    const fn between(before: bool, after: bool) -> Self {
        match (before, after) {
            (false, true) => Self::Begins,
            (true, false) => Self::Ends,
            _ => Self::Stays,
        }
    }
}

#[cfg(test)]
mod tests {
    use jid::BareJid;

    use super::Flow::{Begins, Ends, Stays};
    use super::*;
    use crate::roster::{Contact, diff};

    /// John's roster with Marie in it, or with nobody.
    fn roster(marie: Option<Subscription>) -> Snapshot {
        let contacts = marie.map(|subscription| Contact {
            jid: "marie@example.test".to_owned(),
            subscription,
            ..Contact::default()
        });
        let john = BareJid::new("john@example.test").unwrap();
        Snapshot::from_contacts(&john, contacts.into_iter().collect(), 1)
            .unwrap()
            .0
    }

    #[test]
    fn a_turn_is_due_where_a_direction_begins_or_ends() {
        let (none, to, from, both) = (
            Some(Subscription::None),
            Some(Subscription::To),
            Some(Subscription::From),
            Some(Subscription::Both),
        );
        // Before, after, the user's presence, the contact's presence.
        for (before, after, sending, seeing) in [
            (None, both, Begins, Begins),
            (None, to, Stays, Begins),
            (None, from, Begins, Stays),
            (none, both, Begins, Begins),
            (both, None, Ends, Ends),
            (both, none, Ends, Ends),
            (both, to, Ends, Stays),
            (both, from, Stays, Ends),
            (to, None, Stays, Ends),
            (from, None, Ends, Stays),
            (to, from, Begins, Ends),
            (from, to, Ends, Begins),
            (to, both, Begins, Stays),
            (from, both, Stays, Begins),
        ] {
            let (old, new) = (roster(before), roster(after));
            let changes = diff(&old, &new);
            let due: Vec<_> = turns(&old, &changes).collect();
            let contact = "marie@example.test";
            assert_eq!(
                due,
                [Turn {
                    contact,
                    sending,
                    seeing
                }],
                "{before:?} to {after:?}"
            );
        }
    }

    #[test]
    fn no_turn_is_due_where_nothing_passes_differently() {
        for (before, after) in [
            (None, Some(Subscription::None)),
            (Some(Subscription::None), None),
        ] {
            let (old, new) = (roster(before), roster(after));
            assert_eq!(turns(&old, &diff(&old, &new)).count(), 0);
        }
    }

    #[test]
    fn the_roster_alone_says_who_may_be_sent_and_who_may_be_seen() {
        for (subscription, sent, seen) in [
            (Subscription::None, 0, 0),
            (Subscription::To, 0, 1),
            (Subscription::From, 1, 0),
            (Subscription::Both, 1, 1),
        ] {
            let roster = roster(Some(subscription));
            assert_eq!(audience(&roster).count(), sent);
            assert_eq!(sources(&roster).count(), seen);
        }
    }
}
