//! Which generation serves, which stands by, and how one follows another.
//!
//! Owns the [`Lineup`] that calls look at, and every change of it: a swap, the
//! end of a probation, a rollback. A change is one store of one pointer under
//! the lock of [`Books`]; calls never take that lock. A call that came too
//! late for a generation is made again on the one that serves.
//!
//! `load` and what it is made of (`verification`, `self_test`) come before a
//! swap; `trial` compares the new build with the one before, and `probation`
//! judges it; `drains` ends replaced generations; `status` tells of all of it.

mod drains;
mod load;
mod probation;
mod self_test;
mod status;
mod trial;
mod verification;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use self::drains::{Drains, Place};
pub(crate) use self::load::build;
use self::probation::Probation;
pub(crate) use self::self_test::Occasion;
pub use self::status::{BuildStatus, Phase, Refusal, RollbackCause, RolledBack, Status, Swapped};
use self::trial::Trial;
pub use self::verification::Verification;
use crate::breaker::Breakers;
use crate::error::{LoadError, RollbackError};
use crate::generation::{Build, Call, Generation, Surroundings};
use crate::inspect::Digest;
use crate::roster::{FetchError, Fetched, PluginFault};
use crate::settings::Limits;
use crate::telemetry::Meter;

/// What a call needs to know.
pub(crate) struct Lineup {
    current: Arc<Generation>,
    /// While the current generation is on probation.
    trial: Option<Arc<Trial>>,
}

/// The generations of one plugin.
pub(crate) struct Line {
    lineup: ArcSwap<Lineup>,
    books: Mutex<Books>,
    drains: Drains,
    breakers: Arc<Breakers>,
    limits: Arc<Limits>,
    meter: Meter,
}

/// What only changes look at. Held for a moment, never across an await.
struct Books {
    since: Instant,
    /// The build before, when its generation has been retired.
    kept: Option<Arc<Build>>,
    last_refusal: Option<(Refusal, Instant)>,
    last_rollback: Option<(RolledBack, Instant)>,
    stopped: bool,
}

impl Lineup {
    fn is_tried_by(&self, trial: &Arc<Trial>) -> bool {
        let mine = self.trial.as_ref();
        mine.is_some_and(|mine| Arc::ptr_eq(mine, trial))
    }
}

