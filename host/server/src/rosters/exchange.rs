//! What a changed roster means for presence (RFC 6121, section 4, as far as a
//! roster that is administered elsewhere goes).
//!
//! Presence passes from one user to another only while the sender's roster
//! says `from` or `both` and the receiver's says `to` or `both`. The sender's
//! side is decided here and in `presence`, under the sender's state lock; the
//! receiver's side by the receiver's connection when it takes the mail. Who
//! blocks whom (XEP-0191) is decided here for both, when the mail is sent.

use std::sync::Arc;

use muster_xmpp::encode;
use muster_xmpp::presence::{Flow, Turn};
use muster_xmpp::stanza::{Presence, PresenceType};
use muster_xmpp::{FullJid, Jid};

use super::{Rosters, User};
use crate::mailbox::{Broadcast, Mail, Mailbox};
use crate::sessions::{Blocks, Resource};

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
        let blocks = self.sessions.blocks(user.account.as_str());
        for turn in turns.iter().filter(|turn| turn.sending == Flow::Begins) {
            for (jid, presence) in &own {
                self.deliver_presence(jid, presence, turn.contact, &blocks);
            }
        }
        for parting in partings.iter().filter(|parting| parting.was_seen) {
            let watchers = self.watchers(parting.contact.account.as_str());
            self.take_back(&own, &parting.contact, &watchers);
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
            let gone = self.available(parting.contact.account.as_str());
            self.take_back(&gone, user, &watchers);
        }
    }

    /// Sends the current presence of `contact` to `watchers`, resources of
    /// `user`, if the contact's roster lets the user see it
    /// (RFC 6121, section 4.3.2).
    pub(crate) fn probe(&self, contact: &str, user: &User, watchers: &[Watcher]) {
        let Some(contact) = self.find(contact) else {
            return;
        };
        let own = self.sessions.blocks(user.account.as_str());
        let state = contact.state();
        if !state.sends_to(user.account.as_str()) {
            return;
        }
        let theirs = self.sessions.blocks(contact.account.as_str());
        for (jid, presence) in self.available(contact.account.as_str()) {
            if own.cover(&jid) {
                continue;
            }
            let broadcast = broadcast(&jid, &presence, &user.account.clone().into());
            for watcher in watchers.iter().filter(|it| !theirs.cover(&it.jid)) {
                let mail = Mail::Presence(broadcast.clone());
                watcher.mailbox.send(mail);
            }
        }
    }

    /// Shows `watchers` the user's other available resources
    /// (RFC 6121, section 4.2.2).
    pub(crate) fn show_own_resources(&self, user: &User, newcomer: &FullJid, watchers: &[Watcher]) {
        let account = Jid::from(user.account.clone());
        for (jid, presence) in self.available(user.account.as_str()) {
            if jid != *newcomer {
                let stanza = encode::presence(&presence, &jid.into(), &account);
                for watcher in watchers {
                    watcher.mailbox.send(Mail::Stanza(stanza.clone()));
                }
            }
        }
    }

    /// Sends `presence` to all available resources of `contact`, unless one of
    /// the two blocks the other; `blocks` are those of the sender.
    pub(crate) fn deliver_presence(
        &self,
        from: &FullJid,
        presence: &Presence,
        contact: &str,
        blocks: &Blocks,
    ) {
        self.show(from, presence, contact, |it| !blocks.cover(&it.jid));
    }

    /// Sends `presence` to those available resources of `contact` that `wanted`
    /// chooses, unless the contact blocks the sender. A user's own resources see
    /// each other, whatever they block.
    pub(crate) fn show(
        &self,
        from: &FullJid,
        presence: &Presence,
        contact: &str,
        wanted: impl Fn(&Resource) -> bool,
    ) {
        self.sessions.consider(contact, |resources, theirs| {
            let Some(to) = resources.first().map(|first| first.jid.to_bare()) else {
                return;
            };
            let own = to.node() == from.node() && to.domain() == from.domain();
            if !own && theirs.cover(from) {
                return;
            }
            let mut chosen = resources
                .iter()
                .filter(|it| it.available.is_some() && (own || wanted(it)))
                .peekable();
            if chosen.peek().is_none() {
                return;
            }
            let broadcast = broadcast(from, presence, &to.into());
            for resource in chosen {
                resource.mailbox.send(Mail::Presence(broadcast.clone()));
            }
        });
    }

    /// Takes `theirs`, resources of `contact`, out of sight of `watchers`,
    /// resources of `user`, as far as they were in it.
    pub(crate) fn hide(
        &self,
        theirs: &[(FullJid, Arc<Presence>)],
        contact: &str,
        user: &User,
        watchers: &[Watcher],
    ) {
        let shown = self
            .find(contact)
            .is_some_and(|contact| contact.state().sends_to(user.account.as_str()));
        if shown {
            take_away(theirs, user, watchers);
        }
    }

    /// The available resources of an account, with their last presence.
    pub(crate) fn available(&self, account: &str) -> Vec<(FullJid, Arc<Presence>)> {
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

    /// An account's available resources.
    pub(crate) fn watchers(&self, account: &str) -> Vec<Watcher> {
        self.sessions.look(account, |resources| {
            resources
                .iter()
                .filter(|resource| resource.available.is_some())
                .map(Watcher::of)
                .collect()
        })
    }

    /// Tells `watchers`, resources of `user`, that the resources in `gone` are
    /// no longer available. Not subject to the check of the receiver's roster,
    /// which may have dropped the contact already.
    fn take_back(&self, gone: &[(FullJid, Arc<Presence>)], user: &User, watchers: &[Watcher]) {
        // Who is blocked has been taken away already.
        let blocks = self.sessions.blocks(user.account.as_str());
        let mut gone = gone.to_vec();
        gone.retain(|(jid, _)| !blocks.cover(jid));
        take_away(&gone, user, watchers);
    }
}

fn take_away(gone: &[(FullJid, Arc<Presence>)], user: &User, watchers: &[Watcher]) {
    let to = Jid::from(user.account.clone());
    for (jid, _) in gone {
        let stanza = encode::presence(&Presence::unavailable(), &jid.clone().into(), &to);
        for watcher in watchers {
            watcher.mailbox.send(Mail::Stanza(stanza.clone()));
        }
    }
}

/// An available resource that is shown somebody's presence.
pub(crate) struct Watcher {
    pub(crate) jid: FullJid,
    pub(crate) mailbox: Mailbox,
}

impl Watcher {
    pub(crate) fn of(resource: &Resource) -> Watcher {
        Watcher {
            jid: resource.jid.clone(),
            mailbox: resource.mailbox.clone(),
        }
    }
}

fn broadcast(from: &FullJid, presence: &Presence, to: &Jid) -> Broadcast {
    let stanza = encode::presence(presence, &from.clone().into(), to);
    let ends = presence.type_ == PresenceType::Unavailable;
    Broadcast::new(from.clone(), ends, stanza)
}
