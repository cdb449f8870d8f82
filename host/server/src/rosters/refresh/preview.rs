//! A dry run: what a refresh would change for one user, without any of it.
//!
//! Asks the app as a refresh does and compares with the roster that the user
//! has now. Takes no turn and no ticket, keeps nothing and pushes nothing, so
//! it can neither disturb nor overtake a real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_xmpp::BareJid;
use muster_xmpp::roster::{Change, ChangeCounts, Snapshot, diff};

use super::{Done, changes, count, failure};
use crate::limit::Limit;
use crate::rosters::source::Answer;
use crate::rosters::{Provenance, Rosters};

/// The contacts that a refresh would change: their bare JIDs, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) added: Vec<Box<str>>,
    pub(crate) changed: Vec<Box<str>>,
    pub(crate) removed: Vec<Box<str>>,
    /// There was no room to name all of them; the counts are complete.
    pub(crate) truncated: bool,
}

/// How many contacts the answer to one request may still name.
#[derive(Debug)]
pub(super) struct Room(AtomicUsize);

impl Room {
    pub(super) fn new(contacts: usize) -> Room {
        Room(AtomicUsize::new(contacts))
    }

    fn take(&self) -> bool {
        let left = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        left.is_ok()
    }
}

impl Preview {
    fn of(changes: &[Change<'_>], room: &Room) -> Preview {
        let mut preview = Preview::default();
        for change in changes {
            if !room.take() {
                Limit::RefreshDryRunContacts.reached();
                preview.truncated = true;
                break;
            }
            let jid = change.item().jid().into();
            match change {
                Change::Added(_) => preview.added.push(jid),
                Change::Changed(_) => preview.changed.push(jid),
                Change::Removed(_) => preview.removed.push(jid),
            }
        }
        preview
    }
}

impl Rosters {
    /// What a refresh of one account would change. Of an offline user no
    /// roster is held to compare with.
    pub(super) async fn preview(&self, account: &BareJid, room: &Room) -> Done {
        let Some(user) = self.find(account.as_str()) else {
            count("offline");
            return Done::offline();
        };
        count("previewed");
        let (old, known) = {
            let state = user.state();
            let snapshot = state.snapshot.as_ref();
            let known = snapshot.and_then(|_| user.source.known(&state.validator));
            (state.snapshot.clone().unwrap_or_default(), known)
        };
        match user.source.fetch(&user.account, known.as_deref()).await {
            Ok(Answer::Unchanged) => Done {
                online: true,
                result: Ok(changes(ChangeCounts::default())),
                provenance: Some(Provenance::Unchanged),
                preview: Some(Arc::default()),
            },
            Ok(Answer::Roster { snapshot, .. }) => compared(&old, &snapshot, Provenance::App, room),
            Err(error) => Done::failed(true, failure(error)),
        }
    }

    /// What a roster that was handed in would change for one account.
    pub(super) fn compare(&self, account: &BareJid, new: &Snapshot, room: &Room) -> Done {
        let Some(user) = self.find(account.as_str()) else {
            count("offline");
            return Done::offline();
        };
        count("previewed");
        let old = user.snapshot().unwrap_or_default();
        compared(&old, new, Provenance::HandedIn, room)
    }
}

fn compared(old: &Snapshot, new: &Snapshot, provenance: Provenance, room: &Room) -> Done {
    let differences = diff(old, new);
    Done {
        online: true,
        result: Ok(changes(ChangeCounts::of(&differences))),
        provenance: Some(provenance),
        preview: Some(Arc::new(Preview::of(&differences, room))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_xmpp::roster::Contact;

    fn snapshot(names: &[(&str, &str)]) -> Snapshot {
        let contact = |(jid, name): &(&str, &str)| Contact {
            jid: format!("{jid}@example.test"),
            name: Some((*name).to_owned()),
            ..Contact::default()
        };
        let owner = BareJid::new("john@example.test").unwrap();
        let contacts = names.iter().map(contact).collect();
        Snapshot::from_contacts(&owner, contacts, 10).unwrap().0
    }

    #[test]
    fn contacts_are_named_as_far_as_there_is_room() {
        let old = snapshot(&[("a", "A"), ("b", "B"), ("c", "C")]);
        let new = snapshot(&[("b", "Bob"), ("c", "C"), ("d", "D")]);
        let changes = diff(&old, &new);
        let preview = Preview::of(&changes, &Room::new(3));
        assert_eq!(*preview.added, [Box::from("d@example.test")]);
        assert_eq!(*preview.changed, [Box::from("b@example.test")]);
        assert_eq!(*preview.removed, [Box::from("a@example.test")]);
        assert!(!preview.truncated);
        let room = Room::new(2);
        let cut = Preview::of(&changes, &room);
        assert!(cut.truncated);
        assert_eq!(cut.added.len() + cut.changed.len() + cut.removed.len(), 2);
        assert!(Preview::of(&changes, &room).truncated, "the room is shared");
    }
}
