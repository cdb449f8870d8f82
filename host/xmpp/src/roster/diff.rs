//! What changed between two snapshots of one user's roster.
//!
//! Owns the comparison and the counts of an outcome. Does not send anything:
//! each change is one push ([`encode_push`](super::encode_push)). From a
//! finished fetch to the pushes.

use std::cmp::Ordering;

use super::{Item, Snapshot};

/// One difference. Applied to the old snapshot, all of them give the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A contact that was not there; as it is now.
    Added(Item<'a>),
    /// A contact whose name, groups or subscription changed; as it is now.
    Changed(Item<'a>),
    /// A contact that is gone; as it was.
    Removed(Item<'a>),
}

impl<'a> Change<'a> {
    /// The contact, as it is now or, if it is gone, as it was.
    pub fn item(&self) -> Item<'a> {
        match self {
            Self::Added(item) | Self::Changed(item) | Self::Removed(item) => *item,
        }
    }
}

/// How many contacts changed in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Contacts that are new.
    pub added: u32,
    /// Contacts whose name, groups or subscription changed.
    pub changed: u32,
    /// Contacts that are gone.
    pub removed: u32,
}

impl ChangeCounts {
    /// Counts the changes.
    pub fn of(changes: &[Change<'_>]) -> Self {
        let mut counts = Self::default();
        for change in changes {
            let count = match change {
                Change::Added(_) => &mut counts.added,
                Change::Changed(_) => &mut counts.changed,
                Change::Removed(_) => &mut counts.removed,
            };
            *count = count.saturating_add(1);
        }
        counts
    }
}

/// The changes that make `new` of `old`, in the order of the JIDs. None if and
/// only if the versions are equal.
pub fn diff<'a>(old: &'a Snapshot, new: &'a Snapshot) -> Vec<Change<'a>> {
    if old.ver() == new.ver() {
        return Vec::new();
    }
    let mut changes = Vec::new();
    let (mut before, mut after) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(was), Some(is)) => was.jid().cmp(is.jid()),
        };
        match order {
            Ordering::Less => changes.extend(before.next().map(Change::Removed)),
            Ordering::Greater => changes.extend(after.next().map(Change::Added)),
            Ordering::Equal => {
                let (was, is) = (before.next(), after.next());
                changes.extend(is.filter(|_| was != is).map(Change::Changed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::snapshot::tests::{contacts, owner, snapshot};
    use super::*;

    /// A roster as plain values.
    type Plain = BTreeMap<String, (Option<String>, Vec<String>, &'static str)>;

    fn plain<'a>(items: impl Iterator<Item = Item<'a>>) -> Plain {
        items
            .map(|item| {
                let groups = item.groups().map(str::to_owned).collect();
                let name = item.name().map(str::to_owned);
                let contents = (name, groups, item.subscription().name());
                (item.jid().to_owned(), contents)
            })
            .collect()
    }

    fn apply(changes: &[Change<'_>], mut roster: Plain) -> Plain {
        for change in changes {
            let jid = change.item().jid();
            match change {
                Change::Added(_) => assert!(!roster.contains_key(jid)),
                Change::Changed(_) | Change::Removed(_) => assert!(roster.contains_key(jid)),
            }
            match change {
                Change::Removed(_) => drop(roster.remove(jid)),
                Change::Added(item) | Change::Changed(item) => {
                    roster.extend(plain(std::iter::once(*item)));
                }
            }
        }
        roster
    }

    proptest! {
        #[test]
        fn changes_lead_from_old_to_new(old in contacts(), new in contacts()) {
            let (old, new) = (snapshot(old), snapshot(new));
            let changes = diff(&old, &new);
            prop_assert_eq!(apply(&changes, plain(old.iter())), plain(new.iter()));
            prop_assert_eq!(changes.is_empty(), plain(old.iter()) == plain(new.iter()));
            prop_assert_eq!(changes.is_empty(), old.ver() == new.ver());
            let counts = ChangeCounts::of(&changes);
            prop_assert_eq!((counts.added + counts.changed + counts.removed) as usize, changes.len());
        }

        #[test]
        fn every_change_is_needed(old in contacts(), new in contacts()) {
            let (old, new) = (snapshot(old), snapshot(new));
            for change in diff(&old, &new) {
                let jid = change.item().to_bare().unwrap();
                prop_assert_ne!(old.get(jid.as_str()), new.get(jid.as_str()));
                prop_assert_ne!(&jid, &owner());
            }
        }
    }
}
