//! Another build beside the one that serves, on what passes there now.
//!
//! A listener of the serving plugin. Whatever the app has answered to that one
//! goes onto a tape, and each fetch that has ended is made again by the other
//! build in front of the tape: a replay with a delay of milliseconds. So the
//! shadow asks the app nothing, and nothing of it reaches anybody but the
//! report. It makes one fetch at a time; what comes faster is left out.
//!
//! Owns the bounds: fetches that wait, bytes of the tape, users in the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use muster_plugin::{Candidate, Engine, FetchError, Fetched, Tap};
use parking_lot::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use crate::record::{Fetch, Found, Settings, exchange};
use crate::replay::tape::Tape;
use crate::replay::{ReplayError, Replayed, Replayer, Terms, Verdict};

/// How much a shadow may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fetches that wait for it.
    pub waiting: usize,
    /// Bytes of answers that it may need.
    pub tape_bytes: usize,
    /// Users of whom differences are kept.
    pub users: usize,
}

/// What a shadow hears and finds.
pub struct Shadow {
    bounds: Bounds,
    clock: AtomicU64,
    left_out: AtomicU64,
    tape: Arc<Tape>,
    queue: Sender<Fetch>,
    // Held for moments, never across await.
    report: Mutex<Replayed>,
}

/// The other build, and what it has yet to look at.
pub struct Work {
    shadow: Arc<Shadow>,
    replayer: Replayer,
    fetches: Receiver<Fetch>,
}

impl Shadow {
    /// Loads the other build.
    ///
    /// # Errors
    /// [`ReplayError`]: it is not taken, for the reasons for which it would not
    /// be taken to serve.
    pub async fn begin(
        engine: &Engine,
        candidate: Candidate,
        terms: Terms,
        bounds: Bounds,
    ) -> Result<(Arc<Self>, Work), ReplayError> {
        let tape = Tape::new(Vec::new(), Settings::default());
        let replayer = Replayer::load(engine, candidate, terms, Arc::clone(&tape)).await?;
        let (queue, fetches) = channel(bounds.waiting.max(1));
        let shadow = Arc::new(Self {
            bounds,
            clock: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            tape,
            queue,
            report: Mutex::default(),
        });
        let work = Work {
            shadow: Arc::clone(&shadow),
            replayer,
            fetches,
        };
        Ok((shadow, work))
    }

    /// What was found so far.
    pub fn report(&self) -> Replayed {
        let report = self.report.lock().clone();
        Replayed {
            left_out: self.left_out.load(Ordering::Relaxed),
            ..report
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    fn add(&self, username: &str, verdict: Verdict) {
        let mut report = self.report.lock();
        let known = report.users.contains_key(username);
        if verdict != Verdict::Same && !known && report.users.len() >= self.bounds.users {
            drop(report);
            self.leave_out();
            return;
        }
        report.add(username, verdict);
    }
}

impl Work {
    /// Looks at one fetch after the other until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let fetch = tokio::select! {
                () = stop.cancelled() => break,
                fetch = self.fetches.recv() => fetch,
            };
            let Some(fetch) = fetch else { break };
            let verdict = tokio::select! {
                () = stop.cancelled() => break,
                verdict = self.replayer.fetch(&fetch) => verdict,
            };
            self.shadow.add(&fetch.username, verdict);
        }
        self.replayer.end().await;
    }
}

impl Tap for Shadow {
    fn begins(&self, _: &str) -> u64 {
        self.tick()
    }

    fn fetched(
        &self,
        begun: u64,
        username: &str,
        known: Option<&str>,
        result: &Result<Fetched, FetchError>,
    ) {
        let fetch = Fetch {
            begun,
            ended: self.tick(),
            username: username.to_owned(),
            known: known.map(str::to_owned),
            result: Found::of(result),
        };
        // Nobody waits for a shadow.
        if self.queue.try_send(fetch).is_err() {
            self.leave_out();
        }
    }

    fn answered(&self, request: Request<Bytes>, response: Response<Bytes>) {
        let mut exchange = exchange(&request, &response);
        exchange.at = self.tick();
        self.tape.add(exchange, self.bounds.tape_bytes);
    }

    fn handled(&self, _: &Request<Bytes>, _: Vec<String>, _: Option<&Response<Bytes>>) {
        // What the app sends is answered once, by the build that serves.
    }
}
