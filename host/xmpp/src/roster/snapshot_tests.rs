//! Snapshots: what gets in, in which form, and what it weighs.

use proptest::prelude::*;

use super::super::contact::{MAX_GROUPS_PER_ITEM, MAX_NAME_BYTES};
use super::*;

pub(in crate::roster) fn owner() -> BareJid {
    BareJid::new("john@example.test").unwrap()
}

pub(in crate::roster) fn contact(
    jid: &str,
    name: Option<&str>,
    groups: &[&str],
    subscription: Subscription,
) -> Contact {
    Contact {
        jid: jid.to_owned(),
        name: name.map(str::to_owned),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        subscription,
    }
}

/// John's roster of these contacts.
pub(in crate::roster) fn snapshot(contacts: Vec<Contact>) -> Snapshot {
    let max = contacts.len();
    Snapshot::from_contacts(&owner(), contacts, max).unwrap().0
}

/// Lists that collide, repeat and need cleaning.
pub(in crate::roster) fn contacts() -> impl Strategy<Value = Vec<Contact>> {
    let jid = "[a-cA-C]{1,2}@[xX]\\.test|[a-c]|JOHN@example.test|a@b/c|[ -é]{0,3}";
    let name = proptest::option::of("[a-b]{0,2}|[\0-~é\u{fffe}]{0,6}");
    let groups = proptest::collection::vec("[g-h]{0,2}|[\0-~]{0,3}", 0..3);
    let subscription = prop_oneof![
        Just(Subscription::None),
        Just(Subscription::To),
        Just(Subscription::From),
        Just(Subscription::Both),
    ];
    let contact =
        (jid, name, groups, subscription).prop_map(|(jid, name, groups, subscription)| Contact {
            jid,
            name,
            groups,
            subscription,
        });
    proptest::collection::vec(contact, 0..6)
}

fn plain(jid: &str, name: &str) -> Contact {
    contact(jid, Some(name), &[], Subscription::Both)
}

#[test]
fn items_are_sorted_found_and_read_back() {
    let roster = snapshot(vec![
        contact(
            "marie@example.test",
            Some("Marie"),
            &["b", "a", "b", ""],
            Subscription::To,
        ),
        contact("aaron@example.test", None, &["b"], Subscription::From),
        contact("example.test", Some(""), &[], Subscription::None),
    ]);
    let jids: Vec<_> = roster.iter().map(|item| item.jid()).collect();
    assert_eq!(
        jids,
        ["aaron@example.test", "example.test", "marie@example.test"]
    );
    let marie = BareJid::new("marie@example.test").unwrap();
    let item = roster.get(marie.as_str()).unwrap();
    assert_eq!(item.name(), Some("Marie"));
    assert_eq!(item.groups().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(item.subscription(), Subscription::To);
    assert_eq!(item.to_bare(), Some(marie));

    let domain = BareJid::new("example.test").unwrap();
    assert_eq!(roster.get(domain.as_str()).unwrap().name(), None);
    let juliet = BareJid::new("juliet@example.test").unwrap();
    assert_eq!(roster.get(juliet.as_str()), None);
    assert_eq!(roster.subscription(juliet.as_str()), Subscription::None);
    assert!(Snapshot::empty().is_empty());
}

/// The predecessor overflowed its stack when a roster held its owner.
#[test]
fn own_jid_in_the_roster_is_left_out() {
    let contacts = vec![
        plain("john@example.test", "me"),
        plain("JOHN@Example.test.", "me"),
        plain("marie@example.test", "Marie"),
    ];
    let (roster, report) = Snapshot::from_contacts(&owner(), contacts, 3).unwrap();
    assert_eq!(roster.len(), 1);
    assert_eq!(report.own, 2);
    assert_eq!(report.dropped(), 2);
}

#[test]
fn invalid_jids_are_left_out_and_counted() {
    let contacts = vec![
        plain("", ""),
        plain("marie@example.test/phone", ""),
        plain("a b@example.test", ""),
        plain("marie@example.test", ""),
    ];
    let (roster, report) = Snapshot::from_contacts(&owner(), contacts, 4).unwrap();
    assert_eq!(roster.len(), 1);
    assert_eq!((report.invalid, report.dropped()), (3, 3));
}

#[test]
fn one_entry_of_a_jid_stays_whatever_the_order() {
    let entries = [
        plain("ADMIN@example.test", "upper"),
        plain("Admin@example.test", "title"),
        plain("admin@EXAMPLE.test", "domain"),
    ];
    let normal = plain("admin@example.test", "normal");
    for turn in 0..3 {
        let mut contacts = entries.to_vec();
        contacts.rotate_left(turn);
        let name = |roster: &Snapshot| roster.iter().next().unwrap().name().map(str::to_owned);
        assert_eq!(name(&snapshot(contacts.clone())).as_deref(), Some("upper"));

        contacts.insert(turn, normal.clone());
        let (roster, report) = Snapshot::from_contacts(&owner(), contacts, 4).unwrap();
        assert_eq!(name(&roster).as_deref(), Some("normal"));
        assert_eq!((roster.len(), report.duplicate), (1, 3));
    }
    // Written alike: the last, as JSON parsers do.
    let twice = vec![plain("a@b.test", "first"), plain("a@b.test", "last")];
    assert_eq!(snapshot(twice).iter().next().unwrap().name(), Some("last"));
}

/// The predecessor let a name with control characters poison each roster get.
#[test]
fn names_and_groups_are_cleaned_and_cut() {
    let long = "é".repeat(1000);
    let many: Vec<String> = (0..150).map(|number| format!("g{number:03}")).collect();
    let mut crowd = plain("c@x.test", "c");
    crowd.groups = many;
    let contacts = vec![
        contact(
            "a@x.test",
            Some("a\0\u{7}\u{fffe}b"),
            &["\u{1}", "g\u{2}"],
            Subscription::Both,
        ),
        contact("b@x.test", Some(&long), &[&long], Subscription::Both),
        crowd,
        plain("d@x.test", "fine"),
    ];
    let (roster, report) = Snapshot::from_contacts(&owner(), contacts, 4).unwrap();
    let items: Vec<_> = roster.iter().collect();
    assert_eq!(items[0].name(), Some("ab"));
    assert_eq!(items[0].groups().collect::<Vec<_>>(), ["g"]);
    assert_eq!(items[1].name().unwrap().len(), 1022);
    assert_eq!(items[1].groups().next().unwrap().len(), 1022);
    assert_eq!(items[2].groups().len(), MAX_GROUPS_PER_ITEM);
    assert_eq!(items[2].groups().last(), Some("g099"));
    assert_eq!(
        report,
        Report {
            altered: 3,
            ..Report::default()
        }
    );
}

#[test]
fn a_list_that_is_too_long_is_refused() {
    let contacts = vec![plain("a@x.test", "a"); 3];
    let refused = Snapshot::from_contacts(&owner(), contacts, 2).unwrap_err();
    assert_eq!(refused, RosterError::TooManyContacts { limit: 2 });

    let name = "x".repeat(MAX_NAME_BYTES);
    let huge: Vec<_> = (0..17_000)
        .map(|number| plain(&format!("{number}@x.test"), &name))
        .collect();
    let refused = Snapshot::from_contacts(&owner(), huge, 20_000).unwrap_err();
    assert_eq!(refused, RosterError::TooLarge);
}

/// The version is part of what clients store, so it must not change between
/// releases without need.
#[test]
fn the_version_is_of_the_contents() {
    let base = || contact("a@x.test", Some("A"), &["g"], Subscription::Both);
    let ver = |contact: Contact| snapshot(vec![contact]).ver().to_owned();
    assert_eq!(ver(base()).len(), 16);
    assert_eq!(ver(base()), ver(base()));
    let mut versions = vec![
        ver(base()),
        ver(Contact {
            jid: "b@x.test".into(),
            ..base()
        }),
        ver(Contact {
            name: None,
            ..base()
        }),
        ver(Contact {
            name: Some("B".into()),
            ..base()
        }),
        ver(Contact {
            groups: vec![],
            ..base()
        }),
        ver(Contact {
            groups: vec!["g".into(), "h".into()],
            ..base()
        }),
        ver(Contact {
            subscription: Subscription::To,
            ..base()
        }),
        Snapshot::empty().ver().to_owned(),
    ];
    assert_eq!(Snapshot::empty().ver(), "47DEQpj8HBSa-_TI");
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 8);
}

