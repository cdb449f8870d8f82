//! Worker stores: where `fetch` runs, many calls at once in one store.
//!
//! That is, of a plugin of a kind whose calls can share a store; of another one
//! each call has its own ([`lone`]), behind the same queue.
//!
//! Three layers, from the outside in:
//!
//! - [`Workers`] is the queue, and one [`Slot`] for each worker;
//! - a slot keeps one store serving. A store that has served its number of
//!   calls, or has a stuck one, takes no more: the slot starts the next while
//!   the old one finishes (at most one old store a slot);
//! - [`Serving`] is one store. Its guest lives inside `run_concurrent`; the
//!   queue, the deadlines and the reply channels stay outside, because a guest
//!   that computes or blocks stops everything inside, and a trap ends it
//!   without a word.
//!
//! A trap answers every call of the store with the fault; whoever asked tries
//! again alone ([`crate::solo`]).

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::{Receiver, Sender, TryRecvError, TrySendError, WeakSender};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Span;
use wasmtime::component::Accessor;

use self::book::Book;
pub(crate) use self::book::Ticket;
use crate::failure;
use crate::generation::Shared;
use crate::kind::{Answer, Pre, Question, SharedGuest, SharedPre};
use crate::outbound::Asking;
use crate::roster::PluginFault;
use crate::solo::Instance;
use crate::store::{Purpose, StoreState};
use crate::turn::{Turn, metered};

mod book;
mod lone;

/// How long a slot waits after an instance failed, before it tries the next.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// One call of `fetch`.
pub(crate) struct Job {
    question: Question,
    deadline: Instant,
    /// Of whoever asked.
    span: Span,
    reply: Reply,
}

pub(crate) type Reply = oneshot::Sender<Result<Answer, PluginFault>>;

/// How the calls of a generation that takes no more of them ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DrainEnd {
    /// By themselves.
    Finished,
    /// Their time was over.
    Cut,
}

impl DrainEnd {
    /// The value of the label `outcome` in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Cut => "cut",
        }
    }
}

/// The worker stores of one generation. Dropping it lets the calls that have
/// begun finish.
pub(crate) struct Workers {
    queue: Sender<Job>,
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Workers {
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let (queue, jobs) = async_channel::bounded(shared.limits.waiting_calls);
        let abort = CancellationToken::new();
        let tasks = TaskTracker::new();
        match &shared.pre {
            Pre::Shared(pre) => {
                for _ in 0..shared.limits.workers {
                    let slot = Slot {
                        shared: Arc::clone(shared),
                        pre: pre.clone(),
                        jobs: jobs.clone(),
                        queue: queue.downgrade(),
                        draining: Arc::new(Semaphore::new(1)),
                        abort: abort.clone(),
                        tasks: tasks.clone(),
                    };
                    tasks.spawn(slot.run());
                }
            }
            Pre::Alone(_) => {
                for _ in 0..shared.limits.lone_calls {
                    let (shared, jobs) = (Arc::clone(shared), jobs.clone());
                    tasks.spawn(lone::run(shared, jobs, abort.clone()));
                }
            }
        }
        tasks.close();
        Self {
            queue,
            abort,
            tasks,
        }
    }

    /// Calls the plugin. The answer comes by the deadline or shortly after.
    pub(crate) async fn fetch(
        &self,
        username: &str,
        known: Option<&str>,
        deadline: Instant,
    ) -> Result<Answer, PluginFault> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            question: Question {
                username: username.to_owned(),
                known: known.map(str::to_owned),
            },
            deadline,
            span: muster_trace::current(),
            reply,
        };
        match self.queue.try_send(job) {
            Ok(()) => answer.await.unwrap_or(Err(PluginFault::Stopped)),
            Err(TrySendError::Full(_)) => Err(PluginFault::Overloaded),
            Err(TrySendError::Closed(_)) => Err(PluginFault::Stopped),
        }
    }

    /// Calls that no store has taken yet.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes no more calls, lets the begun ones finish until `drain` is over,
    /// then ends them.
    pub(crate) async fn stop(&self, drain: Duration) -> DrainEnd {
        self.queue.close();
        let waited = tokio::time::timeout(drain, self.tasks.wait());
        if waited.await.is_ok() {
            return DrainEnd::Finished;
        }
        self.abort.cancel();
        self.tasks.wait().await;
        DrainEnd::Cut
    }
}

