//! RFC 6121 §8.5.4, table 1, row by row, and the rows for presence and IQ.

use super::Route::{Available, Drop, NonNegative, Offline, One, Server, Unavailable};
use super::*;

const fn there(name: &str, priority: i8) -> Resource<'_> {
    Resource {
        name,
        priority: Some(priority),
    }
}

const fn connected(name: &str) -> Resource<'_> {
    Resource {
        name,
        priority: None,
    }
}

/// The condition of the account, as the headings of table 1.
const NO_ACCOUNT: &[Resource<'_>] = &[];
const NO_ACTIVE: &[Resource<'_>] = &[connected("idle")];
const ONLY_NEGATIVE: &[Resource<'_>] = &[there("bot", -1), there("phone", -128)];
const ONE_NON_NEGATIVE: &[Resource<'_>] = &[there("bot", -1), there("phone", 0)];
const MORE: &[Resource<'_>] = &[
    there("laptop", 5),
    connected("idle"),
    there("phone", 0),
    there("bot", -1),
];

const BARE: Address<'_> = Address::Bare;
const PHONE: Address<'_> = Address::Full("phone");
const GONE: Address<'_> = Address::Full("gone");

#[test]
fn messages() {
    // normal, chat, groupchat, headline, error
    for (account, to, expected) in [
        // ACCOUNT DOES NOT EXIST
        (
            NO_ACCOUNT,
            BARE,
            [Offline, Offline, Unavailable, Drop, Drop],
        ),
        (
            NO_ACCOUNT,
            GONE,
            [Unavailable, Offline, Unavailable, Drop, Drop],
        ),
        // ACCOUNT EXISTS, BUT NO ACTIVE RESOURCES
        (NO_ACTIVE, BARE, [Offline, Offline, Unavailable, Drop, Drop]),
        (
            NO_ACTIVE,
            GONE,
            [Unavailable, Offline, Unavailable, Drop, Drop],
        ),
        // 1+ NEGATIVE RESOURCES BUT ZERO NON-NEGATIVE RESOURCES
        (
            ONLY_NEGATIVE,
            BARE,
            [Offline, Offline, Unavailable, Drop, Drop],
        ),
        (ONLY_NEGATIVE, PHONE, [One(1); 5]),
        (
            ONLY_NEGATIVE,
            GONE,
            [Unavailable, Offline, Unavailable, Drop, Drop],
        ),
        // 1 NON-NEGATIVE RESOURCE
        (
            ONE_NON_NEGATIVE,
            BARE,
            [NonNegative, NonNegative, Unavailable, NonNegative, Drop],
        ),
        (ONE_NON_NEGATIVE, PHONE, [One(1); 5]),
        (
            ONE_NON_NEGATIVE,
            GONE,
            [Unavailable, NonNegative, Unavailable, Drop, Drop],
        ),
        // 1+ NON-NEGATIVE RESOURCES
        (
            MORE,
            BARE,
            [NonNegative, NonNegative, Unavailable, NonNegative, Drop],
        ),
        (MORE, PHONE, [One(2); 5]),
        (
            MORE,
            GONE,
            [Unavailable, NonNegative, Unavailable, Drop, Drop],
        ),
        // A connected resource takes what names it.
        (MORE, Address::Full("idle"), [One(1); 5]),
        (MORE, Address::Full("bot"), [One(3); 5]),
    ] {
        let types = [
            MessageType::Normal,
            MessageType::Chat,
            MessageType::Groupchat,
            MessageType::Headline,
            MessageType::Error,
        ];
        for (type_, expected) in types.into_iter().zip(expected) {
            let chosen = route(Kind::Message(type_), to, account);
            assert_eq!(chosen, expected, "{type_:?} to {to:?} of {account:?}");
        }
    }
}

#[test]
fn presence() {
    // available, unavailable, error, probe
    for (account, to, expected) in [
        (NO_ACCOUNT, BARE, [Drop, Drop, Drop, Server]),
        (NO_ACCOUNT, GONE, [Drop, Drop, Drop, Server]),
        (NO_ACTIVE, BARE, [Drop, Drop, Drop, Server]),
        (NO_ACTIVE, GONE, [Drop, Drop, Drop, Server]),
        (ONLY_NEGATIVE, BARE, [Available, Available, Drop, Server]),
        (ONLY_NEGATIVE, PHONE, [One(1), One(1), One(1), Server]),
        (ONLY_NEGATIVE, GONE, [Drop, Drop, Drop, Server]),
        (MORE, BARE, [Available, Available, Drop, Server]),
        (MORE, PHONE, [One(2), One(2), One(2), Server]),
        (MORE, GONE, [Drop, Drop, Drop, Server]),
    ] {
        let types = [
            PresenceType::Available,
            PresenceType::Unavailable,
            PresenceType::Error,
            PresenceType::Probe,
        ];
        for (type_, expected) in types.into_iter().zip(expected) {
            let chosen = route(Kind::Presence(type_), to, account);
            assert_eq!(chosen, expected, "{type_:?} to {to:?} of {account:?}");
        }
        for type_ in [
            PresenceType::Subscribe,
            PresenceType::Subscribed,
            PresenceType::Unsubscribe,
            PresenceType::Unsubscribed,
        ] {
            assert_eq!(route(Kind::Presence(type_), to, account), Drop, "{type_:?}");
        }
    }
}

#[test]
fn iqs() {
    // get, set, result, error
    for (account, to, expected) in [
        (NO_ACCOUNT, BARE, [Server, Server, Drop, Drop]),
        (NO_ACCOUNT, GONE, [Unavailable, Unavailable, Drop, Drop]),
        (NO_ACTIVE, BARE, [Server, Server, Drop, Drop]),
        (NO_ACTIVE, GONE, [Unavailable, Unavailable, Drop, Drop]),
        (MORE, BARE, [Server, Server, Drop, Drop]),
        (MORE, PHONE, [One(2); 4]),
        (MORE, Address::Full("idle"), [One(1); 4]),
        (MORE, GONE, [Unavailable, Unavailable, Drop, Drop]),
    ] {
        let types = [IqType::Get, IqType::Set, IqType::Result, IqType::Error];
        for (type_, expected) in types.into_iter().zip(expected) {
            let chosen = route(Kind::Iq(type_), to, account);
            assert_eq!(chosen, expected, "{type_:?} to {to:?} of {account:?}");
        }
    }
}

#[test]
fn a_route_reaches_its_resources() {
    let reached = |route: Route| -> Vec<&str> {
        let chosen = MORE.iter().enumerate();
        chosen
            .filter(|(place, resource)| route.reaches(*place, resource))
            .map(|(_, resource)| resource.name)
            .collect()
    };
    assert_eq!(reached(One(3)), ["bot"]);
    assert_eq!(reached(NonNegative), ["laptop", "phone"]);
    assert_eq!(reached(Available), ["laptop", "phone", "bot"]);
    for nobody in [Offline, Unavailable, Drop, Server] {
        assert!(reached(nobody).is_empty(), "{nobody:?}");
    }
}