impl Line {
    /// The first generation. There is nothing to fall back to, so it is on no
    /// probation.
    pub(crate) fn new(first: Arc<Generation>, surroundings: &Surroundings) -> Arc<Self> {
        let (limits, meter) = (Arc::clone(&surroundings.limits), surroundings.meter.clone());
        Arc::new(Self {
            lineup: ArcSwap::from_pointee(Lineup {
                current: first,
                trial: None,
            }),
            books: Mutex::new(Books {
                since: Instant::now(),
                kept: None,
                last_refusal: None,
                last_rollback: None,
                stopped: false,
            }),
            drains: Drains::new(limits.drain, meter.clone()),
            breakers: Arc::clone(&surroundings.breakers),
            limits,
            meter,
        })
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.lineup.load().current)
    }

    fn lineup(&self) -> Arc<Lineup> {
        self.lineup.load_full()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fetch in the generation that serves. Whoever finds it closed, because
    /// it was replaced a moment ago, or was cut off when its drain was over,
    /// asks the next one within the same deadline.
    pub(crate) async fn fetch(self: &Arc<Self>, call: &Call<'_>) -> Result<Fetched, FetchError> {
        loop {
            let lineup = self.lineup();
            let answer = lineup.current.fetch(call).await;
            let stopped = answer == Err(FetchError::Plugin(PluginFault::Stopped));
            if stopped && !Arc::ptr_eq(&self.current(), &lineup.current) {
                continue;
            }
            return match &lineup.trial {
                Some(trial) => {
                    let current = &lineup.current;
                    self.judge_fetch(trial, current, call, answer).await
                }
                None => answer,
            };
        }
    }

    /// The app is back, whatever a handler of it has asked for.
    pub(crate) fn app_is_back(&self) {
        let lineup = self.lineup();
        lineup.current.shared.rest.end();
        if let Some(trial) = &lineup.trial {
            trial.old.shared.rest.end();
        }
    }

    /// Waits until one more generation may be replaced.
    pub(crate) async fn place(&self) -> Result<Place, LoadError> {
        self.drains.place().await.ok_or(LoadError::Stopped)
    }

    /// From now on `next` serves. Who served until now stands by, or is
    /// retired if it was on probation itself: the fallback is always the last
    /// build that has proved itself.
    pub(crate) fn take(
        self: &Arc<Self>,
        next: Arc<Generation>,
        place: Place,
    ) -> Result<Swapped, LoadError> {
        let mut books = self.books();
        if books.stopped {
            return Err(LoadError::Stopped);
        }
        let before = self.lineup();
        let (proven, unproven) = match &before.trial {
            Some(trial) => (trial.give_up(), Some(Arc::clone(&before.current))),
            None => (Arc::clone(&before.current), None),
        };
        let now = Instant::now();
        let probation = Probation::begin(&self.limits, now);
        let (trial, retired) = match probation {
            Some(probation) => (Some(Trial::new(proven, probation)), unproven),
            None => {
                books.kept = Some(Arc::clone(&proven.build));
                (None, Some(proven))
            }
        };
        if trial.is_some() {
            books.kept = None;
        }
        books.since = now;
        let swapped = self.install(next, trial.clone(), before.current.build.status.digest);
        drop(books);
        if let Some(trial) = trial {
            self.time(&trial);
        }
        if let Some(retired) = retired {
            self.drains.retire(retired, Some(place));
        }
        Ok(swapped)
    }

    /// The generation on probation has proved itself.
    fn pass(&self, trial: &Arc<Trial>) {
        let mut books = self.books();
        let lineup = self.lineup();
        if !lineup.is_tried_by(trial) {
            return;
        }
        books.kept = Some(Arc::clone(&trial.old.build));
        self.lineup.store(Arc::new(Lineup {
            current: Arc::clone(&lineup.current),
            trial: None,
        }));
        drop(books);
        tracing::info!(
            vhost = self.meter.vhost(),
            generation = lineup.current.number,
            "the new build of the plugin has passed its probation"
        );
        self.drains.retire(Arc::clone(&trial.old), None);
    }

    /// The generation on probation has failed.
    fn fail(&self, trial: &Arc<Trial>, cause: RollbackCause) {
        let mut books = self.books();
        let lineup = self.lineup();
        if lineup.is_tried_by(trial) {
            self.go_back(&mut books, &lineup, Arc::clone(&trial.old), cause);
        }
    }

    /// Goes back to the build before, because the operator says so.
    pub(crate) fn roll_back(&self, surroundings: &Surroundings) -> Result<Swapped, RollbackError> {
        let mut books = self.books();
        if books.stopped {
            return Err(RollbackError::Stopped);
        }
        let lineup = self.lineup();
        let previous = match (&lineup.trial, books.kept.take()) {
            (Some(trial), _) => trial.give_up(),
            (None, Some(kept)) => Generation::start(kept, surroundings),
            (None, None) => return Err(RollbackError::NoPrevious),
        };
        Ok(self.go_back(&mut books, &lineup, previous, RollbackCause::Operator))
    }

    fn go_back(
        &self,
        books: &mut Books,
        from: &Lineup,
        to: Arc<Generation>,
        cause: RollbackCause,
    ) -> Swapped {
        let now = Instant::now();
        let rolled_back = RolledBack {
            from: from.current.build.status.digest,
            to: to.build.status.digest,
            cause,
            ago: Duration::ZERO,
        };
        let given_up = rolled_back.from;
        self.meter.rolled_back(&rolled_back);
        books.since = now;
        books.kept = None;
        books.last_rollback = Some((rolled_back, now));
        let swapped = self.install(to, None, given_up);
        self.drains.retire(Arc::clone(&from.current), None);
        swapped
    }

    fn install(
        &self,
        current: Arc<Generation>,
        trial: Option<Arc<Trial>>,
        replaced: Digest,
    ) -> Swapped {
        let swapped = Swapped {
            generation: current.number,
            digest: current.build.status.digest,
            replaced: Some(replaced),
        };
        self.lineup.store(Arc::new(Lineup { current, trial }));
        self.breakers.renew();
        swapped
    }

    /// Keeps why a component was not taken.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.books().last_refusal = Some((refusal, Instant::now()));
    }

    /// All there is to know.
    pub(crate) fn status(&self) -> Status {
        let books = self.books();
        let lineup = self.lineup();
        let kept = books.kept.as_ref();
        let previous = lineup.trial.as_ref().map(|trial| &trial.old.build).or(kept);
        Status {
            name: self.meter.vhost().to_owned(),
            generation: lineup.current.number,
            build: lineup.current.build.status.clone(),
            serving: books.since.elapsed(),
            phase: lineup
                .trial
                .as_ref()
                .map_or(Phase::Serving, |trial| trial.phase()),
            previous: previous.map(|build| build.status.clone()),
            last_refusal: books.last_refusal.as_ref().map(|(refusal, at)| Refusal {
                ago: at.elapsed(),
                ..refusal.clone()
            }),
            last_rollback: books.last_rollback.as_ref().map(|(rolled_back, at)| {
                let ago = at.elapsed();
                RolledBack {
                    ago,
                    ..rolled_back.clone()
                }
            }),
            draining: self.drains.under_way(),
            breakers: self.breakers.status(),
        }
    }

    /// Takes no more calls, lets those that have begun finish until `drain` is
    /// over, and ends the rest.
    pub(crate) async fn shutdown(&self, drain: Duration) {
        self.books().stopped = true;
        let lineup = self.lineup();
        let standby = async {
            if let Some(trial) = &lineup.trial {
                trial.old.workers.stop(drain).await;
            }
        };
        tokio::join!(lineup.current.workers.stop(drain), standby);
        self.drains.end().await;
    }
}
