//! Whatever a guest answers, what is taken of it keeps to the bounds and can
//! stand in XML.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

/// Text of every kind that a component can return, and more of what hurts.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>(),
        2 => "[\u{0}-\u{1f}\u{7f}-\u{9f}\u{fffe}\u{ffff}<>&'\"\\]]{0,40}",
        1 => "[a-z]{1,8}@[a-z]{1,8}\\.test",
        1 => ("[é\u{1f600}a\u{0}]", 0..4_000_usize).prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

fn subscription() -> impl Strategy<Value = types::Subscription> {
    prop_oneof![
        Just(types::Subscription::None),
        Just(types::Subscription::To),
        Just(types::Subscription::From),
        Just(types::Subscription::Both),
    ]
}

fn offered() -> impl Strategy<Value = types::Contact> {
    let parts = (
        text(),
        option::of(text()),
        vec(text(), 0..12),
        subscription(),
    );
    parts.prop_map(|(jid, name, groups, subscription)| types::Contact {
        jid,
        name,
        groups,
        subscription,
    })
}

fn answer() -> impl Strategy<Value = Result<guest::Fetched, guest::FetchError>> {
    let list = (vec(offered(), 0..12), option::of(text()), any::<u32>());
    let list = list.prop_map(|(contacts, validator, skipped)| {
        Ok(types::Fetched::Roster(types::ContactList {
            contacts,
            validator,
            skipped,
        }))
    });
    prop_oneof![
        8 => list,
        1 => text().prop_map(|reason| Err(types::FetchError::Malformed(reason))),
        1 => any::<u16>().prop_map(|status| Err(types::FetchError::Status(status))),
    ]
}

/// So few that the bounds are met.
fn limits() -> Limits {
    Limits {
        contacts: 8,
        groups: 4,
        ..Limits::default()
    }
}

fn assert_fits(text: &str, bytes: usize) {
    assert!(text.len() <= bytes, "{} bytes", text.len());
    assert!(text.chars().all(is_xml_char), "{text:?}");
}

proptest! {
    #[test]
    fn what_is_taken_keeps_to_the_bounds(answer in answer()) {
        let offered = match &answer {
            Ok(types::Fetched::Roster(list)) => Some((list.contacts.len(), list.skipped)),
            _ => None,
        };
        match fetched(answer, &limits(), &|_| ()) {
            Ok(Fetched::Roster { contacts, validator, skipped }) => {
                let (offered, reported) = offered.expect("a list was offered");
                let dropped = u32::try_from(offered - contacts.len()).unwrap();
                prop_assert_eq!(skipped, reported.min(8) + dropped);
                prop_assert!(contacts.len() <= 8);
                for contact in &contacts {
                    prop_assert!(!contact.jid.is_empty());
                    assert_fits(&contact.jid, JID_BYTES);
                    assert_fits(contact.name.as_deref().unwrap_or_default(), NAME_BYTES);
                    prop_assert!(contact.groups.len() <= 4);
                    for (n, group) in contact.groups.iter().enumerate() {
                        prop_assert!(!group.is_empty());
                        prop_assert!(!contact.groups[..n].contains(group));
                        assert_fits(group, NAME_BYTES);
                    }
                }
                if let Some(text) = &validator {
                    prop_assert!(http::HeaderValue::from_str(text).is_ok());
                    assert_fits(text, VALIDATOR_BYTES);
                }
            }
            Ok(Fetched::Unchanged) => prop_assert!(false, "nothing said so"),
            Err(FetchError::Malformed(reason)) => {
                assert_fits(&reason, REASON_BYTES);
                prop_assert!(!reason.chars().any(char::is_control));
            }
            Err(FetchError::TooLarge) => prop_assert!(offered.is_some_and(|(count, _)| count > 8)),
            Err(FetchError::Status(_)) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}
