//! One user's roster at one moment, packed.
//!
//! Owns the building from unchecked contacts, the look-up and the version. Does
//! not own who holds it (the server's rosters share it in an `Arc`). From the
//! plugin's answer to presence policy, diff and XML.
//!
//! Thousands of rosters lie in memory while nobody looks at them, so there is
//! no allocation for an item: all text lies in one string, an item is a record
//! of 16 bytes, and a group's name stands once for a roster.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jid::BareJid;
use sha2::{Digest as _, Sha256};

use super::contact::{Contact, Subscription};
use super::draft::{Draft, Report, choose};
use super::item::Item;

/// Most text of one roster, in bytes: JIDs, names and groups together.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// A user's roster: items sorted by JID (byte order), no two alike, never the
/// user. `Debug` shows no contact.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// For each item its JID and its name, then the names of the groups.
    text: Box<str>,
    records: Box<[Record]>,
    /// The groups of the records, one record's after the other's, each in
    /// byte order: places in `groups`.
    memberships: Box<[u32]>,
    groups: Box<[Span]>,
    ver: Box<str>,
}

/// Where an item's parts lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Of the JID in the text; the name follows it.
    pub(super) start: u32,
    /// Of the first group in the memberships.
    pub(super) first_group: u32,
    pub(super) jid_bytes: u16,
    /// 0 without a name.
    pub(super) name_bytes: u16,
    pub(super) group_count: u8,
    pub(super) subscription: Subscription,
}

/// A piece of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    bytes: u16,
}

/// Why a whole list is refused. Reach: the fetch; the user's roster stays as
/// it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// More entries than the operator allows.
    #[error("more than {limit} contacts")]
    TooManyContacts {
        /// The operator's limit, in contacts.
        limit: usize,
    },
    /// More text than a roster may have.
    #[error("more than {MAX_TEXT_BYTES} bytes of text")]
    TooLarge,
}

impl Snapshot {
    /// Checks and packs what the app says about `owner`'s contacts.
    ///
    /// - Entries whose JID is not a bare JID, is the owner's or another entry's
    ///   are left out, as [`sift`](super::sift()) says.
    /// - Names and groups lose the code points that XML cannot carry and are
    ///   cut at a character to 1,023 bytes; an empty one is none. Groups are
    ///   sorted, each stands once, and the first 100 stay.
    ///
    /// # Errors
    ///
    /// The list is longer than `max_contacts`, or has too much text.
    pub fn from_contacts(
        owner: &BareJid,
        contacts: Vec<Contact>,
        max_contacts: usize,
    ) -> Result<(Self, Report), RosterError> {
        if contacts.len() > max_contacts {
            return Err(RosterError::TooManyContacts {
                limit: max_contacts,
            });
        }
        let mut report = Report::default();
        let drafts = choose(owner, &contacts, &mut report);
        let snapshot = Self::pack(&drafts)?;
        Ok((snapshot, report))
    }

    /// A roster without a contact.
    pub fn empty() -> Self {
        // Nothing is too large here.
        Self::pack(&[]).unwrap_or_else(|_| Self {
            text: Box::default(),
            records: Box::default(),
            memberships: Box::default(),
            groups: Box::default(),
            ver: Box::default(),
        })
    }

    /// The version (RFC 6121 §2.6): 16 characters that are the same for the
    /// same contents, on every host and after every restart.
    pub fn ver(&self) -> &str {
        &self.ver
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The items, in the order of their JIDs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Item<'_>> + Clone {
        self.records.iter().map(|record| self.item(*record))
    }

