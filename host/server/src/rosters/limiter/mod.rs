//! The turns of a virtual host's fetches: how many run at once, and who is next.
//!
//! Owns the places of fetches under way, the line of those that wait, and the
//! [`window`] that follows how the app bears it; logins go before refreshes
//! ([`line`]), and what nobody waits for has only places that are to spare. Does
//! not fetch. Where the app takes many names in one request,
//! those that wait are handed out together as a [`Party`], for whose fetch
//! somebody else provides: who finds a free place goes alone, so that nothing
//! changes for a server at rest.
//!
//! Who goes away leaves the line, and a place is free when its [`Permit`] is
//! dropped.

mod line;
mod meters;
mod permit;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_xmpp::BareJid;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub(super) use self::line::Class;
use self::line::{Line, Place};
use self::meters::Meters;
pub(super) use self::permit::Permit;
use self::permit::{Called, Load};
pub(super) use self::window::Ending;
use self::window::Window;
use crate::limit::Limit;

/// How long nothing is asked for together, after the app has said that it
/// cannot.
const ALONE: Duration = Duration::from_secs(300);

/// What nobody waits for takes one of so many places at most, and that only while
/// less than half of all are taken.
const BACKGROUND_SHARE: usize = 8;

/// The bounds of one limiter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Fetches at once, at least; whatever the app answers.
    pub(super) floor: usize,
    /// The same, at most.
    pub(super) cap: usize,
    /// Fetches that may wait.
    pub(super) waiting: usize,
    /// Names of one party.
    pub(super) names: usize,
    /// Parties at once.
    pub(super) parties: usize,
}

/// Why there is no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// More fetches wait than may.
    Full,
    /// Whoever provided for parties has ended.
    Ending,
}

/// What waiting came to.
pub(super) enum Turn<T> {
    /// The fetch may begin.
    Alone(Permit<T>),
    /// It was made, together with others.
    Served(T),
}

/// Some who waited, to be fetched for in one request.
pub(super) struct Party<T> {
    pub(super) permit: Permit<T>,
    pub(super) riders: Vec<Rider<T>>,
}

/// Somebody who waits.
pub(super) struct Rider<T> {
    pub(super) account: BareJid,
    place: Place,
    since: Instant,
    turn: oneshot::Sender<Turn<T>>,
}

impl<T> Rider<T> {
    /// The fetch was made.
    pub(super) fn serve(self, answer: T) {
        // Who went away is not served.
        let _ = self.turn.send(Turn::Served(answer));
    }
}

/// See the module.
pub(super) struct Limiter<T> {
    /// A leaf lock, held for a few comparisons; nobody is woken under it.
    desk: Mutex<Desk<T>>,
    bounds: Bounds,
    meters: Meters,
}

struct Desk<T> {
    window: Window,
    line: Line<Rider<T>>,
    under_way: usize,
    /// Of these, requests for many.
    parties: usize,
    /// And those that nobody waits for.
    background: usize,
    /// Who provides for parties; nobody, if the app takes one name at a time.
    driver: Option<mpsc::Sender<Party<T>>>,
    alone_until: Option<Instant>,
}

impl<T> Limiter<T> {
    /// For the virtual host `domain`.
    pub(super) fn new(domain: &str, bounds: Bounds) -> Arc<Limiter<T>> {
        let window = Window::new(bounds.floor, bounds.cap, Instant::now());
        let limiter = Limiter {
            meters: Meters::new(domain),
            desk: Mutex::new(Desk {
                window,
                line: Line::new(),
                under_way: 0,
                parties: 0,
                background: 0,
                driver: None,
                alone_until: None,
            }),
            bounds,
        };
        limiter.show(&limiter.desk.lock());
        Arc::new(limiter)
    }

    /// From now on those that wait are handed out together, to the holder of
    /// the receiver. Without one they are handed out one by one.
    pub(super) fn parties(&self) -> mpsc::Receiver<Party<T>> {
        let (driver, parties) = mpsc::channel(self.bounds.parties.max(1));
        self.desk.lock().driver = Some(driver);
        parties
    }

