//! The mailbox of one bound resource: how the rest of the server speaks to a
//! connection task.
//!
//! Owns the bounds (messages and bytes) and what happens when they are
//! exceeded: the stream is closed, and whoever sent never waits. Of the
//! presence of one resource that waits, only the last word is kept. Does not
//! own the stream or its encoding; rosters travel as shared snapshots and are
//! written by the receiving connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use muster_xmpp::FullJid;
use muster_xmpp::error::{StanzaError, StreamError};
use muster_xmpp::roster::Snapshot;
use muster_xmpp::session::Worth;
use parking_lot::Mutex;

use crate::telemetry;

/// What a connection is told.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A stanza for this resource, complete and stamped: write it as it is.
    Stanza(Bytes),
    /// A message from somebody, which may have to find another end if this
    /// session's client never gets it.
    Message {
        /// The complete stanza.
        stanza: Bytes,
        /// Who else got it.
        worth: Worth,
    },
    /// Presence that a contact broadcast. Written only while the receiver's
    /// own roster still says that the receiver sees that contact.
    Presence(Broadcast),
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
            Mail::Stanza(stanza) | Mail::Message { stanza, .. } => stanza.len(),
            Mail::Presence(broadcast) => broadcast.0.stanza.len(),
            Mail::Roster { id, .. } | Mail::RosterFailed { id, .. } => id.len(),
            Mail::Pushes { .. } | Mail::Close(_) => 0,
        }
    }
}

/// Presence on its way to many. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Broadcast(Arc<Shown>, u64);

#[derive(Debug)]
struct Shown {
    from: FullJid,
    /// It says that the resource is no longer available.
    ends: bool,
    stanza: Bytes,
}

impl Broadcast {
    /// The complete stanza that tells of `from` that it is available, or that
    /// it `ends`.
    pub(crate) fn new(from: FullJid, ends: bool, stanza: Bytes) -> Broadcast {
        // To be told apart without following the handle; equal by chance is
        // possible.
        let mut hasher = DefaultHasher::new();
        from.hash(&mut hasher);
        let shown = Shown { from, ends, stanza };
        Broadcast(Arc::new(shown), hasher.finish())
    }

    /// The resource that it tells of.
    pub(crate) fn from(&self) -> &FullJid {
        &self.0.from
    }

    /// What is to be written.
    pub(crate) fn into_stanza(self) -> Bytes {
        self.0.stanza.clone()
    }

    fn is_of_same(&self, other: &Broadcast) -> bool {
        self.1 == other.1 && self.0.from == other.0.from
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
    /// One of the mails closes the stream.
    closing: bool,
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
    /// Puts `mail` in. False when the stream is gone or was given up because a
    /// bound was exceeded. The one mail that exceeds it is still taken in, and
    /// finds its end with the others that wait.
    pub(crate) fn send(&self, mail: Mail) -> bool {
        let mut queue = self.0.queue.lock();
        if queue.state != State::Open {
            return false;
        }
        if let Mail::Presence(news) = &mail {
            queue.supersede(news);
        }
        if queue.fits(&mail, self.0.limits) {
            queue.closing |= matches!(mail, Mail::Close(_));
        } else {
            metrics::counter!("muster_mailbox_overflows_total").increment(1);
            queue.state = State::Overflowed;
        }
        queue.bytes += mail.bytes();
        queue.mails.push_back(mail);
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// Whether so much room is left that one who does not read at once is not
    /// given up for one mail more.
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.0.queue.lock();
        queue.mails.len() * 2 < self.0.limits.messages && queue.bytes * 2 < self.0.limits.bytes
    }
}

impl Inbox {
    /// The next mail. `None` when a bound was exceeded: the stream must close.
    ///
    /// Cancel safe: a mail is either returned or still waiting.
    pub(crate) async fn receive(&mut self) -> Option<Mail> {
        poll_fn(|cx| {
            let mut queue = self.0.queue.lock();
            if queue.state != State::Open {
                return Poll::Ready(None);
            }
            match queue.take() {
                None => queue.wait(cx),
                mail => Poll::Ready(mail),
            }
        })
        .await
    }

    /// Waits until the stream must close, for a receiver that cannot take more
    /// mail: returns with which error, or `None` when a bound was exceeded.
    ///
    /// Cancel safe.
    pub(crate) async fn ended(&self) -> Option<StreamError> {
        poll_fn(|cx| {
            let mut queue = self.0.queue.lock();
            if queue.state != State::Open {
                return Poll::Ready(None);
            }
            if !queue.closing {
                return queue.wait(cx);
            }
            Poll::Ready(queue.mails.iter().find_map(|mail| match mail {
                Mail::Close(error) => Some(error.clone()),
                _ => None,
            }))
        })
        .await
    }

    /// The next mail if one waits already and the stream goes on.
    pub(crate) fn try_receive(&mut self) -> Option<Mail> {
        let mut queue = self.0.queue.lock();
        (queue.state == State::Open).then(|| queue.take()).flatten()
    }

    /// Everything that waits; nothing more can be put in.
    pub(crate) fn empty(self) -> VecDeque<Mail> {
        let mut queue = self.0.queue.lock();
        queue.state = State::Closed;
        queue.bytes = 0;
        std::mem::take(&mut queue.mails)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.state = State::Closed;
        queue.bytes = 0;
        queue.mails = VecDeque::new();
    }
}

impl Queue {
    /// A single stanza larger than the bound still passes an empty mailbox.
    fn fits(&self, mail: &Mail, limits: MailboxLimits) -> bool {
        self.mails.len() < limits.messages.max(1)
            && (self.bytes == 0 || self.bytes + mail.bytes() <= limits.bytes)
    }

    /// Takes out what `news` makes obsolete, so that a contact who changes its
    /// presence often costs a slow reader one mail. The end of a resource's
    /// presence is news of its own: what begins after it does not hide it. So at
    /// most two mails of a resource wait: its end, and its new beginning.
    fn supersede(&mut self, news: &Broadcast) {
        for at in (0..self.mails.len()).rev() {
            let Some(Mail::Presence(old)) = self.mails.get(at) else {
                continue;
            };
            if !old.is_of_same(news) {
                continue;
            }
            let ends = old.0.ends;
            if ends && !news.0.ends {
                return;
            }
            if let Some(old) = self.mails.remove(at) {
                self.bytes -= old.bytes();
                telemetry::presence_coalesced();
            }
            if ends || !news.0.ends {
                return;
            }
        }
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
}

#[cfg(test)]
mod tests;
