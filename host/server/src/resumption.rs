//! Sessions that can be resumed (XEP-0198, section 5): who has them, and how
//! another connection gets them.
//!
//! Owns the table of their names and the count of those that are parked: alive
//! without a connection. Does not own a session: its connection's task does,
//! parked or not, and hands it over when another task asks with the right name
//! and account. What is handed over (`H`) is the connection's affair.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use muster_xmpp::BareJid;
use muster_xmpp::session::NotResumed;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::sync::{Notify, oneshot};

/// How a session's task is told to hand it over.
pub(crate) type Reply<H> = oneshot::Sender<H>;

/// How long a session may be on its way from one connection to another. Both
/// are tasks that do nothing else meanwhile.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// The bounds of resumption.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResumptionLimits {
    /// How long a session outlives its connection.
    pub(crate) timeout: Duration,
    /// Sessions that are parked at the same time; also, how many ended ones are
    /// remembered.
    pub(crate) parked: usize,
}

/// The sessions of the process that can be resumed.
#[derive(Debug)]
pub(crate) struct Resumptions<H> {
    limits: ResumptionLimits,
    /// A leaf lock, held for a lookup.
    table: Mutex<Table<H>>,
    /// A session that was on its way has arrived, or ended.
    arrived: Notify,
}

#[derive(Debug)]
struct Table<H> {
    /// By account.
    sessions: HashMap<Box<str>, Vec<Entry<H>>>,
    /// The last sessions that ended without being resumed.
    ended: VecDeque<Ended>,
    parked: usize,
}

#[derive(Debug)]
struct Entry<H> {
    id: Box<str>,
    /// `None` while the session is on its way to another connection.
    owner: Option<oneshot::Sender<Reply<H>>>,
}

/// A session that is gone. Its client can still learn what of it was handled.
#[derive(Debug)]
struct Ended {
    account: BareJid,
    id: Box<str>,
    handled: u32,
}

/// What the table knows of a name.
enum Found<H> {
    Owner(oneshot::Sender<Reply<H>>),
    OnItsWay,
    Ended(NotResumed),
}

impl<H> Resumptions<H> {
    pub(crate) fn new(limits: ResumptionLimits) -> Resumptions<H> {
        Resumptions {
            limits,
            table: Mutex::new(Table {
                sessions: HashMap::new(),
                ended: VecDeque::new(),
                parked: 0,
            }),
            arrived: Notify::new(),
        }
    }

    /// How long a session lives without a connection, if its client wants it to
    /// for `wish` at most. `None` for no time at all.
    pub(crate) fn timeout(&self, wish: Option<Duration>) -> Option<Duration> {
        let timeout = wish.map_or(self.limits.timeout, |wish| wish.min(self.limits.timeout));
        (!timeout.is_zero()).then_some(timeout)
    }

    /// Makes a session of `account` known under `id`.
    pub(crate) fn enter(self: &Arc<Self>, account: &BareJid, id: &str) -> Ticket<H> {
        let (owner, asked) = oneshot::channel();
        let mut table = self.table.lock();
        let sessions = table.sessions.entry(account.as_str().into()).or_default();
        sessions.push(Entry {
            id: id.into(),
            owner: Some(owner),
        });
        drop(table);
        Ticket {
            resumptions: Arc::clone(self),
            account: account.clone(),
            id: id.into(),
            asked,
        }
    }

    /// Gets the session `id` of `account` from the task that has it.
    ///
    /// # Errors
    /// There is none; [`NotResumed`] tells what is still known of it.
    pub(crate) async fn obtain(&self, account: &BareJid, id: &str) -> Result<H, NotResumed> {
        let deadline = tokio::time::Instant::now() + ON_ITS_WAY;
        loop {
            let arrived = self.arrived.notified();
            let found = self.table.lock().find(account, id);
            match found {
                Found::Ended(ended) => return Err(ended),
                Found::OnItsWay => {}
                Found::Owner(owner) => {
                    let (reply, handed_over) = oneshot::channel();
                    // An owner that is about to end answers neither.
                    if owner.send(reply).is_ok()
                        && let Ok(session) = handed_over.await
                    {
                        return Ok(session);
                    }
                }
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Err(NotResumed { handled: None });
            }
        }
    }

    /// A place for a session without a connection; `None` if there are too
    /// many.
    pub(crate) fn park(self: &Arc<Self>) -> Option<Place<H>> {
        let mut table = self.table.lock();
        if table.parked >= self.limits.parked {
            drop(table);
            metrics::counter!("muster_parked_sessions_refused_total").increment(1);
            return None;
        }
        table.count_parked(1);
        drop(table);
        Some(Place(Arc::clone(self)))
    }
}

impl<H> Table<H> {
    fn find(&mut self, account: &BareJid, id: &str) -> Found<H> {
        let sessions = self.sessions.get_mut(account.as_str());
        let found = sessions.and_then(|sessions| sessions.iter_mut().find(|it| same(&it.id, id)));
        match found.map(|entry| entry.owner.take()) {
            Some(Some(owner)) => Found::Owner(owner),
            Some(None) => Found::OnItsWay,
            None => {
                let ended = self.ended.iter();
                let mut ended = ended.filter(|it| it.account == *account && same(&it.id, id));
                let handled = ended.next_back().map(|it| it.handled);
                Found::Ended(NotResumed { handled })
            }
        }
    }

