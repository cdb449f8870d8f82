//! The calls of one store, seen from inside and from outside of it.
//!
//! Both sides run in one task and take turns, so the lock is never contended;
//! it is there because the two sides are two futures. It is never held across
//! an await.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tracing::Span;

use super::{Job, Reply};
use crate::kind::{Answer, Question};
use crate::roster::PluginFault;

/// Names a call within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(usize);

/// A call that begins.
pub(crate) struct Begun {
    pub(crate) ticket: Ticket,
    pub(crate) question: Question,
    pub(crate) span: Span,
}

#[derive(Default)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// On its way in.
    handed_in: Option<Job>,
    open: HashMap<Ticket, Open>,
    /// No deadline of an open call is before this; it may be that of a call
    /// that has finished.
    next_deadline: Option<Instant>,
    begun: usize,
    stuck: bool,
    polled: bool,
}

struct Open {
    reply: Reply,
    deadline: Instant,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // From outside.

    /// Hands a job in; the inside takes it when it is polled next.
    pub(crate) fn hand_in(&self, job: Job) {
        self.pages().handed_in = Some(job);
    }

    /// Takes back a job that the inside has not begun.
    pub(crate) fn recall(&self) -> Option<Job> {
        self.pages().handed_in.take()
    }

    /// Whether the inside was polled since the last question. A guest that
    /// computes or blocks keeps it from that.
    pub(crate) fn was_polled(&self) -> bool {
        std::mem::take(&mut self.pages().polled)
    }

    /// Answers the calls whose time is over. They go on inside, unheard.
    pub(crate) fn expire(&self, now: Instant) {
        let mut pages = self.pages();
        if pages.next_deadline.is_none_or(|next| now < next) {
            return;
        }
        let expired = pages.open.extract_if(|_, call| call.deadline <= now);
        let expired: Vec<_> = expired.map(|(_, call)| call.reply).collect();
        pages.stuck |= !expired.is_empty();
        pages.next_deadline = pages.open.values().map(|call| call.deadline).min();
        drop(pages);
        for reply in expired {
            let _ = reply.send(Err(PluginFault::Stuck));
        }
    }

    /// When to look whose time is over: not after the first deadline of an
    /// open call. It stays as calls come and go, so that the timer may.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pages().next_deadline
    }

    /// Calls that somebody waits for.
    pub(crate) fn open(&self) -> usize {
        let pages = self.pages();
        pages.open.len() + usize::from(pages.handed_in.is_some())
    }

    /// Calls that have begun since the store was made.
    pub(crate) fn begun(&self) -> usize {
        self.pages().begun
    }

    /// Whether a call has run out of time.
    pub(crate) fn stuck(&self) -> bool {
        self.pages().stuck
    }

    /// Answers everyone with the fault that ended the store.
    pub(crate) fn fail(&self, fault: PluginFault) {
        let (open, handed_in) = {
            let mut pages = self.pages();
            (std::mem::take(&mut pages.open), pages.handed_in.take())
        };
        let replies = open.into_values().map(|call| call.reply);
        for reply in replies.chain(handed_in.map(|job| job.reply)) {
            let _ = reply.send(Err(fault));
        }
    }

    // From inside.

    /// Begins the job that was handed in.
    pub(crate) fn begin(&self) -> Option<Begun> {
        let mut pages = self.pages();
        pages.polled = true;
        let job = pages.handed_in.take()?;
        let ticket = Ticket(pages.begun);
        pages.begun += 1;
        let (reply, deadline) = (job.reply, job.deadline);
        let next = pages
            .next_deadline
            .map_or(deadline, |next| next.min(deadline));
        pages.next_deadline = Some(next);
        pages.open.insert(ticket, Open { reply, deadline });
        Some(Begun {
            ticket,
            question: job.question,
            span: job.span,
        })
    }

    /// Answers a call.
    pub(crate) fn finish(&self, ticket: Ticket, answer: Answer) {
        let open = self.pages().open.remove(&ticket);
        if let Some(call) = open {
            let _ = call.reply.send(Ok(answer));
        }
    }
}