/// A thousand idle users of a hundred contacts are the target: 12 KiB each
/// with everything, of which the roster may take half.
#[test]
fn a_contact_takes_about_fifty_bytes() {
    let contacts = (0..100)
        .map(|number| {
            let name = format!("User {number}");
            contact(
                &format!("user{number:04}@example.test"),
                Some(&name),
                &["Friends"],
                Subscription::Both,
            )
        })
        .collect();
    let bytes = snapshot(contacts).memory_bytes();
    assert!(bytes < 6 * 1024, "{bytes} bytes");
}

#[test]
fn debug_shows_no_contact() {
    let roster = snapshot(vec![contact(
        "marie@x.test",
        Some("Marie"),
        &["Friends"],
        Subscription::Both,
    )]);
    let shown = format!("{roster:?} {:?}", roster.iter().next());
    assert!(
        !shown.contains("arie") && !shown.contains("Friends"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn every_entry_is_in_or_counted(contacts in contacts()) {
        let (entries, max) = (contacts.len(), contacts.len());
        let (roster, report) = Snapshot::from_contacts(&owner(), contacts, max).unwrap();
        prop_assert_eq!(roster.len() + report.dropped() as usize, entries);
        let jids: Vec<_> = roster.iter().map(|item| item.jid()).collect();
        prop_assert!(jids.is_sorted());
        for item in roster.iter() {
            let jid = item.to_bare().unwrap();
            prop_assert_eq!(roster.get(jid.as_str()), Some(item));
            prop_assert_ne!(jid, owner());
        }
    }

    #[test]
    fn the_order_of_different_contacts_does_not_matter(contacts in contacts(), turn in 0_usize..12) {
        // Entries written alike are the exception: there the last one counts.
        let mut distinct = contacts;
        distinct.sort_by(|a, b| a.jid.cmp(&b.jid));
        distinct.dedup_by(|a, b| a.jid == b.jid);
        let sorted = snapshot(distinct.clone());
        let middle = turn.min(distinct.len());
        distinct.rotate_left(middle);
        prop_assert!(snapshot(distinct) == sorted);
    }

    #[test]
    fn what_is_packed_packs_the_same(contacts in contacts()) {
        let first = snapshot(contacts);
        let again = first.iter().map(|item| Contact {
            jid: item.jid().to_owned(),
            name: item.name().map(str::to_owned),
            groups: item.groups().map(str::to_owned).collect(),
            subscription: item.subscription(),
        });
        prop_assert!(snapshot(again.collect()) == first);
    }
}