    fn count_parked(&mut self, change: isize) {
        self.parked = self.parked.saturating_add_signed(change);
        metrics::gauge!("muster_parked_sessions").set(self.parked as f64);
    }
}

/// Names are secrets between a client and us.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// A session's entry in the table; goes with the session from connection to
/// connection. Dropping it takes the session out.
#[derive(Debug)]
pub(crate) struct Ticket<H> {
    resumptions: Arc<Resumptions<H>>,
    account: BareJid,
    id: Box<str>,
    asked: oneshot::Receiver<Reply<H>>,
}

impl<H> Ticket<H> {
    /// Waits until another connection wants the session. Once only, until the
    /// ticket is [renewed](Ticket::renew).
    pub(crate) async fn asked(&mut self) -> Reply<H> {
        match (&mut self.asked).await {
            Ok(reply) => reply,
            // Nobody can ask any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// The session is where it can be asked for again.
    pub(crate) fn renew(&mut self) {
        let (owner, asked) = oneshot::channel();
        self.asked = asked;
        let mut table = self.resumptions.table.lock();
        let sessions = table.sessions.get_mut(self.account.as_str());
        let entry = sessions.and_then(|all| all.iter_mut().find(|it| it.id == self.id));
        if let Some(entry) = entry {
            entry.owner = Some(owner);
        }
        drop(table);
        self.resumptions.arrived.notify_waiters();
    }

    /// The session has ended without being resumed: whoever asks for it is told
    /// that `handled` stanzas had been.
    pub(crate) fn end(self, handled: u32) {
        let mut table = self.resumptions.table.lock();
        if table.ended.len() >= self.resumptions.limits.parked {
            table.ended.pop_front();
        }
        table.ended.push_back(Ended {
            account: self.account.clone(),
            id: self.id.clone(),
            handled,
        });
    }
}

impl<H> Drop for Ticket<H> {
    fn drop(&mut self) {
        let mut table = self.resumptions.table.lock();
        if let Some(sessions) = table.sessions.get_mut(self.account.as_str()) {
            sessions.retain(|it| it.id != self.id);
            if sessions.is_empty() {
                table.sessions.remove(self.account.as_str());
            }
        }
        drop(table);
        self.resumptions.arrived.notify_waiters();
    }
}

/// The place of one parked session.
#[derive(Debug)]
pub(crate) struct Place<H>(Arc<Resumptions<H>>);

impl<H> Drop for Place<H> {
    fn drop(&mut self) {
        self.0.table.lock().count_parked(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> BareJid {
        BareJid::new(&format!("{name}@example.test")).unwrap()
    }

    fn resumptions(parked: usize) -> Arc<Resumptions<u32>> {
        Arc::new(Resumptions::new(ResumptionLimits {
            timeout: Duration::from_secs(60),
            parked,
        }))
    }

    #[tokio::test]
    async fn a_session_goes_to_its_own_account_only() {
        let all = resumptions(9);
        let mut ticket = all.enter(&account("john"), "name");
        let unknown = Err(NotResumed { handled: None });
        assert_eq!(all.obtain(&account("marie"), "name").await, unknown);
        assert_eq!(all.obtain(&account("john"), "other").await, unknown);
        let john = account("john");
        let (obtained, ()) = tokio::join!(all.obtain(&john, "name"), async {
            ticket.asked().await.send(7).unwrap();
        });
        assert_eq!(obtained, Ok(7));
    }

    #[tokio::test]
    async fn who_asks_while_it_is_on_its_way_gets_it_where_it_arrives() {
        let all = resumptions(9);
        let john = account("john");
        let mut ticket = all.enter(&john, "name");
        let on_its_way = async {
            let reply = ticket.asked().await;
            // The other one has asked in vain meanwhile.
            tokio::task::yield_now().await;
            reply.send(1).unwrap();
            ticket.renew();
            ticket.asked().await.send(2).unwrap();
        };
        let (first, second, ()) = tokio::join!(
            all.obtain(&john, "name"),
            all.obtain(&john, "name"),
            on_its_way
        );
        assert_eq!((first, second), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn an_ended_session_is_remembered_for_a_while() {
        let all = resumptions(2);
        let john = account("john");
        for (id, handled) in [("a", 1), ("b", 2), ("c", 3)] {
            all.enter(&john, id).end(handled);
        }
        for (id, handled) in [("a", None), ("b", Some(2)), ("c", Some(3))] {
            assert_eq!(all.obtain(&john, id).await, Err(NotResumed { handled }));
        }
        drop(all.enter(&john, "d"));
        assert!(all.table.lock().sessions.is_empty());
    }

    #[test]
    fn the_places_and_the_time_are_bounded() {
        let all = resumptions(2);
        let places = [all.park().unwrap(), all.park().unwrap()];
        assert!(all.park().is_none());
        drop(places);
        assert!(all.park().is_some());
        let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        assert_eq!(all.timeout(None), minutes(1));
        assert_eq!(all.timeout(minutes(2)), minutes(1));
        assert_eq!(all.timeout(Some(Duration::ZERO)), None);
    }
}
