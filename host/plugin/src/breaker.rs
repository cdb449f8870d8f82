//! Circuit breakers: what fails again and again is left alone for a while.
//!
//! A plugin has one for each of its exports, since they fail apart ([`Breakers`]:
//! `plugin:fetch`, `plugin:handle`), and one for each origin that it may ask.
//! [`circuit`] has the states; here are the clock, the lock, the metrics and
//! the words in the log. A call gets a [`Pass`] and says how it ended; a pass
//! that is dropped says nothing of what was called.

mod circuit;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use tokio::sync::watch;

pub use self::circuit::{BreakerPolicy, BreakerState};
use self::circuit::{Circuit, Refused, Ticket, Transition, Verdict};
use crate::egress::Origin;
use crate::settings::Limits;
use crate::telemetry::Meter;

/// The breakers of one plugin, over all of its generations.
pub(crate) struct Breakers {
    fetch: Arc<Breaker>,
    handle: Arc<Breaker>,
    backends: Vec<(Origin, Arc<Breaker>)>,
    /// How often the app came back.
    returns: Arc<watch::Sender<u64>>,
}

impl Breakers {
    /// Closed ones for a plugin and the origins that it may ask.
    pub(crate) fn new(origins: &[Origin], limits: &Limits, meter: &Meter) -> Self {
        let (plugin, backend) = (limits.plugin_breaker, limits.backend_breaker);
        let returns = Arc::new(watch::Sender::new(0));
        let of_plugin = |name: &str| Arc::new(Breaker::new(meter, name.to_owned(), plugin, None));
        let of_origin = |origin: &Origin| {
            let returns = Some(Arc::clone(&returns));
            let breaker = Breaker::new(meter, format!("backend:{origin}"), backend, returns);
            (origin.clone(), Arc::new(breaker))
        };
        Self {
            fetch: of_plugin("plugin:fetch"),
            handle: of_plugin("plugin:handle"),
            backends: origins.iter().map(of_origin).collect(),
            returns,
        }
    }

    /// Asks whether `fetch` may be called.
    pub(crate) fn fetch(&self) -> Result<Pass, Open> {
        Breaker::admit(&self.fetch)
    }

    /// Asks whether `handle` may be called.
    pub(crate) fn handle(&self) -> Result<Pass, Open> {
        Breaker::admit(&self.handle)
    }

    /// Asks whether a request may be sent to `origin`.
    pub(crate) fn backend(&self, origin: &Origin) -> Result<Pass, Open> {
        match self.backends.iter().find(|(known, _)| known == origin) {
            Some((_, breaker)) => Breaker::admit(breaker),
            // The policy admits no other origins than those that it has.
            None => Ok(Pass::free()),
        }
    }

    /// Whether requests to `origin` pass without more ado.
    pub(crate) fn is_closed(&self, origin: &Origin) -> bool {
        let mut backends = self.backends.iter();
        backends.all(|(known, breaker)| known != origin || breaker.is_closed())
    }

    /// Whether requests pass to all origins.
    pub(crate) fn all_backends_are_closed(&self) -> bool {
        self.backends.iter().all(|(_, breaker)| breaker.is_closed())
    }

    /// Another generation serves: what the one before did is not held against
    /// it.
    pub(crate) fn renew(&self) {
        self.fetch.reset();
        self.handle.reset();
    }

    /// The app is back: its breakers close. Returns how many did.
    pub(crate) fn app_is_back(&self) -> usize {
        let closed = self.backends.iter().filter(|(_, breaker)| breaker.reset());
        let closed = closed.count();
        if closed == 0 {
            self.returns.send_modify(|times| *times += 1);
        }
        closed
    }

    /// Changes whenever the app is known to answer again: a breaker of an
    /// origin closes, or somebody says so.
    pub(crate) fn returns(&self) -> watch::Receiver<u64> {
        self.returns.subscribe()
    }

    /// The states of all, those of the plugin first.
    pub(crate) fn status(&self) -> Vec<BreakerStatus> {
        let backends = self.backends.iter().map(|(_, breaker)| breaker);
        let all = [&self.fetch, &self.handle].into_iter().chain(backends);
        all.map(|breaker| breaker.status()).collect()
    }
}

/// A breaker at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerStatus {
    /// `plugin:fetch`, `plugin:handle`, or `backend:` and an origin.
    pub name: String,
    /// Whether calls pass.
    pub state: BreakerState,
    /// How long it has been closed, or not closed.
    pub lasting: Duration,
    /// Calls that ended within [`BreakerPolicy::window`].
    pub calls: u32,
    /// Those of them that failed.
    pub failures: u32,
    /// Calls that ended since the plugin was loaded first.
    pub total_calls: u64,
    /// Those of them that failed.
    pub total_failures: u64,
    /// Calls that were refused since then.
    pub total_refused: u64,
    /// Until when a call is let through again; nothing while it is closed.
    pub next_probe: Option<Duration>,
}

impl BreakerStatus {
    /// Whether it guards the app, not the plugin.
    #[must_use]
    pub fn is_backend(&self) -> bool {
        self.name.starts_with("backend:")
    }
}

/// A call may not be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// Until when one will be let through.
    pub(crate) retry_after: Duration,
}