    /// The item of that bare JID, in its normal form.
    pub fn get(&self, jid: &str) -> Option<Item<'_>> {
        let found = self
            .records
            .binary_search_by(|record| self.item(*record).jid().cmp(jid));
        let record = self.records.get(found.ok()?)?;
        Some(self.item(*record))
    }

    /// The subscription to that JID; none for who is not in the roster.
    pub fn subscription(&self, jid: &str) -> Subscription {
        self.get(jid)
            .map_or(Subscription::None, |item| item.subscription())
    }

    /// What it takes in memory, in bytes, without the allocator's own share.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.text.len()
            + size_of_val(&*self.records)
            + size_of_val(&*self.memberships)
            + size_of_val(&*self.groups)
            + self.ver.len()
    }

    fn item(&self, record: Record) -> Item<'_> {
        Item::new(self, record)
    }

    /// The names of a record's groups.
    pub(super) fn groups_of(
        &self,
        record: Record,
    ) -> impl ExactSizeIterator<Item = &str> + Clone + use<'_> {
        let first = record.first_group as usize;
        let places = first..first + usize::from(record.group_count);
        let places = self.memberships.get(places).unwrap_or_default();
        places.iter().map(|place| {
            let span = self.groups.get(*place as usize);
            span.map_or("", |span| self.slice(span.start as usize, span.bytes))
        })
    }

    /// A piece of the text; all records and spans lie within it.
    pub(super) fn slice(&self, start: usize, bytes: u16) -> &str {
        let range = start..start.saturating_add(usize::from(bytes));
        self.text.get(range).unwrap_or_default()
    }

    /// Lays the drafts out; they are sorted and no two have one JID.
    fn pack(drafts: &[Draft<'_>]) -> Result<Self, RosterError> {
        let mut names: Vec<&str> = drafts.iter().flat_map(Draft::groups).collect();
        names.sort_unstable();
        names.dedup();
        let item_text = |draft: &Draft<'_>| draft.jid.as_str().len() + draft.name.len();
        let text_bytes = drafts.iter().map(item_text).sum::<usize>()
            + names.iter().map(|name| name.len()).sum::<usize>();
        let membership_count = drafts.iter().map(|draft| draft.groups.len()).sum::<usize>();
        if text_bytes.max(membership_count) > MAX_TEXT_BYTES {
            return Err(RosterError::TooLarge);
        }

        let mut text = String::with_capacity(text_bytes);
        let mut memberships = Vec::with_capacity(membership_count);
        let mut records = Vec::with_capacity(drafts.len());
        for draft in drafts {
            records.push(Record {
                start: narrow(text.len())?,
                first_group: narrow(memberships.len())?,
                jid_bytes: narrow(draft.jid.as_str().len())?,
                name_bytes: narrow(draft.name.len())?,
                group_count: narrow(draft.groups.len())?,
                subscription: draft.subscription,
            });
            text.push_str(draft.jid.as_str());
            text.push_str(&draft.name);
            for group in draft.groups() {
                memberships.push(narrow(names.partition_point(|name| *name < group))?);
            }
        }
        let mut groups = Vec::with_capacity(names.len());
        for name in names {
            groups.push(Span {
                start: narrow(text.len())?,
                bytes: narrow(name.len())?,
            });
            text.push_str(name);
        }
        let mut snapshot = Self {
            text: text.into(),
            records: records.into(),
            memberships: memberships.into(),
            groups: groups.into(),
            ver: Box::default(),
        };
        snapshot.ver = snapshot.hash().into();
        Ok(snapshot)
    }

    /// The first 96 bits of SHA-256 over the contents. 0xFF ends a field and
    /// 0xFE an item; neither is ever a byte of UTF-8.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for item in self.iter() {
            for field in [item.jid(), item.name().unwrap_or_default()] {
                hash.update(field);
                hash.update([0xff]);
            }
            hash.update(item.subscription().name());
            for group in item.groups() {
                hash.update([0xff]);
                hash.update(group);
            }
            hash.update([0xfe]);
        }
        let digest = hash.finalize();
        URL_SAFE_NO_PAD.encode(digest.get(..12).unwrap_or_default())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("len", &self.len())
            .field("ver", &self.ver)
            .finish_non_exhaustive()
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::empty()
    }
}

/// The limits above keep every number within its field.
fn narrow<N: TryFrom<usize>>(number: usize) -> Result<N, RosterError> {
    N::try_from(number).map_err(|_| RosterError::TooLarge)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
pub(in crate::roster) mod tests;
