//! Another build beside the one that serves, on what passes there now.
//!
//! A listener of the serving plugin. Whatever the app has answered to that one
//! goes onto a tape, and each fetch that has ended is made again by the other
//! build in front of the tape: a replay with a delay of milliseconds. So the
//! shadow asks the app nothing, and nothing of it reaches anybody but the
//! report. It makes one call at a time; what comes faster is left out.
//!
//! Owns the bounds: calls that wait, bytes of these, of the tape and of the
//! report, users in the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use muster_plugin::{Candidate, Engine, FetchError, Fetched, Many, ManyError, Tap};
use parking_lot::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use crate::record::{Call, Settings, exchange};
use crate::replay::tape::Tape;
use crate::replay::{ReplayError, Replayed, Replayer, Terms, Verdict};

/// How much a shadow may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Calls that wait for it.
    pub waiting: usize,
    /// Bytes, by and large, of calls that wait, of answers that it may need,
    /// and of what it found; so many of each.
    pub bytes: usize,
    /// Users of whom differences are kept.
    pub users: usize,
}

/// What becomes of what a shadow hears, for whoever counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A fetch of one user was made again; in a word, what came of it.
    Compared(&'static str),
    /// Fetches of so many users were left out.
    LeftOut(usize),
    /// A bound was reached.
    Full(Full),
}

/// One of the [`Bounds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// [`Bounds::waiting`]
    Waiting,
    /// [`Bounds::bytes`]
    Bytes,
    /// [`Bounds::users`]
    Users,
}

/// What a shadow hears and finds.
pub struct Shadow {
    bounds: Bounds,
    clock: AtomicU64,
    left_out: AtomicU64,
    /// Bytes of the calls that wait.
    waiting_bytes: AtomicUsize,
    tape: Arc<Tape>,
    queue: Sender<Call>,
    // Held for moments, never across await.
    findings: Mutex<Findings>,
    tell: Box<dyn Fn(Event) + Send + Sync>,
}

#[derive(Default)]
struct Findings {
    report: Replayed,
    bytes: usize,
}

/// The other build, and what it has yet to look at.
pub struct Work {
    shadow: Arc<Shadow>,
    replayer: Replayer,
    calls: Receiver<Call>,
}

impl Shadow {
    /// Loads the other build. `tell` hears of all that becomes of what it hears.
    ///
    /// # Errors
    /// [`ReplayError`]: it is not taken, for the reasons for which it would not
    /// be taken to serve.
    pub async fn begin(
        engine: &Engine,
        candidate: Candidate,
        terms: Terms,
        bounds: Bounds,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<(Arc<Self>, Work), ReplayError> {
        let tape = Tape::new(Vec::new(), Settings::default());
        let replayer = Replayer::load(engine, candidate, terms, Arc::clone(&tape)).await?;
        let (queue, calls) = channel(bounds.waiting.max(1));
        let shadow = Arc::new(Self {
            bounds,
            clock: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            waiting_bytes: AtomicUsize::new(0),
            tape,
            queue,
            findings: Mutex::default(),
            tell: Box::new(tell),
        });
        let work = Work {
            shadow: Arc::clone(&shadow),
            replayer,
            calls,
        };
        Ok((shadow, work))
    }

    /// What was found so far.
    pub fn report(&self) -> Replayed {
        let report = self.findings.lock().report.clone();
        Replayed {
            left_out: self.left_out.load(Ordering::Relaxed),
            ..report
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts a call into the queue. Nobody waits for a shadow.
    fn hear(&self, call: Call) {
        let call = call.ended_at(self.tick());
        let (users, bytes) = (call.users(), call.bytes());
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let full = match waiting.saturating_add(bytes) > self.bounds.bytes {
            true => Full::Bytes,
            false => match self.queue.try_send(call) {
                Ok(()) => return,
                Err(_) => Full::Waiting,
            },
        };
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.leave_out(users, full);
    }

    fn leave_out(&self, users: usize, full: Full) {
        self.left_out.fetch_add(users as u64, Ordering::Relaxed);
        (self.tell)(Event::Full(full));
        (self.tell)(Event::LeftOut(users));
    }

    fn add(&self, username: &str, verdict: Verdict) {
        let label = verdict.label();
        let full = self.findings.lock().add(username, verdict, self.bounds);
        match full {
            Some(full) => self.leave_out(1, full),
            None => (self.tell)(Event::Compared(label)),
        }
    }
}

impl Findings {
    /// The bound for which it was left out, if it was.
    fn add(&mut self, username: &str, verdict: Verdict, bounds: Bounds) -> Option<Full> {
        let before = self.report.users.get(username).map(Verdict::bytes);
        if verdict != Verdict::Same {
            if before.is_none() && self.report.users.len() >= bounds.users {
                return Some(Full::Users);
            }
            let others = self.bytes.saturating_sub(before.unwrap_or_default());
            if others.saturating_add(verdict.bytes()) > bounds.bytes {
                return Some(Full::Bytes);
            }
        }
        self.report.add(username, verdict);
        let after = self.report.users.get(username).map(Verdict::bytes);
        self.bytes = self.bytes.saturating_sub(before.unwrap_or_default());
        self.bytes += after.unwrap_or_default();
        None
    }
}

impl Work {
    /// Looks at one call after the other until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let call = tokio::select! {
                () = stop.cancelled() => break,
                call = self.calls.recv() => call,
            };
            let Some(call) = call else { break };
            let waiting = &self.shadow.waiting_bytes;
            waiting.fetch_sub(call.bytes(), Ordering::Relaxed);
            let verdicts = tokio::select! {
                () = stop.cancelled() => break,
                verdicts = self.replayer.call(&call) => verdicts,
            };
            for (username, verdict) in verdicts {
                self.shadow.add(&username, verdict);
            }
        }
        self.replayer.end().await;
    }
}

impl Tap for Shadow {
    fn begins(&self, _: &[&str]) -> u64 {
        self.tick()
    }

    fn fetched(
        &self,
        begun: u64,
        username: &str,
        known: Option<&str>,
        result: &Result<Fetched, FetchError>,
    ) {
        self.hear(Call::one(begun, username, known, result));
    }

    fn fetched_many(&self, begun: u64, usernames: &[String], result: &Result<Many, ManyError>) {
        if let Some(call) = Call::many(begun, usernames, result) {
            self.hear(call);
        }
    }

    fn answered(&self, request: Request<Bytes>, response: Response<Bytes>) {
        let mut exchange = exchange(&request, &response);
        exchange.at = self.tick();
        if self.tape.add(exchange, self.bounds.bytes) {
            (self.tell)(Event::Full(Full::Bytes));
        }
    }

    fn handled(&self, _: &Request<Bytes>, _: Vec<String>, _: Option<&Response<Bytes>>) {
        // What the app sends is answered once, by the build that serves.
    }
}

#[cfg(test)]
mod tests;
