//! What a lying guest can return, and what is left of it.

use super::*;

fn fetched(
    answer: Result<guest::Fetched, guest::FetchError>,
    limits: &Limits,
) -> Result<Fetched, FetchError> {
    super::fetched(answer, limits, &|_| ())
}

fn offer(jid: &str) -> types::Contact {
    types::Contact {
        jid: jid.to_owned(),
        name: None,
        groups: Vec::new(),
        subscription: types::Subscription::Both,
    }
}

fn roster(contacts: Vec<types::Contact>) -> Result<guest::Fetched, guest::FetchError> {
    Ok(types::Fetched::Roster(types::ContactList {
        contacts,
        validator: None,
        skipped: 0,
    }))
}

fn accepted(contacts: Vec<types::Contact>) -> (Vec<Contact>, u32) {
    match fetched(roster(contacts), &Limits::default()) {
        Ok(Fetched::Roster {
            contacts, skipped, ..
        }) => (contacts, skipped),
        other => panic!("not a roster: {other:?}"),
    }
}

#[test]
fn too_many_contacts_are_an_error_and_not_a_shorter_roster() {
    let limits = Limits {
        contacts: 2,
        ..Limits::default()
    };
    let list = |count| {
        roster(
            (0..count)
                .map(|n| offer(&format!("u{n}@example.test")))
                .collect(),
        )
    };
    assert!(fetched(list(2), &limits).is_ok());
    assert_eq!(fetched(list(3), &limits), Err(FetchError::TooLarge));
}

#[test]
fn a_jid_that_cannot_be_one_is_dropped_and_counted() {
    let long = format!("{}@example.test", "a".repeat(JID_BYTES));
    let table = [
        "",
        "a\0b@example.test",
        "a\u{fffe}@example.test",
        long.as_str(),
    ];
    let offers = table
        .iter()
        .copied()
        .chain(["marie@example.test"])
        .map(offer)
        .collect();
    let (contacts, skipped) = accepted(offers);
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].jid, "marie@example.test");
    assert_eq!(skipped, 4);
}

#[test]
fn names_lose_what_xml_cannot_carry_and_are_cut_at_a_character() {
    let mut contact = offer("marie@example.test");
    contact.name = Some("M\0ar\u{1b}ie\u{ffff} <b>&".to_owned());
    let (contacts, _) = accepted(vec![contact.clone()]);
    assert_eq!(contacts[0].name.as_deref(), Some("Marie <b>&"));
    contact.name = Some("é".repeat(4 << 20));
    let (contacts, _) = accepted(vec![contact]);
    assert_eq!(contacts[0].name.as_ref().unwrap().len(), NAME_BYTES - 1);
}

#[test]
fn groups_are_bounded_distinct_and_not_empty() {
    let mut contact = offer("marie@example.test");
    contact.groups = ["a", "", "a", "\0", "b\u{1}"].map(str::to_owned).to_vec();
    contact.groups.extend((0..1_000).map(|n| format!("g{n}")));
    let (contacts, _) = accepted(vec![contact]);
    assert_eq!(contacts[0].groups.len(), Limits::default().groups);
    assert_eq!(contacts[0].groups[..3], ["a", "b", "g0"]);
}

#[test]
fn a_validator_that_no_header_carries_is_forgotten() {
    for (text, kept) in [
        ("\"v1\"", true),
        ("W/\"a b\"", true),
        ("", false),
        ("a\r\nHost: evil.example.com", false),
        ("é", false),
        (&"x".repeat(1025), false),
    ] {
        let answer = Ok(types::Fetched::Roster(types::ContactList {
            contacts: Vec::new(),
            validator: Some(text.to_owned()),
            skipped: u32::MAX,
        }));
        let Ok(Fetched::Roster { validator, .. }) = fetched(answer, &Limits::default()) else {
            panic!("not a roster");
        };
        assert_eq!(validator.is_some(), kept, "{text:?}");
    }
}

#[test]
fn a_reason_is_bounded_and_one_line() {
    let reason = format!("line\n{}", "x".repeat(1 << 20));
    let error = fetched(
        Err(types::FetchError::Malformed(reason)),
        &Limits::default(),
    );
    let Err(FetchError::Malformed(reason)) = error else {
        panic!("not malformed");
    };
    assert!(reason.len() <= REASON_BYTES && reason.starts_with("linex"));
}
