//! Which jobs there are, and how they stand. Pure: the time is passed in.
//!
//! A job that is not finished stays until it is; finished ones are forgotten
//! when they are too old, or when there are too many or too large ones: the
//! oldest first.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use super::id::Id;
use crate::limit::Limit;

/// The jobs of one virtual host. `L` is what belongs to a job as long as it is
/// known, `A` its answer.
pub(super) struct Table<L, A> {
    bounds: Bounds,
    jobs: HashMap<Id, Known<L, A>>,
    /// The finished ones, the oldest first.
    finished: VecDeque<Id>,
    bytes: usize,
}

/// What a table may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Jobs that are not finished.
    pub(super) unfinished: usize,
    pub(super) finished: usize,
    /// Of the answers of finished jobs.
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::admin) enum State {
    /// It waits for its turn.
    Queued,
    /// It is under way.
    Running,
    /// It has an answer.
    Done,
    /// Somebody did not want it any more.
    Cancelled,
    /// The server stopped.
    Cut,
}

impl State {
    /// Its name in JSON and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Done => "done",
            State::Cancelled => "cancelled",
            State::Cut => "cut",
        }
    }

    pub(super) fn is_finished(self) -> bool {
        !matches!(self, State::Queued | State::Running)
    }
}

/// A moment, by the clock that only goes forward and by the one on the wall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    pub(super) wall: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Moment {
        Moment {
            at: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

/// What is known of one job.
pub(super) struct Known<L, A> {
    pub(super) state: State,
    pub(super) live: L,
    pub(super) created: SystemTime,
    pub(super) started: Option<SystemTime>,
    pub(super) finished: Option<Moment>,
    pub(super) answer: Option<A>,
    bytes: usize,
}

impl<L, A> Table<L, A> {
    pub(super) fn new(bounds: Bounds) -> Table<L, A> {
        Table {
            bounds,
            jobs: HashMap::new(),
            finished: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Takes a job in; `false` if too many are not finished.
    pub(super) fn open(&mut self, id: Id, live: L, now: Moment) -> bool {
        self.forget_old(now.at);
        if self.jobs.len() - self.finished.len() >= self.bounds.unfinished {
            return false;
        }
        let job = Known {
            state: State::Queued,
            live,
            created: now.wall,
            started: None,
            finished: None,
            answer: None,
            bytes: 0,
        };
        self.jobs.insert(id, job);
        true
    }

    /// The job's turn has come.
    pub(super) fn start(&mut self, id: Id, now: Moment) {
        let job = self.jobs.get_mut(&id);
        if let Some(job) = job.filter(|job| job.state == State::Queued) {
            job.state = State::Running;
            job.started = Some(now.wall);
        }
    }

    /// Finishes a job with its answer, if there is one, of so many bytes.
    pub(super) fn finish(&mut self, id: Id, state: State, answer: Option<(A, usize)>, now: Moment) {
        self.forget_old(now.at);
        let job = self.jobs.get_mut(&id);
        let Some(job) = job.filter(|job| !job.state.is_finished()) else {
            return;
        };
        job.state = state;
        job.finished = Some(now);
        if let Some((answer, bytes)) = answer {
            job.answer = Some(answer);
            job.bytes = bytes;
            self.bytes += bytes;
        }
        self.finished.push_back(id);
        while self.finished.len() > self.bounds.finished {
            Limit::RefreshFinishedJobs.reached();
            self.forget_oldest();
        }
        // The newest stays, however large: somebody waits for it.
        while self.bytes > self.bounds.bytes && self.finished.len() > 1 {
            Limit::RefreshFinishedBytes.reached();
            self.forget_oldest();
        }
    }

    /// What is known of a job.
    pub(super) fn get(&mut self, id: Id, now: Instant) -> Option<&Known<L, A>> {
        self.forget_old(now);
        self.jobs.get(&id)
    }

    /// Forgets a job.
    pub(super) fn remove(&mut self, id: Id) {
        if let Some(job) = self.jobs.remove(&id) {
            self.bytes -= job.bytes;
            self.finished.retain(|finished| *finished != id);
        }
    }

    fn forget_old(&mut self, now: Instant) {
        let age = self.bounds.age;
        let is_old = |job: &Known<L, A>| {
            job.finished
                .is_some_and(|finished| now.saturating_duration_since(finished.at) >= age)
        };
        while self
            .finished
            .front()
            .is_some_and(|id| self.jobs.get(id).is_none_or(is_old))
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.finished.pop_front();
        if let Some(job) = oldest.and_then(|id| self.jobs.remove(&id)) {
            self.bytes -= job.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::Boot;
    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    fn table() -> Table<(), &'static str> {
        Table::new(Bounds {
            unfinished: 2,
            finished: 2,
            bytes: 10,
            age: AGE,
        })
    }

    fn id() -> Id {
        Id::new(Boot::new().unwrap()).unwrap()
    }

    fn state(table: &mut Table<(), &'static str>, id: Id, now: Moment) -> Option<State> {
        table.get(id, now.at).map(|job| job.state)
    }

    #[test]
    fn a_job_waits_runs_and_is_done() {
        let (mut table, now, id) = (table(), Moment::now(), id());
        assert_eq!(state(&mut table, id, now), None);
        assert!(table.open(id, (), now));
        assert_eq!(state(&mut table, id, now), Some(State::Queued));
        table.start(id, now);
        assert_eq!(state(&mut table, id, now), Some(State::Running));
        table.finish(id, State::Done, Some(("answer", 4)), now);
        // What comes later changes nothing.
        table.start(id, now);
        table.finish(id, State::Cut, None, now);
        let job = table.get(id, now.at).unwrap();
        assert_eq!((job.state, job.answer), (State::Done, Some("answer")));
        table.remove(id);
        assert_eq!(state(&mut table, id, now), None);
        assert_eq!((table.bytes, table.finished.len()), (0, 0));
    }

    #[test]
    fn unfinished_jobs_are_bounded_and_never_forgotten() {
        let (mut table, now) = (table(), Moment::now());
        let (a, b) = (id(), id());
        assert!(table.open(a, (), now) && table.open(b, (), now));
        assert!(!table.open(id(), (), now));
        let later = Moment {
            at: now.at + 10 * AGE,
            ..now
        };
        assert_eq!(state(&mut table, a, later), Some(State::Queued));
        table.finish(a, State::Cancelled, None, later);
        assert!(table.open(id(), (), later));
        assert_eq!(state(&mut table, a, later), Some(State::Cancelled));
    }

    #[test]
    fn the_oldest_finished_jobs_are_forgotten_first() {
        let (mut table, now) = (table(), Moment::now());
        let done = |table: &mut Table<(), &'static str>, bytes| {
            let id = id();
            assert!(table.open(id, (), now));
            table.finish(id, State::Done, Some(("x", bytes)), now);
            id
        };
        let (a, b, c) = (
            done(&mut table, 1),
            done(&mut table, 1),
            done(&mut table, 1),
        );
        assert_eq!(state(&mut table, a, now), None, "too many");
        assert!(state(&mut table, b, now).is_some() && state(&mut table, c, now).is_some());
        let d = done(&mut table, 99);
        assert_eq!(state(&mut table, c, now), None, "too large together");
        assert!(state(&mut table, d, now).is_some(), "the newest stays");
        let later = Moment {
            at: now.at + AGE,
            ..now
        };
        assert_eq!(state(&mut table, d, later), None, "too old");
        assert_eq!(table.bytes, 0);
    }
}
