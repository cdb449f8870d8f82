//! Requests whose work goes on after they were answered: 202, and where to ask
//! how it stands (RFC 7240, section 4.1; RFC 9110, section 15.3.3).
//!
//! Owns the jobs of one virtual host, the turns in which they run, and
//! `/roster_admin/jobs/<id>`. A job's work is a task of the server; it ends
//! with the server, because the sessions that it works for end then too. What
//! is told of a job is written in [`tell`], as it happens in [`events`].

mod events;
mod id;
mod table;
mod tell;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use self::id::{Boot, Id};
use self::table::{Bounds, Moment, State, Table};
pub(super) use self::tell::Document;
use self::tell::Told;
use super::queue::Place;
use super::{Answer, Desk, answer, error};
use crate::config::RefreshLimits;
use crate::limit::Limit;
use crate::rosters::{Progress, Record};

/// The jobs of one virtual host.
pub(super) struct Jobs {
    /// A leaf lock, held for a look.
    table: Mutex<Table<Live, Answer>>,
    turns: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    boot: Boot,
    /// Cancelled when the drain begins.
    stop: CancellationToken,
}

/// What belongs to a job while it is known.
struct Live {
    progress: watch::Receiver<Progress>,
    state: watch::Sender<State>,
    cancel: CancellationToken,
}

/// A job that is not finished. Dropped before it was announced, it was none.
pub(super) struct Job {
    jobs: Arc<Jobs>,
    id: Id,
    cancel: CancellationToken,
    announced: bool,
}

/// By what right a job runs.
pub(super) enum Turn {
    /// Its own turn.
    Own { _permit: OwnedSemaphorePermit },
    /// The place of the request that it was.
    Borrowed { _place: Place },
    /// None yet: it waits for one.
    Awaited,
}

impl Jobs {
    /// A name for this run of the server.
    pub(super) fn boot() -> Result<Boot, getrandom::Error> {
        Boot::new()
    }

    /// Within `limits`.
    pub(super) fn new(limits: &RefreshLimits, boot: Boot, stop: CancellationToken) -> Jobs {
        Jobs {
            table: Mutex::new(Table::new(Bounds {
                unfinished: limits.jobs,
                finished: limits.finished_jobs,
                bytes: limits.finished_bytes,
                age: limits.job_age,
            })),
            turns: Arc::new(Semaphore::new(limits.running_jobs)),
            listeners: Arc::new(Semaphore::new(limits.listeners)),
            boot,
            stop,
        }
    }

    /// A turn, if one is free.
    pub(super) fn turn(&self) -> Option<Turn> {
        let permit = Arc::clone(&self.turns).try_acquire_owned().ok()?;
        Some(Turn::Own { _permit: permit })
    }

    /// A new job; `None` if too many are not finished.
    pub(super) fn open(self: &Arc<Self>, record: &Record) -> Option<Job> {
        let id = match Id::new(self.boot) {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "no name can be given to a job");
                return None;
            }
        };
        let cancel = CancellationToken::new();
        let live = Live {
            progress: record.progress(),
            state: watch::Sender::new(State::Queued),
            cancel: cancel.clone(),
        };
        if !self.table.lock().open(id, live, Moment::now()) {
            Limit::RefreshJobs.reached();
            return None;
        }
        metrics::gauge!("muster_refresh_jobs").increment(1);
        Some(Job {
            jobs: Arc::clone(self),
            id,
            cancel,
            announced: false,
        })
    }

    fn told(&self, id: Id) -> Option<Told> {
        let mut table = self.table.lock();
        let job = table.get(id, Instant::now())?;
        Some(Told {
            id,
            state: job.state,
            progress: *job.live.progress.borrow(),
            created: job.created,
            started: job.started,
            finished: job.finished.map(|moment| moment.wall),
            answer: job.answer.clone(),
        })
    }

    fn finish(&self, id: Id, state: State, answer: Option<Answer>) {
        let answer = answer.map(|answer| {
            let bytes = answer.body().len() + 512;
            (answer, bytes)
        });
        let mut table = self.table.lock();
        table.finish(id, state, answer, Moment::now());
        if let Some(job) = table.get(id, Instant::now()) {
            job.live.state.send_replace(job.state);
        }
        metrics::counter!("muster_refresh_jobs_total", "outcome" => state.name()).increment(1);
    }
}

impl Job {
    /// Its turn has come.
    pub(super) fn start(&self) {
        let mut table = self.jobs.table.lock();
        table.start(self.id, Moment::now());
        if let Some(job) = table.get(self.id, Instant::now()) {
            job.live.state.send_replace(job.state);
        }
    }

