//! What a changed roster means for presence (RFC 6121, section 4, as far as a
//! roster that is administered elsewhere goes).
//!
//! Presence passes from one user to another only while the sender's roster
//! says `from` or `both` and the receiver's says `to` or `both`. The sender's
//! side is decided here and in `presence`, under the sender's state lock; the
//! receiver's side by the receiver's connection when it takes the mail.

use std::sync::Arc;

use muster_xmpp::encode;
use muster_xmpp::roster::{Change, Snapshot, Subscription};
use muster_xmpp::stanza::Presence;
use muster_xmpp::{BareJid, FullJid, Jid};

use super::{Rosters, User};
use crate::mailbox::{Mail, Mailbox};
use crate::sessions::Resource;

/// A change's subscriptions, before and after.
struct Turnabout<'a> {
    contact: &'a str,
    was: Subscription,
    is: Subscription,
}

fn turnabouts<'a>(old: &'a Snapshot, changes: &'a [Change<'a>]) -> impl Iterator<Item = Turnabout<'a>> {
    let subscription = |snapshot: &Snapshot, jid: &BareJid| snapshot.get(jid).map_or(Subscription::None, |item| item.subscription());
    changes.iter().map(move |change| {
        let item = change.item();
        let (was, is) = match change {
            Change::Added(_) => (Subscription::None, item.subscription()),
            Change::Removed(_) => (item.subscription(), Subscription::None),
            Change::Changed(_) => {
                let was = item.to_bare().map_or(Subscription::None, |jid| subscription(old, &jid));
                (was, item.subscription())
            }
        };
        Turnabout { contact: item.jid(), was, is }
    })
}

impl Rosters {
    /// Tells the contacts who now see the user that the user is here, and
    /// those who no longer do that the user is gone. Called under the user's
    /// state lock, so that no broadcast of the user comes in between.
    pub(super) fn exchange_sending(&self, user: &User, old: &Snapshot, changes: &[Change<'_>]) {
        let own = self.available(user.account.as_str());
        if own.is_empty() {
            return;
        }
        for turnabout in turnabouts(old, changes) {
            let begins = match (turnabout.was.from(), turnabout.is.from()) {
                (false, true) => true,
                (true, false) => false,
                _ => continue,
            };
            for (jid, presence) in &own {
                let gone;
                let presence = if begins {
                    presence
                } else {
                    gone = Presence::unavailable();
                    &gone
                };
                self.deliver_presence(jid, presence, turnabout.contact);
            }
        }
    }

    /// Shows the user the contacts who came into sight, and takes away those
    /// who went out of it. Called without any lock: it looks at one contact's
    /// state after the other. The user's fetch turn keeps later changes of
    /// the same roster behind it.
    pub(super) fn exchange_seeing(&self, user: &User, old: &Snapshot, changes: &[Change<'_>]) {
        let watchers = self.watchers(user.account.as_str());
        if watchers.is_empty() {
            return;
        }
        for turnabout in turnabouts(old, changes) {
            match (turnabout.was.to(), turnabout.is.to()) {
                (false, true) => self.probe(turnabout.contact, user, &watchers),
                (true, false) => self.hide(turnabout.contact, user, &watchers),
                _ => {}
            }
        }
    }

    /// Sends the current presence of `contact` to `watchers`, resources of
    /// `user`, if the contact's roster lets the user see it
    /// (RFC 6121, section 4.3.2).
    pub(crate) fn probe(&self, contact: &str, user: &User, watchers: &[Mailbox]) {
        let Some(contact) = self.find(contact) else { return };
        let state = contact.state();
        if !state.sends_to(&user.account) {
            return;
        }
        for (jid, presence) in self.available(contact.account.as_str()) {
            let stanza = encode::presence(&presence, &jid.into(), &user.account.clone().into());
            for watcher in watchers {
                watcher.send(Mail::Presence { from: contact.account.clone(), stanza: stanza.clone() });
            }
        }
    }

    /// Tells `watchers`, resources of `user`, that every resource of `contact`
    /// that they could see is gone. Not subject to the check of the receiver's
    /// roster, which no longer has the contact.
    fn hide(&self, contact: &str, user: &User, watchers: &[Mailbox]) {
        let Some(contact) = self.find(contact) else { return };
        let state = contact.state();
        if !state.sends_to(&user.account) {
            return;
        }
        for (jid, _) in self.available(contact.account.as_str()) {
            let stanza = encode::presence(&Presence::unavailable(), &jid.into(), &user.account.clone().into());
            for watcher in watchers {
                watcher.send(Mail::Stanza(stanza.clone()));
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
        let sender = from.to_bare();
        self.sessions.look(contact, |resources| {
            let mut available = resources.iter().filter(|resource| resource.available.is_some()).peekable();
            let Some(first) = available.peek() else { return };
            let to = Jid::from(first.jid.to_bare());
            let stanza = encode::presence(presence, &from.clone().into(), &to);
            for resource in available {
                resource.mailbox.send(Mail::Presence { from: sender.clone(), stanza: stanza.clone() });
            }
        });
    }

    /// The available resources of an account, with their last presence.
    fn available(&self, account: &str) -> Vec<(FullJid, Arc<Presence>)> {
        self.sessions.look(account, |resources| {
            let available = |resource: &Resource| Some((resource.jid.clone(), Arc::clone(resource.available.as_ref()?)));
            resources.iter().filter_map(available).collect()
        })
    }

    /// The mailboxes of an account's available resources.
    fn watchers(&self, account: &str) -> Vec<Mailbox> {
        self.sessions.look(account, |resources| {
            resources.iter().filter(|resource| resource.available.is_some()).map(|resource| resource.mailbox.clone()).collect()
        })
    }
}
