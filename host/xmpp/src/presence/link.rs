//! Between whom presence passes, and what a change of that asks for.
//!
//! Owns the rule over two rosters. Does not own which rosters are known: who
//! has no session has no roster here, and needs none. From presence and roster
//! changes to deliveries.

use jid::BareJid;

use crate::roster::{Item, Snapshot};

/// Which way presence passes between two accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Link {
    /// The first account's presence reaches the second.
    pub out: bool,
    /// The second account's presence reaches the first.
    pub back: bool,
}

/// What is to be done for one direction after a roster changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// Presence passes from now on: send the current presence of each of the
    /// sender's available resources.
    Start,
    /// It passes no longer: send unavailable from each of the sender's
    /// available resources, forget directed presence to the recipient
    /// ([`Directed::forget_account`](super::Directed::forget_account)), and
    /// send nothing after.
    Stop,
    /// It passes as before: send nothing.
    Keep,
    /// It does not pass, as before: send nothing.
    Nothing,
}

/// What is to be done in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exchanges {
    /// From the user whose roster changed to the contact.
    pub out: Exchange,
    /// From the contact to the user whose roster changed.
    pub back: Exchange,
}

/// Which way presence passes between `user` and `contact`. A roster that is not
/// known is `None`: nothing passes.
///
/// A user and itself are linked both ways: the resources of an account see each
/// other (RFC 6121 §4.2.2, §4.4.2).
pub fn link(
    (user, user_roster): (&BareJid, Option<&Snapshot>),
    (contact, contact_roster): (&BareJid, Option<&Snapshot>),
) -> Link {
    if user == contact {
        return Link {
            out: true,
            back: true,
        };
    }
    let (Some(user_roster), Some(contact_roster)) = (user_roster, contact_roster) else {
        return Link::default();
    };
    let ours = user_roster.subscription(contact);
    let theirs = contact_roster.subscription(user);
    Link {
        out: ours.from() && theirs.to(),
        back: ours.to() && theirs.from(),
    }
}

/// What the change of `user`'s roster from `old` to `new` asks for between the
/// user and one contact, whose own roster stays the same.
///
/// Ask for every contact of [`diff`](crate::roster::diff); for others nothing
/// changed. `old` is `None` if the user had no roster before: then presence
/// passed to nobody.
pub fn exchanges(
    user: &BareJid,
    old: Option<&Snapshot>,
    new: &Snapshot,
    (contact, contact_roster): (&BareJid, Option<&Snapshot>),
) -> Exchanges {
    let before = link((user, old), (contact, contact_roster));
    let after = link((user, Some(new)), (contact, contact_roster));
    Exchanges {
        out: Exchange::between(before.out, after.out),
        back: Exchange::between(before.back, after.back),
    }
}

impl Exchange {
    const fn between(before: bool, after: bool) -> Self {
        match (before, after) {
            (false, true) => Self::Start,
            (true, false) => Self::Stop,
            (true, true) => Self::Keep,
            (false, false) => Self::Nothing,
        }
    }
}

/// The contacts that the user's presence may go to, as far as the user's own
/// roster says. Each still needs [`link`] with the contact's roster.
pub fn audience(roster: &Snapshot) -> impl Iterator<Item = Item<'_>> {
    roster.iter().filter(|item| item.subscription().from())
}

/// The contacts whose presence the user may be sent, as far as the user's own
/// roster says: whom initial presence probes (RFC 6121 §4.2.2). Each still
/// needs [`link`] with the contact's roster.
pub fn sources(roster: &Snapshot) -> impl Iterator<Item = Item<'_>> {
    roster.iter().filter(|item| item.subscription().to())
}

/// Whether `prober`'s probe of `probed` is answered with the current presence
/// of `probed` (RFC 6121 §4.3.2). If not, it is dropped without a word, whether
/// the account exists or not.
pub fn answer_probe(
    prober: (&BareJid, Option<&Snapshot>),
    probed: (&BareJid, Option<&Snapshot>),
) -> bool {
    link(prober, probed).back
}

#[cfg(test)]
mod tests {
    use super::Exchange::{Keep, Nothing, Start, Stop};
    use super::*;
    use crate::roster::{Contact, Subscription};

    const ALL: [Subscription; 4] = [
        Subscription::None,
        Subscription::To,
        Subscription::From,
        Subscription::Both,
    ];

