//! HTTP requests of one BOSH session on one side, the session machine on the
//! other (XEP-0124, XEP-0206).
//!
//! Owns the queue by which the HTTP side hands requests over, and the timer of
//! their answers. The rules are those of [`muster_xmpp::bosh`].

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use muster_xmpp::bosh::{Beginning, Body, End, Input, Limits, Machine};
use muster_xmpp::session::Session;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

use super::{HungUp, OUTPUT_HIGH_WATER};

/// Requests that may wait for the session's task to look at them; whoever sends
/// more waits.
const QUEUE: usize = 4;

/// A request and where its answer goes. It is answered when it is dropped
/// unanswered as well: there is no such session any more.
pub(crate) struct Request {
    pub(crate) body: Body,
    pub(crate) answer: oneshot::Sender<Bytes>,
}

/// How requests get to a session.
#[derive(Clone)]
pub(crate) struct Requests {
    /// Boxed: the queue has room for many at once.
    queue: mpsc::Sender<Box<Request>>,
    bound: Arc<AtomicBool>,
}

impl Requests {
    /// Hands `request` to the session; waits while others wait before it.
    ///
    /// # Errors
    /// The session is over.
    pub(crate) async fn hand_over(&self, request: Request) -> Result<(), HungUp> {
        let handed = self.queue.send(Box::new(request)).await;
        handed.map_err(|_| HungUp)
    }

    /// Whether the session has logged in and bound a resource.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Relaxed)
    }

    /// For tests of those who only keep it.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> Requests {
        Requests {
            queue: mpsc::channel(1).0,
            bound: Arc::default(),
        }
    }
}

/// A client that sends HTTP requests.
pub(crate) struct Bosh {
    machine: Machine<oneshot::Sender<Bytes>>,
    requests: mpsc::Receiver<Box<Request>>,
    bound: Arc<AtomicBool>,
    /// For the machine's next deadline.
    timer: Pin<Box<Sleep>>,
}

impl Bosh {
    /// A session as `request` asks for it, and how further requests get to it.
    pub(crate) fn new(limits: &Limits, beginning: Beginning, request: Request) -> (Bosh, Requests) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let bound = Arc::new(AtomicBool::new(false));
        let Request { body, answer } = request;
        let bosh = Bosh {
            machine: Machine::new(limits, beginning, body, answer, Instant::now()),
            requests,
            bound: Arc::clone(&bound),
            timer: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
        };
        (bosh, Requests { queue, bound })
    }

    /// As [`super::Transport::transfer`].
    pub(super) fn transfer(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        read: bool,
    ) -> Poll<Result<(), HungUp>> {
        loop {
            self.receive(cx);
            if session.jid().is_some() {
                self.bound.store(true, Ordering::Relaxed);
            }
            if read
                && session.wants_read()
                && let Some(input) = self.machine.next_input()
            {
                match input {
                    Input::Open(open) => session.open(open),
                    Input::Content(content) => session.receive_frame(&content),
                    Input::End => session.close(None),
                }
                return Poll::Ready(Ok(()));
            }
            let congested = session.output().len() >= OUTPUT_HIGH_WATER;
            self.collect(session);
            self.answer();
            if self.machine.is_done() || self.machine.is_abandoned(Instant::now()) {
                let condition = self.machine.ended().and_then(End::condition);
                let condition = condition.unwrap_or("inactive");
                metrics::counter!("muster_bosh_sessions_ended_total", "condition" => condition)
                    .increment(1);
                tracing::debug!(condition, "a BOSH session ended");
                return Poll::Ready(Err(HungUp));
            }
            if congested && session.output().len() < OUTPUT_HIGH_WATER {
                return Poll::Ready(Ok(()));
            }
            ready!(self.wait(cx));
        }
    }

    /// Tells the client why its session is over, with its next request if need
    /// be.
    pub(super) async fn finish(&mut self, session: &mut Session) -> Result<(), HungUp> {
        while let Some(frame) = session.output().frame() {
            self.machine.send(frame);
        }
        let end = session.error().cloned().map_or(End::Orderly, End::from);
        let condition = end.condition().unwrap_or("orderly");
        metrics::counter!("muster_bosh_sessions_ended_total", "condition" => condition)
            .increment(1);
        self.machine.end(end);
        poll_fn(|cx| {
            self.receive(cx);
            self.answer();
            match self.machine.is_done() {
                true => Poll::Ready(Ok(())),
                // The next request wakes this up.
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Takes what the HTTP side has.
    fn receive(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(request)) = self.requests.poll_recv(cx) {
            let Request { body, answer } = *request;
            self.machine.receive(body, answer, Instant::now());
        }
    }

    /// Takes what the session has to say, while it is not too much.
    fn collect(&mut self, session: &mut Session) {
        while self.machine.backlog() < OUTPUT_HIGH_WATER
            && let Some(frame) = session.output().frame()
        {
            self.machine.send(frame);
        }
    }

    fn answer(&mut self) {
        while let Some((answer, body)) = self.machine.poll(Instant::now()) {
            // If nobody listens any more, the client asks again and gets the
            // machine's copy.
            let _ = answer.send(body);
        }
    }

    /// Ready at the machine's next deadline.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.machine.deadline() else {
            return Poll::Pending;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx)
    }
}