    /// It has its answer.
    pub(super) fn end(mut self, answer: Answer) {
        self.announced = true;
        self.jobs.finish(self.id, State::Done, Some(answer));
    }

    /// Tells the caller of the job.
    pub(super) fn accepted(&self) -> Answer {
        let told = self.jobs.told(self.id);
        told.map_or_else(gone, |told| told.accepted())
    }

    /// Does the work until it is done, somebody cancels it, or the server
    /// stops; in its turn.
    pub(super) async fn carry_on(
        mut self,
        work: Pin<Box<dyn Future<Output = Answer> + Send>>,
        turn: Turn,
    ) {
        self.announced = true;
        let jobs = Arc::clone(&self.jobs);
        let working = async {
            let _turn = match turn {
                Turn::Awaited => match Arc::clone(&jobs.turns).acquire_owned().await {
                    Ok(permit) => Turn::Own { _permit: permit },
                    // Nobody closes it.
                    Err(_) => return None,
                },
                turn => turn,
            };
            self.start();
            Some(work.await)
        };
        let (state, answer) = tokio::select! {
            answer = working => (State::Done, answer),
            () = self.cancel.cancelled() => (State::Cancelled, None),
            () = jobs.stop.cancelled() => (State::Cut, None),
        };
        jobs.finish(self.id, state, answer);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.announced {
            self.jobs.table.lock().remove(self.id);
        }
        metrics::gauge!("muster_refresh_jobs").decrement(1);
    }
}

/// Serves `/roster_admin/jobs` and below; `id` is the rest of the path.
pub(super) fn answer(desk: &Arc<Desk>, id: &str, head: &Parts) -> Response {
    let jobs = &desk.jobs;
    let Some(id) = Id::parse(id) else {
        return not_found().map(Body::from);
    };
    let wants_events = accepts_events(&head.headers);
    match head.method {
        Method::GET if wants_events => events(jobs, id),
        Method::GET | Method::HEAD => tell(jobs, id).map(Body::from),
        Method::DELETE => cancel(jobs, id).map(Body::from),
        _ => answer::method_not_allowed_but("GET, HEAD, DELETE"),
    }
}

fn tell(jobs: &Jobs, id: Id) -> Answer {
    match jobs.told(id) {
        Some(told) => told.answer(),
        None => unknown(jobs, id),
    }
}

/// Ends a job that is not finished, and forgets one that is.
fn cancel(jobs: &Jobs, id: Id) -> Answer {
    let Some(told) = jobs.told(id) else {
        return unknown(jobs, id);
    };
    if told.state.is_finished() {
        jobs.table.lock().remove(id);
        let mut answer = Answer::default();
        *answer.status_mut() = StatusCode::NO_CONTENT;
        return answer;
    }
    {
        // At once, so that the answer and everybody after it sees it; the
        // work ends as soon as its task hears of it.
        let mut table = jobs.table.lock();
        table.finish(id, State::Cancelled, None, Moment::now());
        if let Some(job) = table.get(id, Instant::now()) {
            job.live.cancel.cancel();
            job.live.state.send_replace(job.state);
        }
    }
    tell(jobs, id)
}

fn events(jobs: &Arc<Jobs>, id: Id) -> Response {
    let listening = Arc::clone(&jobs.listeners).try_acquire_owned();
    let Ok(permit) = listening else {
        Limit::RefreshListeners.reached();
        let message = "too many connections follow jobs; try again later";
        return error(StatusCode::TOO_MANY_REQUESTS, message).map(Body::from);
    };
    match events::follow(jobs, id, permit) {
        Some(response) => response,
        None => unknown(jobs, id).map(Body::from),
    }
}

/// Whether the caller asks for events rather than for JSON.
fn accepts_events(headers: &HeaderMap) -> bool {
    answer::accepts(headers, "text/event-stream")
}

/// The answer about a job that is not known.
fn unknown(jobs: &Jobs, id: Id) -> Answer {
    match id.is_of(jobs.boot) {
        true => not_found(),
        false => gone(),
    }
}

fn not_found() -> Answer {
    error(
        StatusCode::NOT_FOUND,
        "there is no such job, or it was forgotten",
    )
}

fn gone() -> Answer {
    error(
        StatusCode::GONE,
        "the job belongs to an earlier run of the server: if it was not done, it was cut; a refresh is safe to repeat",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_for_who_asks_for_them() {
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(http::header::ACCEPT, value.parse().unwrap());
            accepts_events(&headers)
        };
        assert!(accepts("text/event-stream"));
        assert!(accepts("application/json, Text/Event-Stream;q=0.5"));
        assert!(!accepts("application/json"));
        assert!(!accepts("*/*"));
        assert!(!accepts_events(&HeaderMap::new()));
    }
}
