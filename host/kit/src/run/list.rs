//! Comparing what a fetch came to with what was expected.

use jid::BareJid;
use muster_plugin::{FetchError, Fetched};
use muster_xmpp::roster::{Contact, Item, Snapshot, Subscription};

use crate::fixture::{ExpectedFetch, ExpectedList};
use crate::report::describe;

/// Each difference in a line.
pub(super) fn differences(
    owner: &BareJid,
    expect: &ExpectedFetch,
    fetched: Result<Fetched, FetchError>,
) -> Vec<String> {
    match (expect, fetched) {
        (ExpectedFetch::Unchanged, Ok(Fetched::Unchanged)) => Vec::new(),
        (expect, Err(error)) if expect.is(&error) => Vec::new(),
        (
            ExpectedFetch::List(list),
            Ok(Fetched::Roster {
                contacts,
                validator,
                skipped,
            }),
        ) => of_lists(owner, list, contacts, validator, skipped),
        (expect, fetched) => {
            let found = match fetched {
                Ok(Fetched::Unchanged) => "\"unchanged\"".to_owned(),
                Ok(Fetched::Roster { contacts, .. }) => format!("a list of {}", contacts.len()),
                Err(error) => format!("the error \"{}\"", describe(&error)),
            };
            vec![format!("expected {}, got {found}", expect.in_words())]
        }
    }
}

fn of_lists(
    owner: &BareJid,
    expect: &ExpectedList,
    contacts: Vec<muster_plugin::Contact>,
    validator: Option<String>,
    skipped: u32,
) -> Vec<String> {
    let count = contacts.len();
    let (roster, dropped) = match roster(owner, contacts) {
        Some(made) => made,
        None => return vec![format!("a list of {count} is more than a roster can be")],
    };
    let mut lines = of_rosters(&expect.roster, &roster);
    if expect.validator.is_some() && expect.validator != validator {
        lines.push(format!(
            "expected the validator {:?}, got {:?}",
            expect.validator.as_deref().unwrap_or_default(),
            validator.as_deref().unwrap_or_default()
        ));
    }
    let left_out = skipped.saturating_add(dropped);
    if let Some(expected) = expect.left_out.filter(|it| *it != left_out) {
        lines.push(format!(
            "expected {expected} entries left out, got {left_out}"
        ));
    }
    lines
}

/// The roster that a server makes of a plugin's list, and how many of its
/// entries are none.
pub(crate) fn roster(
    owner: &BareJid,
    contacts: Vec<muster_plugin::Contact>,
) -> Option<(Snapshot, u32)> {
    let most = contacts.len();
    let contacts = contacts.into_iter().map(contact).collect();
    let (roster, report) = Snapshot::from_contacts(owner, contacts, most).ok()?;
    Some((roster, report.dropped()))
}

fn contact(contact: muster_plugin::Contact) -> Contact {
    Contact {
        jid: contact.jid,
        name: contact.name,
        groups: contact.groups,
        subscription: match contact.subscription {
            muster_plugin::Subscription::None => Subscription::None,
            muster_plugin::Subscription::To => Subscription::To,
            muster_plugin::Subscription::From => Subscription::From,
            muster_plugin::Subscription::Both => Subscription::Both,
        },
    }
}

/// `-` is missing, `+` is too much, `~` is otherwise.
fn of_rosters(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for item in expected.iter() {
        match found.get(item.jid()) {
            None => lines.push(format!("- {}", in_words(&item))),
            Some(other) if other != item => {
                lines.push(format!("~ {}, got {}", in_words(&item), in_words(&other)));
            }
            Some(_) => {}
        }
    }
    let more = found.iter().filter(|it| expected.get(it.jid()).is_none());
    lines.extend(more.map(|item| format!("+ {}", in_words(&item))));
    lines
}

/// A contact in a line.
pub(crate) fn in_words(item: &Item<'_>) -> String {
    let groups: Vec<_> = item.groups().collect();
    let name = item
        .name()
        .map(|name| format!(" {name:?}"))
        .unwrap_or_default();
    format!(
        "{}{name} {} {groups:?}",
        item.jid(),
        item.subscription().name()
    )
}
