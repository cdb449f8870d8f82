//! A bound resource, as its connection holds it: what others send to it, and
//! how that is written.

use bytes::BytesMut;
use muster_xmpp::stanza::StanzaKind;
use muster_xmpp::{BareJid, Jid, encode, roster};

use crate::mailbox::{Inbox, Mail};
use crate::registration::Registration;
use crate::rosters::User;

/// A bound resource, as its connection holds it.
pub(super) struct Bound {
    pub(super) registration: Registration,
    pub(super) inbox: Inbox,
    /// Pushes so far: each has an id of its own on this stream.
    pushes: u64,
}

impl Bound {
    pub(super) fn new(registration: Registration, inbox: Inbox) -> Bound {
        Bound {
            registration,
            inbox,
            pushes: 0,
        }
    }

    /// Encodes `mail` for this resource.
    pub(super) fn write(&mut self, mail: Mail, output: &mut BytesMut) {
        let jid = self.registration.jid();
        match mail {
            Mail::Stanza(stanza) => output.extend_from_slice(&stanza),
            Mail::Presence { from, stanza } => {
                if may_see(self.registration.user(), &from) {
                    output.extend_from_slice(&stanza);
                }
            }
            Mail::Roster {
                id,
                known,
                snapshot,
            } => {
                let to = Jid::from(jid.clone());
                output.extend_from_slice(&roster::encode_result(
                    &snapshot,
                    &id,
                    known.as_deref(),
                    &to,
                ));
            }
            Mail::RosterFailed { id, error } => {
                let to = Jid::from(jid.clone());
                output.extend_from_slice(&encode::error_reply(
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
                    output.extend_from_slice(&roster::encode_push(&change, new.ver(), &id, &to));
                    metrics::counter!("muster_roster_pushes_total").increment(1);
                }
            }
            // `take` ends the stream instead.
            Mail::Close(_) => {}
        }
    }
}

/// The receiver's side of the agreement about presence: its own roster must
/// say that it sees the sender, at the moment at which it is written.
fn may_see(user: &User, from: &BareJid) -> bool {
    *from == user.account || user.state().sees(from.as_str())
}
