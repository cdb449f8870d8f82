//! A dry run: what a refresh would change for one user, without any of it.
//!
//! Asks the app as a refresh does and compares with the roster that the user
//! has now. Takes no turn and no ticket, keeps nothing and pushes nothing, so
//! it can neither disturb nor overtake a real one. What the guard against mass
//! removal would hold is tried with a copy of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_plugin::Failure;
use muster_xmpp::BareJid;
use muster_xmpp::roster::{Change, ChangeCounts, Snapshot, diff};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Done, changes, count, failure};
use crate::limit::Limit;
use crate::rosters::guard::{Policy, Ruling, Seat, Word};
use crate::rosters::landing::held_roster;
use crate::rosters::limiter::Class;
use crate::rosters::source::{Answer, Want};
use crate::rosters::{Provenance, Rosters, User};

/// The contacts that a refresh would change: their bare JIDs, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) added: Vec<Box<str>>,
    pub(crate) changed: Vec<Box<str>>,
    pub(crate) removed: Vec<Box<str>>,
    /// There was no room to name all of them; the counts are complete.
    pub(crate) truncated: bool,
}

/// What the users of one dry run share.
pub(super) struct Rehearsal {
    room: Room,
    /// The guard as it was, and what the dry run has made of it since. A leaf
    /// lock.
    guard: Option<Mutex<Policy>>,
}

impl Rehearsal {
    pub(super) fn new(contacts: usize, guard: Option<Policy>) -> Rehearsal {
        Rehearsal {
            room: Room::new(contacts),
            guard: guard.map(Mutex::new),
        }
    }

    /// Whether the guard would hold this.
    fn would_hold(&self, user: &User, word: Word) -> bool {
        let Some(guard) = &self.guard else {
            return false;
        };
        let (online, now) = (user.source.guard.online(), Instant::now().into_std());
        let mut guard = guard.lock();
        guard.judge(user.account.as_str(), Seat::Online, word, online, now) != Ruling::Honour
    }
}

/// How many contacts the answer to one request may still name.
#[derive(Debug)]
struct Room(AtomicUsize);

impl Room {
    fn new(contacts: usize) -> Room {
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
    pub(super) async fn preview(&self, account: &BareJid, rehearsal: &Rehearsal) -> Done {
        let Some(user) = self.find(account.as_str()) else {
            count("offline");
            return Done::offline();
        };
        count("previewed");
        let known = {
            let state = user.state();
            let snapshot = state.snapshot.as_ref();
            snapshot.and_then(|_| user.source.known(&state.validator))
        };
        let want = Want {
            account: &user.account,
            known: known.as_deref(),
            class: Class::Refresh,
        };
        match user.source.fetch(want).await {
            Ok(Answer::Unchanged) => {
                let same = held_roster(&user, None);
                rehearsal.would_hold(&user, Word::of(&same, &same));
                Done {
                    online: true,
                    result: Ok(changes(ChangeCounts::default())),
                    provenance: Some(Provenance::Unchanged),
                    preview: Some(Arc::default()),
                }
            }
            Ok(Answer::Roster { snapshot, .. }) => {
                compared(&user, &snapshot, Provenance::App, rehearsal)
            }
            Err(error) => Done::failed(true, failure(error)),
        }
    }

    /// What a roster that was handed in would change for one account.
    pub(super) fn compare(&self, account: &BareJid, new: &Snapshot, rehearsal: &Rehearsal) -> Done {
        let Some(user) = self.find(account.as_str()) else {
            count("offline");
            return Done::offline();
        };
        count("previewed");
        compared(&user, new, Provenance::HandedIn, rehearsal)
    }
}

fn compared(user: &User, new: &Snapshot, provenance: Provenance, rehearsal: &Rehearsal) -> Done {
    let old = user.snapshot().unwrap_or_default();
    let differences = diff(&old, new);
    let preview = Preview::of(&differences, &rehearsal.room);
    let held = rehearsal.would_hold(user, Word::of(&held_roster(user, None), new));
    Done {
        online: true,
        result: match held {
            true => Err(Failure::Held),
            false => Ok(changes(ChangeCounts::of(&differences))),
        },
        provenance: Some(provenance),
        preview: Some(Arc::new(preview)),
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
