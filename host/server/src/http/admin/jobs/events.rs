//! A job as it goes on: server-sent events (HTML, section 9.2).
//!
//! An event `progress` when something changed, at most four a second; an event
//! `end` when the job is finished, with its whole answer, and then the end of
//! the stream; a comment now and then, so that nobody on the way takes the
//! connection for dead. A reader that is slow gets fewer events, and nothing
//! waits for it: what is told is how the job stands when it is told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::Jobs;
use super::id::Id;
use super::table::State;
use crate::rosters::Progress;

/// The least time between two events.
const PACE: Duration = Duration::from_millis(250);
/// The time between two comments while nothing else is sent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// nginx gathers an answer before it passes it on, unless this says no.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Somebody who follows a job.
struct Listener {
    jobs: Arc<Jobs>,
    id: Id,
    progress: watch::Receiver<Progress>,
    state: watch::Receiver<State>,
    /// When the last event was told.
    last: Option<Instant>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// The events of a job; `None` if it is not known.
pub(super) fn follow(jobs: &Arc<Jobs>, id: Id, permit: OwnedSemaphorePermit) -> Option<Response> {
    let (progress, state) = {
        let mut table = jobs.table.lock();
        let job = table.get(id, std::time::Instant::now())?;
        (job.live.progress.clone(), job.live.state.subscribe())
    };
    let listener = Listener {
        jobs: Arc::clone(jobs),
        id,
        progress,
        state,
        last: None,
        ended: false,
        _permit: permit,
        _counted: Counted::new(),
    };
    let events = futures_util::stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("the job goes on");
    let mut response = Sse::new(events).keep_alive(heartbeat).into_response();
    let no = HeaderValue::from_static("no");
    response.headers_mut().insert(X_ACCEL_BUFFERING, no);
    Some(response)
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        if let Some(last) = self.last {
            self.changed().await;
            // The end is told at once.
            let end = self.state.wait_for(|state| state.is_finished());
            let _ = timeout_at(last + PACE, end).await.is_ok();
        }
        self.last = Some(Instant::now());
        self.progress.mark_unchanged();
        self.state.mark_unchanged();
        let told = self.jobs.told(self.id)?;
        self.ended = told.state.is_finished();
        let name = if self.ended { "end" } else { "progress" };
        let document = told.document();
        let event = Event::default().event(name);
        Some(event.data(String::from_utf8_lossy(&document)))
    }

    /// Waits for news of the job, or for its being forgotten.
    async fn changed(&mut self) {
        let forgotten = tokio::select! {
            changed = self.state.changed() => changed.is_err(),
            changed = self.progress.changed() => changed.is_err(),
        };
        if forgotten {
            // The work is over; what comes is the end.
            let _ = self.state.wait_for(|state| state.is_finished()).await;
        }
    }
}

/// A listener that is counted as long as it lives.
struct Counted;

impl Counted {
    fn new() -> Counted {
        metrics::gauge!("muster_refresh_job_listeners").increment(1);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("muster_refresh_job_listeners").decrement(1);
    }
}
