//! The app's answer: an object whose keys are the JIDs of the contacts.
//!
//! Owns the rule that a bad contact is left out and counted, while a bad
//! document is an error: the app's mistake about one entry must not cost the
//! user the others, and no mistake may look like "all contacts removed".
//!
//! One pass, straight from the text into [`Contact`]s that borrow from it; no
//! tree of JSON values ever exists, and what is unknown is skipped without
//! recursion, however deep.

use std::borrow::Cow;
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

/// One contact, valid and canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact<'a> {
    /// A bare JID after RFC 6122 preparation.
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
    /// Sorted by JID; each JID once.
    pub contacts: Vec<Contact<'a>>,
    /// Entries that were left out: no JID, a full JID, the user's own, a value
    /// of the wrong kind, or replaced by a later entry for the same JID.
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
/// `own` is the user's bare JID, if known; an entry for it is left out. For
/// several entries with the same JID, as written or after preparation, the
/// last valid one counts.
///
/// # Errors
///
/// Anything but one JSON object of at most `max_contacts` entries.
pub fn parse_roster<'a>(
    document: &'a [u8],
    own: Option<&str>,
    max_contacts: usize,
) -> Result<ParsedRoster<'a>, DocumentError> {
    let (text, found) = document::open(document)?;
    match found {
        Found::Object | Found::Unknown => {}
        _ => return Err(DocumentError::NotAnObject { found }),
    }
    let own = own.and_then(canonical_jid);
    let mut too_many = false;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let roster = deserializer
        .deserialize_map(Entries {
            own: own.as_deref(),
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
    Ok(merge(roster.map_err(Unreadable::Syntax)?))
}

/// The canonical spelling of a bare JID; `None` if it is none.
#[must_use]
pub fn canonical_jid(jid: &str) -> Option<Cow<'_, str>> {
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

/// One contact a JID, sorted; the last in the document counts.
pub(crate) fn merge(mut roster: ParsedRoster<'_>) -> ParsedRoster<'_> {
    let before = roster.contacts.len();
    // Stable: entries of one JID stay in the order of the document.
    roster.contacts.sort_by(|a, b| a.jid.cmp(&b.jid));
    roster.contacts.dedup_by(|later, kept| {
        let same = later.jid == kept.jid;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    let replaced = before - roster.contacts.len();
    roster.skipped += u32::try_from(replaced).unwrap_or(u32::MAX);
    roster
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
pub(crate) struct Entries<'o, 'f> {
    pub(crate) own: Option<&'o str>,
    pub(crate) max_contacts: usize,
    /// What becomes of the rest.
    pub(crate) overflow: Overflow,
    /// Set when there are more; the error of the parser says nothing then.
    pub(crate) too_many: &'f mut bool,
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
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
            let entry = map.next_value()?;
            match contact(key, entry) {
                Some(contact) if Some(&*contact.jid) != self.own => roster.contacts.push(contact),
                _ => roster.skipped = roster.skipped.saturating_add(1),
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

fn contact<'de>(key: Cow<'de, str>, entry: Entry<'de>) -> Option<Contact<'de>> {
    let Entry::Contact {
        name,
        groups,
        subscription,
    } = entry
    else {
        return None;
    };
    let jid = match key {
        Cow::Borrowed(key) => canonical_jid(key)?,
        Cow::Owned(key) => Cow::Owned(canonical_jid(&key)?.into_owned()),
    };
    Some(Contact {
        jid,
        name,
        groups,
        subscription,
    })
}

#[cfg(test)]
mod tests;