    fn jid(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    /// `owner`'s roster with the one contact, or with none.
    fn roster(owner: &str, contact: &str, subscription: Option<Subscription>) -> Snapshot {
        let contacts = subscription.map(|subscription| Contact {
            jid: contact.to_owned(),
            subscription,
            ..Contact::default()
        });
        Snapshot::from_contacts(&jid(owner), contacts.into_iter().collect(), 1)
            .unwrap()
            .0
    }

    fn john_lists(marie: Option<Subscription>) -> Snapshot {
        roster("john@example.test", "marie@example.test", marie)
    }

    fn marie_lists(john: Option<Subscription>) -> Snapshot {
        roster("marie@example.test", "john@example.test", john)
    }

    #[test]
    fn presence_passes_where_both_rosters_say_so() {
        let (john, marie) = (jid("john@example.test"), jid("marie@example.test"));
        // John's entry, Marie's entry, from John to Marie, from Marie to John.
        let (none, to, from, both) = (
            Some(Subscription::None),
            Some(Subscription::To),
            Some(Subscription::From),
            Some(Subscription::Both),
        );
        for (johns, maries, out, back) in [
            (None, None, false, false),
            (None, both, false, false),
            (both, None, false, false),
            (none, none, false, false),
            (none, to, false, false),
            (none, from, false, false),
            (none, both, false, false),
            (to, none, false, false),
            (to, to, false, false),
            (to, from, false, true),
            (to, both, false, true),
            (from, none, false, false),
            (from, to, true, false),
            (from, from, false, false),
            (from, both, true, false),
            (both, none, false, false),
            (both, to, true, false),
            (both, from, false, true),
            (both, both, true, true),
        ] {
            let (ours, theirs) = (john_lists(johns), marie_lists(maries));
            let found = link((&john, Some(&ours)), (&marie, Some(&theirs)));
            assert_eq!(found, Link { out, back }, "{johns:?} {maries:?}");
            let mirrored = link((&marie, Some(&theirs)), (&john, Some(&ours)));
            let expected = Link {
                out: back,
                back: out,
            };
            assert_eq!(mirrored, expected, "{johns:?} {maries:?}");
            let answered = answer_probe((&john, Some(&ours)), (&marie, Some(&theirs)));
            assert_eq!(answered, back);
        }
    }

    #[test]
    fn an_unknown_roster_passes_nothing() {
        let (john, marie) = (jid("john@example.test"), jid("marie@example.test"));
        let ours = john_lists(Some(Subscription::Both));
        for (a, b) in [(Some(&ours), None), (None, Some(&ours)), (None, None)] {
            assert_eq!(link((&john, a), (&marie, b)), Link::default());
        }
    }

    #[test]
    fn the_resources_of_an_account_see_each_other() {
        let john = jid("john@example.test");
        let both = Link {
            out: true,
            back: true,
        };
        assert_eq!(link((&john, None), (&john, None)), both);
    }

    #[test]
    fn a_roster_change_starts_and_stops_presence() {
        let (john, marie) = (jid("john@example.test"), jid("marie@example.test"));
        let (none, to, from, both) = (
            Some(Subscription::None),
            Some(Subscription::To),
            Some(Subscription::From),
            Some(Subscription::Both),
        );
        // John's entry before and after, Marie's entry, to Marie, to John.
        for (old, new, maries, out, back) in [
            (None, both, both, Start, Start),
            (both, None, both, Stop, Stop),
            (both, both, both, Keep, Keep),
            (None, None, both, Nothing, Nothing),
            (both, to, both, Stop, Keep),
            (both, from, both, Keep, Stop),
            (to, from, both, Start, Stop),
            (none, both, both, Start, Start),
            (both, none, both, Stop, Stop),
            // Marie does not list John, or lists him one way.
            (None, both, None, Nothing, Nothing),
            (both, None, None, Nothing, Nothing),
            (None, both, to, Start, Nothing),
            (None, both, from, Nothing, Start),
            (both, None, to, Stop, Nothing),
        ] {
            let (before, after) = (john_lists(old), john_lists(new));
            let theirs = marie_lists(maries);
            let asked = exchanges(&john, Some(&before), &after, (&marie, Some(&theirs)));
            assert_eq!(asked, Exchanges { out, back }, "{old:?} {new:?} {maries:?}");
        }
        let (after, theirs) = (john_lists(both), marie_lists(both));
        let first = exchanges(&john, None, &after, (&marie, Some(&theirs)));
        let started = Exchanges {
            out: Start,
            back: Start,
        };
        assert_eq!(first, started);
        let alone = exchanges(&john, None, &after, (&marie, None));
        let nothing = Exchanges {
            out: Nothing,
            back: Nothing,
        };
        assert_eq!(alone, nothing);
    }

    #[test]
    fn who_may_hear_and_who_may_be_heard() {
        for subscription in ALL {
            let roster = john_lists(Some(subscription));
            let hears = audience(&roster).count() == 1;
            let heard = sources(&roster).count() == 1;
            let name = subscription.name();
            assert_eq!(hears, ["from", "both"].contains(&name), "{name}");
            assert_eq!(heard, ["to", "both"].contains(&name), "{name}");
        }
    }
}
