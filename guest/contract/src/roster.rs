//! The app's answer: an object whose keys are the JIDs of the contacts.
//!
//! Owns the rule that an entry of which no contact can be made is left out and
//! counted, while a bad document is an error: the app's mistake about one entry
//! must not cost the user the others, and no mistake may look like "all contacts
//! removed". Does not own whom a key names: it is passed on as the app wrote it,
//! because the host has to look at it anyway and can say what it left out.
//!
//! One pass, straight from the text into [`Contact`]s that borrow from it; no
//! tree of JSON values ever exists, and what is unknown is skipped without
//! recursion, however deep.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::fmt;

use jid::BareJid;
use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use crate::document::{self, Found, Text, Unreadable};

mod entry;

use entry::Entry;

/// How many entries an answer may have unless the operator says otherwise.
pub const DEFAULT_MAX_CONTACTS: usize = 10_000;

/// Whose presence reaches whom (RFC 6121, section 2.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subscription {
    /// Neither way.
    None,
    /// The user sees the contact's presence.
    To,
    /// The contact sees the user's presence.
    From,
    /// Both ways; what an app means that says nothing.
    #[default]
    Both,
}

/// One contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact<'a> {
    /// As the app wrote it; supposed to be a bare JID.
    pub jid: Cow<'a, str>,
    /// Never empty, at most 1,023 bytes that XML can carry.
    pub name: Option<Cow<'a, str>>,
    /// Sorted, without duplicates, bounds as the name.
    pub groups: Vec<Cow<'a, str>>,
    /// `both` if the app does not say.
    pub subscription: Subscription,
}

/// The contacts of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedRoster<'a> {
    /// In the order of the document. Where several are the same JID after
    /// preparation they all say what the last of them says, so that it counts
    /// whichever of them is kept.
    pub contacts: Vec<Contact<'a>>,
    /// Entries that were left out: a value, or a part of it, is of the wrong
    /// kind.
    pub skipped: u32,
}

/// Why there is no roster. Reach: the call; nothing of the user's changes.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not a JSON document.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// JSON of another kind.
    #[error("the document must be an object of contacts, not {found}")]
    NotAnObject {
        /// What it is.
        found: Found,
    },
    /// More than the operator allows, skipped ones included.
    #[error("more than {limit} contacts")]
    TooManyContacts {
        /// The bound.
        limit: usize,
    },
}

impl DocumentError {
    /// The HTTP status of the answer to who sent the document.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooManyContacts { .. } => 413,
            Self::Unreadable(_) | Self::NotAnObject { .. } => 400,
        }
    }
}

/// Reads the app's answer.
///
/// # Errors
///
/// Anything but one JSON object of at most `max_contacts` entries.
pub fn parse_roster(
    document: &[u8],
    max_contacts: usize,
) -> Result<ParsedRoster<'_>, DocumentError> {
    let (text, found) = document::open(document)?;
    match found {
        Found::Object | Found::Unknown => {}
        _ => return Err(DocumentError::NotAnObject { found }),
    }
    let mut too_many = false;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let roster = deserializer
        .deserialize_map(Entries {
            max_contacts,
            overflow: Overflow::Ends,
            too_many: &mut too_many,
        })
        .and_then(|roster| deserializer.end().map(|()| roster));
    // Too many contacts end the parser with an error of its own.
    if too_many {
        return Err(DocumentError::TooManyContacts {
            limit: max_contacts,
        });
    }
    Ok(agree(roster.map_err(Unreadable::Syntax)?))
}

/// Makes entries of one JID say what the last of them says, as the last of equal
/// keys counts everywhere in JSON.
///
/// The host keeps one of them by how it is spelled: lists of other plugins may
/// have an order that means nothing. Of those that are written alike it keeps the
/// last by itself, so that a list of plain addresses is done with here.
pub(crate) fn agree(mut roster: ParsedRoster<'_>) -> ParsedRoster<'_> {
    let mut keys = roster.contacts.iter().map(|contact| &*contact.jid);
    if keys.all(is_canonical) {
        return roster;
    }
    let mut last: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (place, contact) in roster.contacts.iter().enumerate().rev() {
        let Some(jid) = canonical_jid(&contact.jid) else {
            continue;
        };
        match last.entry(jid) {
            Place::Vacant(vacant) => {
                vacant.insert(place);
            }
            Place::Occupied(last) => pairs.push([place, *last.get()]),
        }
    }
    for pair in pairs {
        if let Ok([earlier, last]) = roster.contacts.get_disjoint_mut(pair) {
            earlier.name.clone_from(&last.name);
            earlier.groups.clone_from(&last.groups);
            earlier.subscription = last.subscription;
        }
    }
    roster
}

/// The canonical spelling of a bare JID; `None` if it is none.
fn canonical_jid(jid: &str) -> Option<Cow<'_, str>> {
    if is_canonical(jid) {
        return Some(Cow::Borrowed(jid));
    }
    // The root's dot is no part of the address (RFC 7622, section 3.2.1).
    let prepared = BareJid::new(jid.strip_suffix('.').unwrap_or(jid)).ok()?;
    if prepared.as_str() == jid {
        Some(Cow::Borrowed(jid))
    } else {
        Some(Cow::Owned(prepared.as_str().to_owned()))
    }
}

/// Whether preparation surely leaves `jid` as it is: the address of most
/// users, in lower-case ASCII. Saves the tables of Unicode most of the time.
fn is_canonical(jid: &str) -> bool {
    let Some((node, domain)) = jid.split_once('@') else {
        return false;
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let node_byte = |b: u8| plain(b) || matches!(b, b'.' | b'-' | b'_' | b'+');
    // A label of `xn--` has a meaning, and one with a hyphen at an end none;
    // a number at the end makes it an address. All that is left to `jid`.
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| plain(b) || b == b'-')
            && label.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && !label.ends_with('-')
            && !label.contains("--")
    };
    (1..=1_023).contains(&node.len())
        && node.bytes().all(node_byte)
        && domain.len() <= 253
        && domain.split('.').all(label)
}

/// What becomes of entries beyond the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// They end the parser.
    Ends,
    /// They are read over: what comes after them is another's.
    IsSkipped,
}

/// The entries of one roster.
pub(crate) struct Entries<'f> {
    pub(crate) max_contacts: usize,
    /// What becomes of the rest.
    pub(crate) overflow: Overflow,
    /// Set when there are more; the error of the parser says nothing then.
    pub(crate) too_many: &'f mut bool,
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ParsedRoster<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of contacts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut roster = ParsedRoster::default();
        let mut entries = 0;
        while let Some(Text(key)) = map.next_key()? {
            if entries == self.max_contacts {
                *self.too_many = true;
                return match self.overflow {
                    Overflow::Ends => Err(A::Error::custom("too many contacts")),
                    Overflow::IsSkipped => skip(map).map(|()| roster),
                };
            }
            entries += 1;
            match map.next_value()? {
                Entry::Contact {
                    name,
                    groups,
                    subscription,
                } => roster.contacts.push(Contact {
                    jid: key,
                    name,
                    groups,
                    subscription,
                }),
                Entry::Bad => roster.skipped = roster.skipped.saturating_add(1),
            }
        }
        Ok(roster)
    }
}

/// Reads over a value whose key has been read, and the rest.
fn skip<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>()?;
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests;
