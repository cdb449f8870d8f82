//! A bound resource, as its connection holds it: what others send to it, and
//! how that is written.

use muster_xmpp::session::{Session, Worth};
use muster_xmpp::stanza::StanzaKind;
use muster_xmpp::{FullJid, Jid, encode, roster};

use super::backlog::Backlog;
use crate::mailbox::{Inbox, Mail};
use crate::registration::Registration;
use crate::rosters::User;
use crate::telemetry::{self, Carried};
use crate::undelivered::Left;

/// A bound resource, as its connection holds it.
pub(super) struct Bound {
    pub(super) registration: Registration,
    pub(super) inbox: Inbox,
    /// What goes before anything in the inbox. Dropped after the registration,
    /// since what is left of it is for the user's other resources.
    pub(super) backlog: Option<Backlog>,
    /// By what, for the metrics.
    pub(super) carried: Carried,
    /// Pushes so far: each has an id of its own on this stream.
    pushes: u64,
}

impl Bound {
    pub(super) fn new(registration: Registration, inbox: Inbox, carried: Carried) -> Bound {
        Bound {
            registration,
            inbox,
            carried,
            backlog: None,
            pushes: 0,
        }
    }

    /// Says `mail` to the client.
    pub(super) fn write(&mut self, mail: Mail, session: &mut Session) {
        let jid = self.registration.jid();
        match mail {
            Mail::Stanza(stanza) => session.send(stanza),
            Mail::Message { stanza, worth } => session.deliver(stanza, worth),
            Mail::Presence(broadcast) => {
                if may_see(self.registration.user(), broadcast.from()) {
                    session.send(broadcast.into_stanza());
                }
            }
            Mail::Roster {
                id,
                known,
                snapshot,
            } => {
                let to = Jid::from(jid.clone());
                session.send(roster::encode_result(&snapshot, &id, known.as_deref(), &to));
            }
            Mail::RosterFailed { id, error } => {
                let to = Jid::from(jid.clone());
                session.send(encode::error_reply(
                    StanzaKind::Iq,
                    Some(&id),
                    None,
                    Some(&to),
                    &error,
                ));
            }
            Mail::Pushes { old, new } => {
                let to = Jid::from(jid.clone());
                for change in roster::diff(&old, &new) {
                    self.pushes += 1;
                    let id = format!("push-{}", self.pushes);
                    session.send(roster::encode_push(&change, new.ver(), &id, &to));
                    telemetry::pushed(&change);
                }
            }
            // `take` ends the stream instead.
            Mail::Close(_) => {}
        }
    }

    /// Takes the resource out, says its farewell, and returns what its client
    /// never got.
    pub(super) fn end(self, session: &mut Session) -> Left {
        let Bound {
            registration,
            inbox,
            ..
        } = self;
        let jid = registration.jid().clone();
        // From here on nobody finds the mailbox.
        drop(registration);
        let unacknowledged = session.take_unacknowledged().into_iter();
        let waiting = inbox.empty().into_iter().filter_map(|mail| match mail {
            Mail::Message { stanza, worth } => Some((stanza, worth)),
            Mail::Stanza(stanza) => Some((stanza, Worth::Passing)),
            _ => None,
        });
        Left {
            jid,
            stanzas: unacknowledged
                .map(|it| (it.stanza, it.worth))
                .chain(waiting)
                .collect(),
        }
    }
}

/// The receiver's side of the agreement about presence: its own roster must
/// say that it sees the sender, at the moment at which it is written.
fn may_see(user: &User, from: &FullJid) -> bool {
    let account = from.as_str().split('/').next().unwrap_or_default();
    account == user.account.as_str() || user.state().sees(account)
}
