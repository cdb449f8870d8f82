//! What a session leaves behind: stanzas that its client never got, or never
//! acknowledged.
//!
//! Owns what becomes of them. A message that nobody else got goes to the
//! account's other resources; if none is left to take it, it is kept for the
//! account, or comes back to its sender. A request comes back as well.
//! Everything else was of the moment.

use std::sync::Arc;

use bytes::Bytes;
use muster_xmpp::encode::{self, Head};
use muster_xmpp::error::StanzaError;
use muster_xmpp::session::Worth;
use muster_xmpp::stanza::StanzaKind;
use muster_xmpp::{BareJid, FullJid, Jid};

use crate::mailbox::Mail;
use crate::offline::Offline;
use crate::sessions::Sessions;

/// What one session leaves behind, in the order in which it was to be said.
#[derive(Debug)]
pub(crate) struct Left {
    /// The resource, which is bound no longer, or not by this session.
    pub(crate) jid: FullJid,
    pub(crate) stanzas: Vec<(Bytes, Worth)>,
}

impl Left {
    pub(crate) fn is_empty(&self) -> bool {
        self.stanzas.is_empty()
    }
}

/// Finds another end for what was not delivered.
pub(crate) struct Undelivered {
    sessions: Arc<Sessions>,
    offline: Arc<Offline>,
}

impl Undelivered {
    pub(crate) fn new(sessions: Arc<Sessions>, offline: Arc<Offline>) -> Undelivered {
        Undelivered { sessions, offline }
    }

    /// Takes care of what a session left behind.
    pub(crate) async fn settle(&self, left: Left) {
        let account = left.jid.to_bare();
        for (stanza, worth) in left.stanzas {
            let Some(head) = Head::of(&stanza) else {
                continue;
            };
            // Those who get something back have time to take it.
            tokio::task::yield_now().await;
            match (head.kind, head.type_.as_deref()) {
                (StanzaKind::Iq, Some("get" | "set")) => {
                    self.send_back(&head, &StanzaError::SERVICE_UNAVAILABLE);
                }
                (StanzaKind::Message, None | Some("chat"))
                    if worth != Worth::Passing
                        && !self.others_have(account.as_str(), &stanza, worth) =>
                {
                    metrics::counter!("muster_messages_undelivered_total").increment(1);
                    self.keep(account.clone(), &stanza, &head).await;
                }
                _ => {}
            }
        }
    }

    /// Whether other resources of the account take the message, or have it
    /// already.
    fn others_have(&self, account: &str, stanza: &Bytes, worth: Worth) -> bool {
        self.sessions.look(account, |resources| {
            let takers = || resources.iter().filter(|it| it.takes_messages());
            let count = takers().count();
            if worth == Worth::Sole {
                for resource in takers() {
                    resource.mailbox.send(Mail::Message {
                        stanza: stanza.clone(),
                        worth: Worth::among(count),
                    });
                }
            }
            count > 0
        })
    }

    /// Keeps a message until somebody of the account comes.
    async fn keep(&self, account: BareJid, stanza: &Bytes, head: &Head<'_>) {
        let Some(message) = head.message() else {
            return;
        };
        let kept = match self.offline.returned(account, &message, stanza) {
            Ok(Some(letter)) => Arc::clone(&self.offline).keep(letter).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            self.send_back(head, &error);
        }
    }

    /// Tells the sender, a resource of this server, that it was in vain.
    fn send_back(&self, head: &Head<'_>, error: &StanzaError) {
        let (Some(from), to) = (&head.from, &head.to) else {
            return;
        };
        // What the server itself says comes from no resource.
        let Ok(sender) = FullJid::new(from) else {
            return;
        };
        let recipient = to.as_deref().and_then(|to| Jid::new(to).ok());
        let error = encode::error_reply(
            head.kind,
            head.id.as_deref(),
            recipient.as_ref(),
            Some(&sender.clone().into()),
            error,
        );
        self.sessions.look(sender.to_bare().as_str(), |resources| {
            let resource = resources.iter().find(|it| it.jid == sender);
            // A sender must not be given up for what comes back to it.
            if let Some(resource) = resource.filter(|it| it.mailbox.has_room()) {
                resource.mailbox.send(Mail::Stanza(error));
            }
        });
    }
}
