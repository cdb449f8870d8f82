//! One contact of a snapshot, looked at in place.
//!
//! Owns the reading and the comparison of an item. Does not own its text: an
//! item is a reference into its snapshot. From a snapshot to presence policy,
//! diff and XML.

use std::fmt;

use jid::BareJid;

use super::contact::Subscription;
use super::snapshot::{Record, Snapshot};

/// One contact of a [`Snapshot`]. Two are equal if their contents are.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    snapshot: &'a Snapshot,
    record: Record,
}

impl<'a> Item<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, record: Record) -> Self {
        Self { snapshot, record }
    }

    /// The contact's bare JID, normalised: as [`BareJid::as_str`] would show
    /// it.
    pub fn jid(&self) -> &'a str {
        self.snapshot.slice(self.start(), self.record.jid_bytes)
    }

    /// The contact's JID as a type. It is parsed again: prefer [`Item::jid`]
    /// where text will do. Every item's JID was parsed before, so this is never
    /// `None`.
    pub fn to_bare(&self) -> Option<BareJid> {
        BareJid::new(self.jid()).ok()
    }

    /// The name, 1 to 1,023 bytes.
    pub fn name(&self) -> Option<&'a str> {
        let start = self.start() + usize::from(self.record.jid_bytes);
        let name = self.snapshot.slice(start, self.record.name_bytes);
        (!name.is_empty()).then_some(name)
    }

    /// The groups in byte order, each 1 to 1,023 bytes.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &'a str> + Clone + use<'a> {
        self.snapshot.groups_of(self.record)
    }

    /// Whose presence reaches whom.
    pub fn subscription(&self) -> Subscription {
        self.record.subscription
    }

    fn start(&self) -> usize {
        self.record.start as usize
    }
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.jid() == other.jid()
            && self.name() == other.name()
            && self.subscription() == other.subscription()
            && self.groups().eq(other.groups())
    }
}

impl Eq for Item<'_> {}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("subscription", &self.subscription())
            .finish_non_exhaustive()
    }
}
