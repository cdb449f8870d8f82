//! The mailbox of one bound resource: how the rest of the server speaks to a
//! connection task.
//!
//! Owns the bounds (messages and bytes) and what happens when they are
//! exceeded: the stream is closed, and whoever sent never waits. Does not own the stream or its encoding;
//! rosters and presences travel as shared snapshots and are written by the
//! receiving connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use muster_xmpp::BareJid;
use muster_xmpp::error::{StanzaError, StreamError};
use muster_xmpp::roster::Snapshot;
use parking_lot::Mutex;

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
pub(crate) struct Mailbox(Arc<Shared>);

/// The receiving side, owned by the connection task.
#[derive(Debug)]
pub(crate) struct Inbox(Arc<Shared>);

/// Not a channel of tokio's: that one holds room for 32 mails for as long as
/// it lives, and most clients are idle most of the time.
#[derive(Debug)]
struct Shared {
    limits: MailboxLimits,
    /// The innermost lock: held for one mail in or out.
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    mails: VecDeque<Mail>,
    /// Of the mails that wait.
    bytes: usize,
    state: State,
    /// The connection task, while it waits for mail or for the overflow.
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// A bound was exceeded.
    Overflowed,
    /// There is no inbox any more.
    Closed,
}

/// Room for mails that an empty mailbox keeps.
const ROOM_KEPT: usize = 4;

/// A mailbox and its inbox.
pub(crate) fn mailbox(limits: MailboxLimits) -> (Mailbox, Inbox) {
    let queue = Mutex::default();
    let shared = Arc::new(Shared { limits, queue });
    (Mailbox(Arc::clone(&shared)), Inbox(shared))
}

impl Mailbox {
    /// Puts `mail` in. False when the stream is gone or has just been given
    /// up because a bound was reached; the mail is then lost with the stream.
    pub(crate) fn send(&self, mail: Mail) -> bool {
        let mut queue = self.0.queue.lock();
        if queue.state != State::Open {
            return false;
        }
        let fits = queue.fits(&mail, self.0.limits);
        if fits {
            queue.bytes += mail.bytes();
            queue.mails.push_back(mail);
        } else {
            metrics::counter!("muster_mailbox_overflows_total").increment(1);
            queue.end(State::Overflowed);
        }
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
        fits
    }
}

impl Inbox {
    /// The next mail. `None` when a bound was exceeded: the stream must close.
    ///
    /// Cancel safe: a mail is either returned or still waiting.
    pub(crate) async fn receive(&mut self) -> Option<Mail> {
        poll_fn(|cx| {
            let mut queue = self.0.queue.lock();
            match queue.take() {
                None if queue.state == State::Open => queue.wait(cx),
                mail => Poll::Ready(mail),
            }
        })
        .await
    }

    /// Waits until a bound is exceeded; for a receiver that cannot take more.
    pub(crate) async fn overflowed(&self) {
        poll_fn(|cx| {
            let mut queue = self.0.queue.lock();
            match queue.state {
                State::Open => queue.wait(cx),
                State::Overflowed | State::Closed => Poll::Ready(()),
            }
        })
        .await;
    }

    /// The next mail if one waits already.
    pub(crate) fn try_receive(&mut self) -> Option<Mail> {
        self.0.queue.lock().take()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.0.queue.lock().end(State::Closed);
    }
}

impl Queue {
    /// A single stanza larger than the bound still passes an empty mailbox.
    fn fits(&self, mail: &Mail, limits: MailboxLimits) -> bool {
        self.mails.len() < limits.messages.max(1)
            && (self.bytes == 0 || self.bytes + mail.bytes() <= limits.bytes)
    }

    fn take(&mut self) -> Option<Mail> {
        let mail = self.mails.pop_front()?;
        self.bytes -= mail.bytes();
        if self.mails.is_empty() {
            self.mails.shrink_to(ROOM_KEPT);
        }
        Some(mail)
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// What waits is lost with the stream.
    fn end(&mut self, state: State) {
        self.state = state;
        self.mails = VecDeque::new();
        self.bytes = 0;
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
