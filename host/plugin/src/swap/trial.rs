//! A new build and the one before it, side by side: who is to blame for a
//! call that fails.
//!
//! Owns the comparison. A `fetch` that fails in the new build in a way that
//! may be the build's own doing is asked of the old one too, and its caller
//! gets the old one's answer if there is one; if the old one fails as well,
//! the app's answer or the user is to blame. What follows is [`super::probation`]'s
//! to say and [`super::Line`]'s to do.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http::Response;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::probation::{Observation, Probation, Verdict};
use super::status::Phase;
use super::{Line, Lineup};
use crate::generation::{Call, Generation};
use crate::roster::{FetchError, Fetched, HandleError, PluginFault};
use crate::solo::{self, Errand};

/// A build on probation, seen from the one that stands by.
pub(super) struct Trial {
    pub(super) old: Arc<Generation>,
    probation: Mutex<Probation>,
    /// Questions that nobody waits for, one at a time.
    aside: Semaphore,
    /// What ends it when its time is over; goes when it is decided before.
    clock: OnceLock<AbortOnDropHandle<()>>,
}

impl Trial {
    pub(super) fn new(old: Arc<Generation>, probation: Probation) -> Arc<Self> {
        Arc::new(Self {
            old,
            probation: Mutex::new(probation),
            aside: Semaphore::new(1),
            clock: OnceLock::new(),
        })
    }

    /// Ends it without a verdict; who stood by is proven still.
    pub(super) fn give_up(&self) -> Arc<Generation> {
        self.probation().end();
        Arc::clone(&self.old)
    }

    pub(super) fn ends(&self) -> Instant {
        self.probation().ends()
    }

    pub(super) fn phase(&self) -> Phase {
        self.probation().phase(Instant::now())
    }

    /// Its time is over. Whether that decides it.
    pub(super) fn is_over(&self) -> bool {
        self.probation().end()
    }

    fn observe(&self, observation: Observation) -> Verdict {
        self.probation().observe(observation, Instant::now())
    }

    /// A leaf lock, held for a look.
    fn probation(&self) -> MutexGuard<'_, Probation> {
        self.probation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a failed fetch would be, if the old build does better.
fn suspicion(answer: &Result<Fetched, FetchError>) -> Option<Observation> {
    match answer {
        Err(FetchError::Plugin(
            PluginFault::Trap
            | PluginFault::TurnLimit
            | PluginFault::ResourceLimit
            | PluginFault::StackOverflow
            | PluginFault::Instantiate
            | PluginFault::Unanswered,
        )) => Some(Observation::Fault),
        Err(
            FetchError::NotFound
            | FetchError::Status(_)
            | FetchError::Malformed(_)
            | FetchError::TooLarge
            | FetchError::Denied
            | FetchError::Plugin(PluginFault::Stuck),
        ) => Some(Observation::Regression),
        Ok(_)
        | Err(
            FetchError::Unavailable
            | FetchError::Timeout
            | FetchError::Plugin(
                PluginFault::Overloaded | PluginFault::Stopped | PluginFault::CircuitOpen,
            ),
        ) => None,
    }
}

impl Line {
    /// What the caller gets of a fetch in a build on probation.
    pub(super) async fn judge_fetch(
        self: &Arc<Self>,
        trial: &Arc<Trial>,
        current: &Generation,
        call: &Call<'_>,
        answer: Result<Fetched, FetchError>,
    ) -> Result<Fetched, FetchError> {
        let suspicion = match &answer {
            // It asks to be left alone, and the one before need not.
            Err(FetchError::Unavailable) if current.rests() => Some(Observation::Regression),
            answer => suspicion(answer),
        };
        let Some(suspicion) = suspicion else {
            self.observed(trial, Observation::Sound);
            return answer;
        };
        if answer == Err(FetchError::Plugin(PluginFault::Stuck)) {
            // The caller's time is over.
            self.ask_aside(trial, call, suspicion);
            return answer;
        }
        let of_old = trial.old.fetch(call).await;
        if of_old.is_ok() {
            self.observed(trial, suspicion);
            return of_old;
        }
        self.observed(trial, Observation::Sound);
        answer
    }

    /// Finds out whether the old build would have answered.
    fn ask_aside(self: &Arc<Self>, trial: &Arc<Trial>, call: &Call<'_>, suspicion: Observation) {
        let (line, trial) = (Arc::clone(self), Arc::clone(trial));
        let username = call.username.to_owned();
        let known = call.known.map(str::to_owned);
        self.drains.aside(async move {
            let Ok(_turn) = trial.aside.try_acquire() else {
                return;
            };
            let again = Call {
                username: &username,
                known: known.as_deref(),
                deadline: Instant::now() + line.limits.call,
            };
            let observation = match trial.old.fetch(&again).await {
                Ok(_) => suspicion,
                Err(_) => Observation::Sound,
            };
            line.observed(&trial, observation);
        });
    }

    /// An HTTP request in the generation that serves. One that fails in a
    /// build on probation is given to the one before if it had asked for
    /// nothing yet; if it had, nobody can tell who is to blame, and it counts
    /// as a regression.
    pub(crate) async fn handle(
        self: &Arc<Self>,
        errand: Errand,
    ) -> Result<Response<Bytes>, HandleError> {
        let lineup = self.lineup();
        let Lineup { current, trial } = &*lineup;
        let Some(trial) = trial else {
            let answer = solo::handle(&current.shared, errand).await;
            return answer.map_err(|failure| failure.error);
        };
        let again = errand.clone();
        let failure = match solo::handle(&current.shared, errand).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        match failure.error {
            HandleError::Plugin(_) if !failure.asked => {
                let of_old = solo::handle(&trial.old.shared, again).await;
                if of_old.is_ok() {
                    self.observed(trial, Observation::Fault);
                }
                of_old.map_err(|_| failure.error)
            }
            HandleError::Plugin(_) => {
                self.observed(trial, Observation::Regression);
                Err(failure.error)
            }
            error => Err(error),
        }
    }

    fn observed(self: &Arc<Self>, trial: &Arc<Trial>, observation: Observation) {
        match trial.observe(observation) {
            Verdict::Undecided => {}
            Verdict::Passed => self.pass(trial),
            Verdict::Failed(cause) => self.fail(trial, cause),
        }
    }

    /// Ends a probation when its time is over, however few calls there were.
    /// The clock keeps nobody alive: neither the plugin nor a build that was
    /// replaced long ago.
    pub(super) fn time(self: &Arc<Self>, trial: &Arc<Trial>) {
        let (line, watched) = (Arc::downgrade(self), Arc::downgrade(trial));
        let ends = trial.ends();
        let clock = self.drains.aside(async move {
            tokio::time::sleep_until(ends).await;
            if let (Some(line), Some(trial)) = (line.upgrade(), watched.upgrade())
                && trial.is_over()
            {
                line.pass(&trial);
            }
        });
        let _ = trial.clock.set(AbortOnDropHandle::new(clock));
    }
}
