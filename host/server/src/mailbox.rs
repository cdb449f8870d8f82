//! The mailbox of one bound resource: how the rest of the server speaks to a
//! connection task.
//!
//! Owns the bounds (messages and bytes) and what happens when they are
//! exceeded: the stream is closed, and whoever sent never waits (DESIGN
//! invariant: mailboxes are bounded). Does not own the stream or its encoding;
//! rosters and presences travel as shared snapshots and are written by the
//! receiving connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use muster_xmpp::BareJid;
use muster_xmpp::error::{StanzaError, StreamError};
use muster_xmpp::roster::Snapshot;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a connection is told.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A stanza for this resource, complete and stamped: write it as it is.
    Stanza(Bytes),
    /// Presence that a contact broadcast. Written only while the receiver's
    /// own roster still says that the receiver sees that contact.
    Presence {
        /// The account that sent it.
        from: BareJid,
        /// The complete stanza.
        stanza: Bytes,
    },
    /// The answer to this resource's roster get (RFC 6121, section 2.1.4).
    Roster {
        /// The id of the request.
        id: String,
        /// The version that the client says it holds: if it is the current
        /// one, the answer is empty (section 2.6.3).
        known: Option<String>,
        /// The roster.
        snapshot: Arc<Snapshot>,
    },
    /// The roster get failed; the session goes on.
    RosterFailed {
        /// The id of the request.
        id: String,
        /// What the client is told.
        error: StanzaError,
    },
    /// Roster pushes (section 2.1.6): one for each change that makes `new` of
    /// `old`. Shared with all interested resources of the user.
    Pushes {
        /// The roster that the client was told last.
        old: Arc<Snapshot>,
        /// The roster now.
        new: Arc<Snapshot>,
    },
    /// Close the stream with this error.
    Close(StreamError),
}

impl Mail {
    /// What this mail counts against the byte bound. Shared snapshots belong
    /// to the account, so only their handle counts.
    fn bytes(&self) -> usize {
        match self {
            Mail::Stanza(stanza) | Mail::Presence { stanza, .. } => stanza.len(),
            Mail::Roster { id, .. } | Mail::RosterFailed { id, .. } => id.len(),
            Mail::Pushes { .. } | Mail::Close(_) => 0,
        }
    }
}

/// The bounds of a mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MailboxLimits {
    /// Mails that may wait.
    pub(crate) messages: usize,
    /// Bytes of stanzas that may wait.
    pub(crate) bytes: usize,
}

/// The sending side. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    mails: mpsc::Sender<Mail>,
    waiting_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
    overflow: CancellationToken,
}

/// The receiving side, owned by the connection task.
#[derive(Debug)]
pub(crate) struct Inbox {
    mails: mpsc::Receiver<Mail>,
    waiting_bytes: Arc<AtomicUsize>,
    overflow: CancellationToken,
}

/// A mailbox and its inbox.
pub(crate) fn mailbox(limits: MailboxLimits) -> (Mailbox, Inbox) {
    let (sender, receiver) = mpsc::channel(limits.messages.max(1));
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    let overflow = CancellationToken::new();
    let inbox = Inbox {
        mails: receiver,
        waiting_bytes: Arc::clone(&waiting_bytes),
        overflow: overflow.clone(),
    };
    let mailbox = Mailbox {
        mails: sender,
        waiting_bytes,
        max_bytes: limits.bytes,
        overflow,
    };
    (mailbox, inbox)
}

impl Mailbox {
    /// Puts `mail` in. False when the stream is gone or has just been given
    /// up because a bound was reached; the mail is then lost with the stream.
    pub(crate) fn send(&self, mail: Mail) -> bool {
        let bytes = mail.bytes();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A single stanza larger than the bound still passes an empty mailbox.
        let fits = waiting == 0 || waiting + bytes <= self.max_bytes;
        if fits && !self.overflow.is_cancelled() {
            match self.mails.try_send(mail) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Full(_)) => self.give_up(),
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        } else {
            self.give_up();
        }
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    fn give_up(&self) {
        if !self.overflow.is_cancelled() {
            metrics::counter!("muster_mailbox_overflows_total").increment(1);
            self.overflow.cancel();
        }
    }
}

impl Inbox {
    /// The next mail. `None` when a bound was exceeded: the stream must close.
    ///
    /// Cancel safe: a mail is either returned or still waiting.
    pub(crate) async fn receive(&mut self) -> Option<Mail> {
        // A bound can only be exceeded while something waits, so there is no
        // need to listen for that as well.
        let mail = self.mails.recv().await?;
        self.taken(&mail);
        (!self.overflow.is_cancelled()).then_some(mail)
    }

    /// Waits until a bound is exceeded; for a receiver that cannot take more.
    pub(crate) async fn overflowed(&self) {
        self.overflow.cancelled().await;
    }

    /// The next mail if one waits already.
    pub(crate) fn try_receive(&mut self) -> Option<Mail> {
        let mail = self.mails.try_recv().ok()?;
        self.taken(&mail);
        Some(mail)
    }

    fn taken(&self, mail: &Mail) {
        self.waiting_bytes
            .fetch_sub(mail.bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(bytes: usize) -> Mail {
        Mail::Stanza(Bytes::from(vec![b'x'; bytes]))
    }

    #[tokio::test]
    async fn the_message_bound_closes_the_stream_and_never_waits() {
        let (mailbox, mut inbox) = mailbox(MailboxLimits {
            messages: 2,
            bytes: 1000,
        });
        assert!(mailbox.send(stanza(1)) && mailbox.send(stanza(1)));
        assert!(!mailbox.send(stanza(1)));
        assert!(inbox.receive().await.is_none());
        assert!(
            !mailbox.send(stanza(1)),
            "a stream that was given up takes nothing more"
        );
    }

    #[tokio::test]
    async fn the_byte_bound_counts_what_waits() {
        let (mailbox, mut inbox) = mailbox(MailboxLimits {
            messages: 10,
            bytes: 100,
        });
        assert!(mailbox.send(stanza(60)));
        assert!(inbox.receive().await.is_some());
        assert!(mailbox.send(stanza(60)), "what was taken counts no longer");
        assert!(!mailbox.send(stanza(60)));
        assert!(inbox.receive().await.is_none());
    }

    #[tokio::test]
    async fn one_large_stanza_passes_an_empty_mailbox() {
        let (mailbox, mut inbox) = mailbox(MailboxLimits {
            messages: 10,
            bytes: 100,
        });
        assert!(mailbox.send(stanza(500)));
        assert!(matches!(inbox.receive().await, Some(Mail::Stanza(bytes)) if bytes.len() == 500));
    }
}
