//! From the app's list to the contacts that a snapshot is made of.
//!
//! Owns the cleaning of names and groups, and the count of what is altered or
//! left out. Does not own which entries stay ([`sift()`] does), what a valid
//! field is (the contact does) nor the packing. From the snapshot's constructor
//! to the same.

use std::borrow::Cow;

use jid::BareJid;

use super::contact::{
    Contact, MAX_GROUP_BYTES, MAX_GROUPS_PER_ITEM, MAX_NAME_BYTES, Subscription, clean,
};
use super::sift::{LeftOut, sift};

/// What was left out or altered while a snapshot was made. For the operator's
/// log; it names nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries whose JID is not a bare JID: left out.
    pub invalid: u32,
    /// Entries that name the user: left out.
    pub own: u32,
    /// Entries whose JID another entry has too, after normalisation: left out.
    pub duplicate: u32,
    /// Items that stayed, with a name or groups altered to what XML and the
    /// limits allow.
    pub altered: u32,
}

impl Report {
    /// How many entries are not in the roster.
    pub const fn dropped(&self) -> u32 {
        self.invalid
            .saturating_add(self.own)
            .saturating_add(self.duplicate)
    }
}

/// A checked contact on its way into the packed form.
pub(super) struct Draft<'a> {
    pub(super) jid: BareJid,
    pub(super) name: Cow<'a, str>,
    pub(super) groups: Vec<Cow<'a, str>>,
    pub(super) subscription: Subscription,
}

impl<'a> Draft<'a> {
    fn new(jid: BareJid, contact: &'a Contact, report: &mut Report) -> Self {
        let name = contact.name.as_deref().unwrap_or_default();
        let clean_name = clean(name, MAX_NAME_BYTES);
        let clean_group = |group: &'a String| clean(group, MAX_GROUP_BYTES);
        let mut groups: Vec<_> = contact.groups.iter().map(clean_group).collect();
        let cut = groups.iter().any(|group| matches!(group, Cow::Owned(_)));
        groups.retain(|group| !group.is_empty());
        groups.sort_unstable();
        groups.dedup();
        if cut || groups.len() > MAX_GROUPS_PER_ITEM || matches!(clean_name, Cow::Owned(_)) {
            report.altered = report.altered.saturating_add(1);
        }
        groups.truncate(MAX_GROUPS_PER_ITEM);
        Self {
            jid,
            name: clean_name,
            groups,
            subscription: contact.subscription,
        }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| &**group)
    }
}

/// The contacts that become items, sorted by JID.
pub(super) fn choose<'a>(
    owner: &BareJid,
    contacts: &'a [Contact],
    report: &mut Report,
) -> Vec<Draft<'a>> {
    let sifted = sift(owner, contacts);
    for entry in sifted.left_out {
        let count = match entry {
            LeftOut::Invalid(_) => &mut report.invalid,
            LeftOut::Own(_) => &mut report.own,
            LeftOut::Duplicate { .. } => &mut report.duplicate,
        };
        *count = count.saturating_add(1);
    }
    let kept = sifted.kept.into_iter();
    let drafts = kept.map(|(jid, contact)| Draft::new(jid, contact, report));
    drafts.collect()
}
