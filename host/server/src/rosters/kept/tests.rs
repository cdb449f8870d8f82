//! Every roster comes back as it was; nothing else comes out of any bytes.

use muster_xmpp::BareJid;
use muster_xmpp::roster::{Contact, Subscription};
use proptest::prelude::*;

use super::*;

const MAX_CONTACTS: usize = 100;

fn owner() -> BareJid {
    BareJid::new("john@example.test").unwrap()
}

fn contact() -> impl Strategy<Value = Contact> {
    let subscription = prop_oneof![
        Just(Subscription::None),
        Just(Subscription::To),
        Just(Subscription::From),
        Just(Subscription::Both),
    ];
    let group = "[A-Cä<]{0,3}";
    (
        "([a-dé]{1,3}@)?[xy]{1,2}\\.test",
        proptest::option::of(".{0,8}"),
        proptest::collection::vec(group, 0..4),
        subscription,
    )
        .prop_map(|(jid, name, groups, subscription)| Contact {
            jid,
            name,
            groups,
            subscription,
        })
}

fn roster(contacts: Vec<Contact>, validator: Option<&str>) -> KeptRoster {
    let (snapshot, _) = Snapshot::from_contacts(&owner(), contacts, MAX_CONTACTS).unwrap();
    KeptRoster {
        snapshot: Arc::new(snapshot),
        validator: validator.map(|text| Validator {
            text: text.into(),
            origin: Origin(*b"a plugin"),
        }),
        seen: Seen(7),
    }
}

fn marie() -> Contact {
    Contact {
        jid: "marie@example.test".to_owned(),
        name: Some("Marie".to_owned()),
        groups: vec!["Friends".to_owned()],
        subscription: Subscription::To,
    }
}

fn read(bytes: &[u8]) -> Result<KeptRoster, Unreadable> {
    decode(&owner(), Seen(7), bytes, MAX_CONTACTS)
}

proptest! {
    #[test]
    fn every_roster_comes_back(
        contacts in proptest::collection::vec(contact(), 0..12),
        validator in proptest::option::of("[ -~]{1,12}"),
    ) {
        let kept = roster(contacts, validator.as_deref());
        prop_assert_eq!(read(&encode(&kept)), Ok(kept));
    }

    #[test]
    fn any_bytes_are_a_roster_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = read(&bytes);
        let _ = read(&[&[record::VERSION, 0], &*bytes].concat());
    }

    /// A bit that turned over shows no contact that there was not.
    #[test]
    fn damage_is_noticed(
        contacts in proptest::collection::vec(contact(), 1..6),
        at in any::<proptest::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let kept = roster(contacts, None);
        let mut bytes = encode(&kept);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(read) = read(&bytes) {
            prop_assert_eq!(read.snapshot, kept.snapshot);
        }
    }

    #[test]
    fn a_part_is_refused(contacts in proptest::collection::vec(contact(), 1..6)) {
        let bytes = encode(&roster(contacts, Some("\"v1\"")));
        for end in 0..bytes.len() {
            prop_assert!(read(&bytes[..end]).is_err());
        }
    }
}

/// The bytes of a known roster: a change of the format changes the version.
#[test]
fn the_format_is_this_one() {
    let bytes = encode(&roster(vec![marie()], Some("\"v1\"")));
    let expected = [
        &[1, 1][..],
        b"a plugin",
        b"\x04\"v1\"",
        b"\x10",
        roster(vec![marie()], None).snapshot.ver().as_bytes(),
        b"\x01\x0cexample.test",
        b"\x01\x07Friends",
        b"\x01\x05marie\x00\x01\x05Marie\x01\x00",
    ]
    .concat();
    assert_eq!(bytes, expected);
}

#[test]
fn another_version_is_named() {
    let mut bytes = encode(&roster(vec![marie()], None));
    bytes[0] = 2;
    assert_eq!(read(&bytes), Err(Unreadable::Version(2)));
}

#[test]
fn what_is_no_longer_accepted_is_named() {
    let bytes = encode(&roster(vec![marie(), contact_of("aaron")], None));
    let read = decode(&owner(), Seen(7), &bytes, 1);
    assert_eq!(read, Err(Unreadable::Refused));
    // Of somebody else: the contact is the user now.
    let marie = BareJid::new("marie@example.test").unwrap();
    let read = decode(&marie, Seen(7), &bytes, MAX_CONTACTS);
    assert_eq!(read, Err(Unreadable::Refused));
}

fn contact_of(name: &str) -> Contact {
    Contact {
        jid: format!("{name}@example.test"),
        ..Contact::default()
    }
}

#[test]
fn a_record_is_compact() {
    let contacts = (0..100).map(|n| contact_of(&format!("contact{n}")));
    let kept = roster(contacts.collect(), None);
    let bytes = encode(&kept).len();
    assert!(bytes < 1_600, "{bytes} bytes for 100 contacts");
}

#[test]
fn only_what_is_new_is_due() {
    let kept = roster(vec![marie()], Some("1"));
    let mark = Some(kept.mark());
    assert_eq!(kept.due(None), Due::Roster);
    assert_eq!(kept.due(mark), Due::Nothing);
    let later = |seconds| KeptRoster {
        seen: Seen(kept.seen.0 + seconds),
        ..kept.clone()
    };
    assert_eq!(later(PRECISION.as_secs() - 1).due(mark), Due::Nothing);
    assert_eq!(later(PRECISION.as_secs()).due(mark), Due::Seen);
    assert_eq!(roster(vec![marie()], Some("2")).due(mark), Due::Roster);
    assert_eq!(roster(vec![], Some("1")).due(mark), Due::Roster);
    let elsewhere = KeptRoster {
        validator: kept.validator.clone().map(|it| Validator {
            origin: Origin(*b"b plugin"),
            ..it
        }),
        ..kept
    };
    assert_eq!(elsewhere.due(mark), Due::Roster);
}