/// One worker: a store that serves, at most one that drains.
#[derive(Clone)]
struct Slot {
    shared: Arc<Shared>,
    pre: SharedPre,
    jobs: Receiver<Job>,
    /// To give a job back. Weak, so that it does not keep the queue open.
    queue: WeakSender<Job>,
    draining: Arc<Semaphore>,
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Slot {
    async fn run(self) {
        // Told once, not ten times a second.
        let mut told = false;
        while !(self.jobs.is_closed() && self.jobs.is_empty()) {
            let instance = Instance::new(&self.shared, Purpose::Fetch, &self.pre);
            let instance = tokio::select! {
                () = self.abort.cancelled() => return self.refuse(PluginFault::Stopped),
                instance = tokio::time::timeout(self.shared.limits.call, instance) => instance,
            };
            match instance {
                Ok(Ok(instance)) => {
                    told = false;
                    let (retired, successor_due) = oneshot::channel();
                    self.tasks.spawn(serve(self.clone(), instance, retired));
                    let _ = successor_due.await;
                }
                failed => {
                    if !std::mem::replace(&mut told, true) {
                        failure::not_started(&self.shared.meter, failed.ok().and_then(Result::err));
                    }
                    self.shared.meter.trap(PluginFault::Instantiate);
                    self.refuse(PluginFault::Instantiate);
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Answers whoever waits now.
    fn refuse(&self, fault: PluginFault) {
        while let Ok(job) = self.jobs.try_recv() {
            let _ = job.reply.send(Err(fault));
        }
    }

    /// Puts a job that could not begin back into the queue.
    fn give_back(&self, job: Job) {
        let (job, fault) = match self.queue.upgrade().map(|queue| queue.try_send(job)) {
            Some(Ok(())) => return,
            Some(Err(TrySendError::Full(job))) => (job, PluginFault::Overloaded),
            // Whoever asked tries the next generation.
            Some(Err(TrySendError::Closed(job))) => (job, PluginFault::Stopped),
            None => return,
        };
        let _ = job.reply.send(Err(fault));
    }
}

/// The life of one store. `retired` is dropped when the next one is due.
async fn serve(slot: Slot, instance: Instance<SharedGuest>, retired: oneshot::Sender<()>) {
    let Instance {
        mut store,
        guest,
        turn,
    } = instance;
    let book = Book::default();
    let ended = {
        let running = store
            .run_concurrent(async |accessor| serve_inside(accessor, &guest, &book, &turn).await);
        let running = pin!(metered(&turn, running));
        let serving = Serving {
            slot: &slot,
            book: &book,
            running,
            waiting: None,
            retired: Some(retired),
            drain: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        };
        tokio::select! {
            ended = serving => ended,
            () = slot.abort.cancelled() => Ok(()),
        }
    };
    let fault = match ended {
        Ok(()) => PluginFault::Stopped,
        Err(error) => {
            let fault = store.data().fault(&error);
            slot.shared.meter.trap(fault);
            tracing::warn!(
                vhost = slot.shared.meter.vhost(),
                fault = fault.label(),
                calls = book.open(),
                "the plugin failed in `fetch`: {}",
                failure::text(&error)
            );
            fault
        }
    };
    // The memory goes before the callers hear of it and try again.
    drop(store);
    book.fail(fault);
}

/// The part of a store's life that needs the store: starts what
/// [`Serving`] hands in, and ends only with a trap.
async fn serve_inside(
    accessor: &Accessor<StoreState>,
    guest: &SharedGuest,
    book: &Book,
    turn: &Turn,
) -> wasmtime::Result<()> {
    let mut calls = FuturesUnordered::new();
    std::future::poll_fn(|cx| {
        if let Some(call) = book.begin() {
            turn.begin();
            let asking = Asking::of(&call.question.username, &call.span);
            let is_looked_at = asking.is_some();
            if let Some(asking) = asking {
                accessor.with(|mut access| access.get().began(call.ticket, asking));
            }
            calls.push(async move {
                let answer = guest.fetch(accessor, call.question).await?;
                if is_looked_at {
                    accessor.with(|mut access| access.get().ended(call.ticket));
                }
                book.finish(call.ticket, answer);
                turn.restart(book.open());
                wasmtime::error::Ok(())
            });
        }
        while let Poll::Ready(Some(ended)) = calls.poll_next_unpin(cx) {
            if ended.is_err() {
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
}

/// One store from the outside. Resolves when the store is done for: with the
/// error that killed it, or with `Ok` when it has drained.
struct Serving<'a, R> {
    slot: &'a Slot,
    book: &'a Book,
    running: Pin<&'a mut R>,
    waiting: Option<Pin<Box<dyn Future<Output = Option<Job>> + Send>>>,
    /// There until the store takes no more calls.
    retired: Option<oneshot::Sender<()>>,
    drain: Option<OwnedSemaphorePermit>,
    timer: Pin<Box<Sleep>>,
}

impl<R> Future for Serving<'_, R>
where
    R: Future<Output = wasmtime::Result<wasmtime::Result<()>>>,
{
    type Output = wasmtime::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            if let Poll::Ready(ended) = this.running.as_mut().poll(cx) {
                return Poll::Ready(ended.flatten());
            }
            this.book.expire(Instant::now());
            this.retire_if_due();
            if this.retired.is_none() && this.book.open() == 0 {
                return Poll::Ready(Ok(()));
            }
            let live = this.book.was_polled();
            if !live && let Some(job) = this.book.recall() {
                // The guest holds the store: another worker is quicker.
                this.slot.give_back(job);
                continue;
            }
            if live && this.take(cx) {
                continue;
            }
            if !live {
                // A registered waiter would swallow another's wake-up.
                this.waiting = None;
            }
            if this.wait_for_deadline(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<R> Serving<'_, R> {
    /// Takes one job from the queue; true if there is something to do at once.
    fn take(&mut self, cx: &mut Context<'_>) -> bool {
        let room = self.book.open() < self.slot.shared.limits.concurrent_calls;
        if self.retired.is_none() || !room {
            self.waiting = None;
            return false;
        }
        let jobs = &self.slot.jobs;
        let next = match jobs.try_recv() {
            Ok(job) => Some(job),
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => {
                let waiting = self.waiting.get_or_insert_with(|| {
                    let jobs = jobs.clone();
                    Box::pin(async move { jobs.recv().await.ok() })
                });
                match waiting.as_mut().poll(cx) {
                    Poll::Ready(next) => next,
                    Poll::Pending => return false,
                }
            }
        };
        // Dropped, a waiter that was woken wakes another.
        self.waiting = None;
        match next {
            // Whoever asked has given up.
            Some(job) if job.reply.is_closed() => {}
            Some(job) => self.book.hand_in(job),
            None => self.retired = None,
        }
        true
    }

    /// Takes no more calls after a stuck one or after enough of them, if no
    /// other store of this slot is draining.
    fn retire_if_due(&mut self) {
        let due = self.book.stuck() || self.book.begun() >= self.slot.shared.limits.calls_per_store;
        if !due || self.retired.is_none() {
            return;
        }
        if let Ok(permit) = Arc::clone(&self.slot.draining).try_acquire_owned() {
            self.drain = Some(permit);
            self.retired = None;
            self.waiting = None;
        }
    }

    /// Ready when the deadline of a call has passed.
    fn wait_for_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(next) = self.book.next_deadline() else {
            return Poll::Pending;
        };
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        self.timer.as_mut().poll(cx)
    }
}
