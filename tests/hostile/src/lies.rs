//! Answers that are not what they should be.

use crate::bindings::muster::roster::types::{ContactList, FetchError, Fetched, Subscription};
use crate::{contact, list, said};

/// More contacts than a roster may have.
pub(crate) fn many() -> Result<Fetched, FetchError> {
    let contacts = (0..20_000).map(|n| contact(&format!("u{n}@example.test")));
    Ok(list(contacts.collect()))
}

/// What no roster and no XML can carry.
pub(crate) fn lie() -> Result<Fetched, FetchError> {
    let mut named = contact("marie@example.test");
    named.name = Some("M\0a\u{1b}rie".to_owned());
    named.groups = vec![String::new(), "a".to_owned(), "a".to_owned()];
    Ok(list(vec![contact(""), contact("a\0b@example.test"), named]))
}

/// Addresses that are none, of resources, of whole domains, of the user.
pub(crate) fn strangers() -> Result<Fetched, FetchError> {
    let addresses = [
        "strangers@hostile.test",
        "marie@example.test/phone",
        "@example.test",
        "a b@example.test",
        "marie@example.test\n",
        "MARIE@EXAMPLE.TEST",
        "marie@example.test",
        "<iq/>@example.test",
        "marie@-.example.test.",
        "someone@elsewhere.test",
    ];
    Ok(list(addresses.map(contact).to_vec()))
}

/// Stanzas in place of names.
pub(crate) fn markup() -> Result<Fetched, FetchError> {
    let mut evil = contact("marie@example.test");
    let stanza = "'\"/></item></query></iq><message to='bystander0a@example.test'><body>x";
    evil.name = Some(format!("{stanza}\u{fffe}\u{ffff}\r\n&#0;]]>"));
    evil.groups = vec![format!("{stanza}</group>"), "x".repeat(256 << 10)];
    Ok(list(vec![evil]))
}

/// The largest number that fits.
pub(crate) fn counts() -> Result<Fetched, FetchError> {
    Ok(Fetched::Roster(ContactList {
        contacts: vec![contact(""), contact("marie@example.test")],
        validator: Some("\r\nhost: evil.example.com".to_owned()),
        skipped: u32::MAX,
    }))
}

/// Groups by the thousand, nearly the same.
pub(crate) fn groups() -> Result<Fetched, FetchError> {
    let mut one = contact("marie@example.test");
    one.groups = (0..5_000).map(|n| format!("group {n}")).collect();
    one.subscription = Subscription::From;
    Ok(list(vec![one]))
}

pub(crate) fn environment() -> Result<Fetched, FetchError> {
    let (variables, arguments) = (std::env::vars().count(), std::env::args().count());
    said(format!("{variables} {arguments}"))
}