    /// Waits for the turn of a fetch for `account`.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn turn(
        self: &Arc<Self>,
        class: Class,
        account: &BareJid,
    ) -> Result<Turn<T>, NoTurn> {
        let waiting = {
            let mut desk = self.desk.lock();
            if desk.line.before(class) == 0 && desk.has_room(class) {
                let permit = self.permit(&mut desk, Load::of(class));
                self.show(&desk);
                return Ok(Turn::Alone(permit));
            }
            if desk.line.before(class) >= self.bounds.waiting {
                drop(desk);
                Limit::RefreshWaitingFetches.reached();
                return Err(NoTurn::Full);
            }
            let (turn, called) = oneshot::channel();
            let place = desk.line.place(class);
            let rider = Rider {
                account: account.clone(),
                place,
                since: Instant::now(),
                turn,
            };
            desk.line.wait(place, rider);
            self.show(&desk);
            Waiting {
                limiter: self,
                place,
                called,
            }
        };
        if class != Class::Background {
            Limit::RefreshConcurrency.reached();
        }
        waiting.called().await
    }

    /// Waits for a place that nobody else wants, for a fetch for `account` alone.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn spare(self: &Arc<Self>, account: &BareJid) -> Result<Permit<T>, NoTurn> {
        match self.turn(Class::Background, account).await? {
            Turn::Alone(permit) => Ok(permit),
            // Nobody of this class goes together with others.
            Turn::Served(_) => Err(NoTurn::Ending),
        }
    }

    /// The app takes one name at a time: those of the party wait again, where
    /// they have waited, and are called one by one for a while.
    pub(super) fn disband(&self, party: Party<T>) {
        let now = Instant::now();
        let Party { permit, riders } = party;
        let mut desk = self.desk.lock();
        desk.alone_until = Some(now + ALONE);
        for rider in riders {
            // Whose receiver is gone has left the line for good.
            if !rider.turn.is_closed() {
                desk.line.wait(rider.place, rider);
            }
        }
        drop(desk);
        // Whoever is next is called now.
        drop(permit);
    }

    /// How long a login that came now would wait for its turn, about.
    pub(super) fn expected_wait(&self) -> Duration {
        let desk = self.desk.lock();
        let waiting = desk.line.waiting(Class::Login);
        // Those who wait go together, where they can.
        let waiting = match desk.goes_together(Instant::now()) {
            true => waiting / self.bounds.names.max(1),
            false => waiting,
        };
        desk.window.wait(waiting)
    }

    fn permit(self: &Arc<Self>, desk: &mut Desk<T>, load: Load) -> Permit<T> {
        let epoch = desk.window.begin(desk.under_way);
        desk.under_way += 1;
        desk.parties += usize::from(load == Load::Party);
        desk.background += usize::from(load == Load::Background);
        Permit {
            limiter: Arc::clone(self),
            epoch,
            begun: Instant::now(),
            ending: Ending::Neutral,
            load,
        }
    }

    /// Takes those out of the line for whom there is room.
    fn call(self: &Arc<Self>, desk: &mut Desk<T>, now: Instant) -> Vec<Called<T>> {
        let mut called = Vec::new();
        while desk.line.pressing() > 0 && desk.has_room(Class::Refresh) {
            let driver = desk.driver.clone().filter(|_| desk.goes_together(now));
            if driver.is_some() && desk.parties >= self.bounds.parties {
                // The next party takes whoever waits by then.
                break;
            }
            let Some(first) = self.next(desk, now) else {
                break;
            };
            match driver {
                Some(driver) if desk.line.pressing() > 0 => {
                    let more = std::iter::from_fn(|| match desk.line.pressing() {
                        0 => None,
                        _ => self.next(desk, now),
                    });
                    let riders = std::iter::once(first).chain(more);
                    let riders = riders.take(self.bounds.names.max(1)).collect();
                    let permit = self.permit(desk, Load::Party);
                    called.push(Called::Party(driver, Party { permit, riders }));
                }
                _ => called.push(Called::Alone(first, self.permit(desk, Load::One))),
            }
        }
        while desk.line.pressing() == 0
            && desk.has_room(Class::Background)
            && let Some(rider) = self.next(desk, now)
        {
            called.push(Called::Alone(rider, self.permit(desk, Load::Background)));
        }
        called
    }

    fn next(&self, desk: &mut Desk<T>, now: Instant) -> Option<Rider<T>> {
        let (place, rider) = desk.line.next()?;
        let waited = now.saturating_duration_since(rider.since);
        self.meters.waited(place.class(), waited);
        Some(rider)
    }

    fn show(&self, desk: &Desk<T>) {
        self.meters.limit.set(desk.window.limit() as f64);
        self.meters.under_way.set(desk.under_way as f64);
        for (class, gauge) in Class::ALL.into_iter().zip(&self.meters.waiting) {
            gauge.set(desk.line.waiting(class) as f64);
        }
    }
}

impl<T> Desk<T> {
    /// Whether another fetch of that class may begin beside those under way.
    fn has_room(&self, class: Class) -> bool {
        let limit = self.window.limit();
        match class {
            Class::Login | Class::Refresh => self.under_way < limit,
            Class::Background => {
                let spare = self.under_way == 0 || self.under_way < limit / 2;
                spare && self.background < (limit / BACKGROUND_SHARE).max(1)
            }
        }
    }

    fn goes_together(&self, now: Instant) -> bool {
        let provided = self.driver.as_ref().is_some_and(|it| !it.is_closed());
        provided && self.alone_until.is_none_or(|until| now >= until)
    }
}

/// A place in the line; dropped, it is given up.
struct Waiting<'a, T> {
    limiter: &'a Limiter<T>,
    place: Place,
    called: oneshot::Receiver<Turn<T>>,
}

impl<T> Waiting<'_, T> {
    async fn called(mut self) -> Result<Turn<T>, NoTurn> {
        let called = &mut self.called;
        called.await.map_err(|_| NoTurn::Ending)
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        // Closed first: a party that is disbanded now does not put it back.
        self.called.close();
        let mut desk = self.limiter.desk.lock();
        let left = desk.line.leave(self.place);
        if left.is_some() {
            self.limiter.show(&desk);
        }
        drop(desk);
    }
}

#[cfg(test)]
mod tests;
