//! What a changed roster means for presence (RFC 6121, section 4, as far as a
//! roster that is administered elsewhere goes).
//!
//! Presence passes from one user to another only while the sender's roster
//! says `from` or `both` and the receiver's says `to` or `both`. The sender's
//! side is decided here and in `presence`, under the sender's state lock; the
//! receiver's side by the receiver's connection when it takes the mail.

use std::sync::Arc;

use muster_xmpp::encode;
use muster_xmpp::presence::{Flow, Turn};
use muster_xmpp::stanza::{Presence, PresenceType};
use muster_xmpp::{FullJid, Jid};

use super::{Rosters, User};
use crate::mailbox::{Broadcast, Mail, Mailbox};
use crate::sessions::Resource;

/// A contact with whom presence ends, and what the contact's roster said just
/// before: whether there is anything to take back.
pub(super) struct Parting {
    contact: Arc<User>,
    /// The contact saw the user.
    was_seen: bool,
    /// The user saw the contact.
    was_seeing: bool,
}

impl Rosters {
    /// Notes what will have to be taken back, **before** the new roster is put
    /// in. When both users drop each other at the same moment, at least one of
    /// the two still finds the other's old roster, and nobody is left looking
    /// available; that both find it is harmless.
    pub(super) fn partings(&self, user: &User, turns: &[Turn<'_>]) -> Vec<Parting> {
        let account = user.account.as_str();
        let ending = turns
            .iter()
            .filter(|turn| turn.sending == Flow::Ends || turn.seeing == Flow::Ends);
        let parting = |turn: &Turn<'_>| {
            let contact = self.find(turn.contact)?;
            let (was_seen, was_seeing) = {
                let state = contact.state();
                (
                    turn.sending == Flow::Ends && state.sees(account),
                    turn.seeing == Flow::Ends && state.sends_to(account),
                )
            };
            Some(Parting {
                contact,
                was_seen,
                was_seeing,
            })
        };
        ending.filter_map(parting).collect()
    }

    /// Tells the contacts who now see the user that the user is here, and
    /// those who saw it that it is gone. Called under the user's state lock,
    /// so that no broadcast of the user comes in between.
    pub(super) fn turn_sending(&self, user: &User, turns: &[Turn<'_>], partings: &[Parting]) {
        let own = self.available(user.account.as_str());
        if own.is_empty() {
            return;
        }
        for turn in turns.iter().filter(|turn| turn.sending == Flow::Begins) {
            for (jid, presence) in &own {
                self.deliver_presence(jid, presence, turn.contact);
            }
        }
        for parting in partings.iter().filter(|parting| parting.was_seen) {
            let watchers = self.watchers(parting.contact.account.as_str());
            take_back(&own, &parting.contact, &watchers);
        }
    }

    /// Shows the user the contacts who came into sight, and takes away those
    /// who went out of it. Called without any lock: it looks at one contact's
    /// state after the other. The user's fetch turn keeps later changes of
    /// the same roster behind it.
    pub(super) fn turn_seeing(&self, user: &User, turns: &[Turn<'_>], partings: &[Parting]) {
        let watchers = self.watchers(user.account.as_str());
        if watchers.is_empty() {
            return;
        }
        for turn in turns.iter().filter(|turn| turn.seeing == Flow::Begins) {
            self.probe(turn.contact, user, &watchers);
        }
        for parting in partings.iter().filter(|parting| parting.was_seeing) {
            take_back(
                &self.available(parting.contact.account.as_str()),
                user,
                &watchers,
            );
        }
    }

    /// Sends the current presence of `contact` to `watchers`, resources of
    /// `user`, if the contact's roster lets the user see it
    /// (RFC 6121, section 4.3.2).
    pub(crate) fn probe(&self, contact: &str, user: &User, watchers: &[Mailbox]) {
        let Some(contact) = self.find(contact) else {
            return;
        };
        let state = contact.state();
        if !state.sends_to(user.account.as_str()) {
            return;
        }
        for (jid, presence) in self.available(contact.account.as_str()) {
            let broadcast = broadcast(&jid, &presence, &user.account.clone().into());
            for watcher in watchers {
                watcher.send(Mail::Presence(broadcast.clone()));
            }
        }
    }

    /// Shows `watchers` the user's other available resources
    /// (RFC 6121, section 4.2.2).
    pub(crate) fn show_own_resources(&self, user: &User, newcomer: &FullJid, watchers: &[Mailbox]) {
        let account = Jid::from(user.account.clone());
        for (jid, presence) in self.available(user.account.as_str()) {
            if jid != *newcomer {
                let stanza = encode::presence(&presence, &jid.into(), &account);
                for watcher in watchers {
                    watcher.send(Mail::Stanza(stanza.clone()));
                }
            }
        }
    }

    /// Sends `presence` to all available resources of `contact`.
    pub(crate) fn deliver_presence(&self, from: &FullJid, presence: &Presence, contact: &str) {
        self.sessions.look(contact, |resources| {
            let mut available = resources
                .iter()
                .filter(|resource| resource.available.is_some())
                .peekable();
            let Some(first) = available.peek() else {
                return;
            };
            let to = Jid::from(first.jid.to_bare());
            let broadcast = broadcast(from, presence, &to);
            for resource in available {
                resource.mailbox.send(Mail::Presence(broadcast.clone()));
            }
        });
    }

    /// The available resources of an account, with their last presence.
    fn available(&self, account: &str) -> Vec<(FullJid, Arc<Presence>)> {
        self.sessions.look(account, |resources| {
            let available = |resource: &Resource| {
                Some((
                    resource.jid.clone(),
                    Arc::clone(resource.available.as_ref()?),
                ))
            };
            resources.iter().filter_map(available).collect()
        })
    }

    /// The mailboxes of an account's available resources.
    fn watchers(&self, account: &str) -> Vec<Mailbox> {
        self.sessions.look(account, |resources| {
            resources
                .iter()
                .filter(|resource| resource.available.is_some())
                .map(|resource| resource.mailbox.clone())
                .collect()
        })
    }
}

fn broadcast(from: &FullJid, presence: &Presence, to: &Jid) -> Broadcast {
    let stanza = encode::presence(presence, &from.clone().into(), to);
    let ends = presence.type_ == PresenceType::Unavailable;
    Broadcast::new(from.clone(), ends, stanza)
}

/// Tells `watchers`, resources of `user`, that the resources in `gone` are no
/// longer available. Not subject to the check of the receiver's roster, which
/// may have dropped the contact already.
fn take_back(gone: &[(FullJid, Arc<Presence>)], user: &User, watchers: &[Mailbox]) {
    let to = Jid::from(user.account.clone());
    for (jid, _) in gone {
        let stanza = encode::presence(&Presence::unavailable(), &jid.clone().into(), &to);
        for watcher in watchers {
            watcher.send(Mail::Stanza(stanza.clone()));
        }
    }
}