/// One breaker.
struct Breaker {
    vhost: String,
    name: String,
    policy: BreakerPolicy,
    /// A leaf lock, held for a few comparisons.
    inner: Mutex<Inner>,
    /// Told when it closes.
    returns: Option<Arc<watch::Sender<u64>>>,
    gauge: Gauge,
    refused: Counter,
    /// To open, to probing, to closed.
    transitions: [Counter; 3],
}

struct Inner {
    circuit: Circuit,
    totals: Totals,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    calls: u64,
    failures: u64,
    refused: u64,
}

impl Breaker {
    fn new(
        meter: &Meter,
        name: String,
        policy: BreakerPolicy,
        returns: Option<Arc<watch::Sender<u64>>>,
    ) -> Self {
        let breaker = Self {
            vhost: meter.vhost().to_owned(),
            policy,
            inner: Mutex::new(Inner {
                circuit: Circuit::new(policy, Instant::now()),
                totals: Totals::default(),
            }),
            returns,
            gauge: meter.breaker_state(&name),
            refused: meter.breaker_refused(&name),
            transitions: [
                BreakerState::Open,
                BreakerState::Probing,
                BreakerState::Closed,
            ]
            .map(|to| meter.breaker_transitions(&name, to.name())),
            name,
        };
        breaker.gauge.set(0.0);
        breaker
    }

    fn admit(self: &Arc<Self>) -> Result<Pass, Open> {
        let (ticket, transition) = {
            let mut inner = self.lock();
            let (ticket, transition) = inner.circuit.admit(Instant::now());
            inner.totals.refused += u64::from(ticket.is_err());
            (ticket, transition)
        };
        self.tell(transition, "");
        match ticket {
            Ok(ticket) => Ok(Pass(Some((Arc::clone(self), ticket)))),
            Err(Refused { retry_after }) => {
                self.refused.increment(1);
                Err(Open { retry_after })
            }
        }
    }

    fn end(&self, ticket: &Ticket, verdict: Verdict, cause: &'static str) {
        let transition = {
            let mut inner = self.lock();
            inner.totals.calls += u64::from(verdict != Verdict::Nothing);
            inner.totals.failures += u64::from(verdict == Verdict::Failure);
            inner.circuit.end(ticket, verdict, Instant::now())
        };
        self.tell(transition, cause);
    }

    /// Closes it. Returns whether it was not closed before.
    fn reset(&self) -> bool {
        let transition = self.lock().circuit.reset(Instant::now());
        self.tell(transition, "");
        transition.is_some()
    }

    fn is_closed(&self) -> bool {
        let glance = self.lock().circuit.glance(Instant::now());
        glance.state == BreakerState::Closed
    }

    fn status(&self) -> BreakerStatus {
        let mut inner = self.lock();
        let glance = inner.circuit.glance(Instant::now());
        BreakerStatus {
            name: self.name.clone(),
            state: glance.state,
            lasting: glance.lasting,
            calls: glance.ended,
            failures: glance.failed,
            total_calls: inner.totals.calls,
            total_failures: inner.totals.failures,
            total_refused: inner.totals.refused,
            next_probe: glance.next_probe,
        }
    }

    /// What a change means for the log, the metrics and whoever waits for it.
    fn tell(&self, transition: Option<Transition>, cause: &'static str) {
        let Some(transition) = transition else { return };
        let (vhost, breaker) = (&*self.vhost, &*self.name);
        match transition {
            Transition::Opened { failed, ended } => {
                self.show(BreakerState::Open);
                let probe_interval = self.policy.probe_interval;
                tracing::warn!(
                    vhost,
                    breaker,
                    cause,
                    failed,
                    ended,
                    "a circuit breaker opens: calls fail at once, but for one every {probe_interval:?}"
                );
            }
            Transition::OpenAgain => {
                self.show(BreakerState::Open);
                tracing::debug!(vhost, breaker, cause, "a probe did not succeed");
            }
            Transition::Probing => self.show(BreakerState::Probing),
            Transition::Closed { after } => {
                self.show(BreakerState::Closed);
                tracing::info!(vhost, breaker, ?after, "a circuit breaker closes");
                if let Some(returns) = &self.returns {
                    returns.send_modify(|times| *times += 1);
                }
            }
        }
    }

    fn show(&self, state: BreakerState) {
        let [open, probing, closed] = &self.transitions;
        let (value, transitions) = match state {
            BreakerState::Closed => (0.0, closed),
            BreakerState::Open => (1.0, open),
            BreakerState::Probing => (2.0, probing),
        };
        self.gauge.set(value);
        transitions.increment(1);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to make one call. Dropped without a word, it says nothing of
/// what was called: the caller went away.
pub(crate) struct Pass(Option<(Arc<Breaker>, Ticket)>);

impl Pass {
    /// For a call that no breaker guards.
    fn free() -> Self {
        Self(None)
    }

    /// What was called works.
    pub(crate) fn success(self) {
        self.end(Verdict::Success, "");
    }

    /// What was called does not work. `cause` is for the log: a label, no
    /// text of anybody's.
    pub(crate) fn failure(self, cause: &'static str) {
        self.end(Verdict::Failure, cause);
    }

    fn end(mut self, verdict: Verdict, cause: &'static str) {
        if let Some((breaker, ticket)) = self.0.take() {
            breaker.end(&ticket, verdict, cause);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some((breaker, ticket)) = self.0.take() {
            breaker.end(&ticket, Verdict::Nothing, "abandoned");
        }
    }
}

#[cfg(test)]
mod tests;
