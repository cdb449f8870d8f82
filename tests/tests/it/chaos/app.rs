//! The app's side of a run: it tells of what it changed, in every way that
//! there is, again and again until it is confirmed; and it holds the host to
//! its answers.
//!
//! Owns what one call promises: one answer, or a connection that breaks with
//! the process; counts that add up; a push for whoever is told to be up to
//! date, and none for whoever is told not to be.

mod judgement;
mod styles;

use super::client::{Handle, Sight};
use super::plan::{Style, USERS};
use super::tale::Tale;
use super::truth::{Truth, name};
use muster_tests::http::{Connection, Reply};
use muster_tests::muster::admin_request;
use muster_tests::stage::DOMAIN;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A call is answered within `limits.plugin.handle_timeout`, which is 10 s, and
/// the time for which the process may stand still or takes to start; on a
/// machine that does much else, that is long.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// For how long a client that is asked what it sees may be without a
/// connection.
const LOOK: Duration = Duration::from_secs(20);

/// The app, and whom it knows to be there.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) http: SocketAddr,
    pub(super) truth: Arc<Truth>,
    pub(super) tale: Arc<Tale>,
    pub(super) clients: Arc<Vec<Handle>>,
    /// Odd while the process is down or may go down; see [`Caller::dies`].
    lives: AtomicUsize,
    /// Who hands in a list keeps it as it is meanwhile.
    lists: Vec<RwLock<()>>,
    /// By user.
    calls: Vec<Arc<Calls>>,
    serial: AtomicUsize,
}

/// The calls for one user: two at a time tell less than one.
#[derive(Debug, Default)]
struct Calls {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// Of callers who hung up, there may be one under way.
    given_up: Mutex<Option<Instant>>,
}

/// A user in a call.
struct Entry {
    user: usize,
    /// The version that the call is about, at least.
    version: usize,
    calls: Arc<Calls>,
    /// Calls for this user so far, with this one; `None` if it is not alone.
    alone: Option<usize>,
    /// Clients in a session before the call.
    online: Vec<(usize, u64)>,
}

impl Entry {
    /// Whether there was no other call for the user in all its time.
    fn is_alone(&self) -> bool {
        self.alone == Some(self.calls.begun.load(Ordering::SeqCst))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.calls.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Calls {
    /// Begins a call: how many there are then, if it is the only one.
    fn begin(&self) -> Option<usize> {
        let begun = 1 + self.begun.fetch_add(1, Ordering::SeqCst);
        let others = begun - 1 - self.ended.load(Ordering::SeqCst);
        let given_up = *self.given_up();
        let may_go_on = given_up.is_some_and(|it| it.elapsed() < ANSWER);
        (others == 0 && !may_go_on).then_some(begun)
    }

    fn given_up(&self) -> MutexGuard<'_, Option<Instant>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a request.
enum Answered {
    Reply(Reply),
    /// The process was going down: the connection broke.
    Broken,
    /// What must not be; it is told already.
    Wrong,
}

impl Caller {
    pub(super) fn new(
        http: SocketAddr,
        truth: Arc<Truth>,
        tale: Arc<Tale>,
        clients: Arc<Vec<Handle>>,
    ) -> Caller {
        Caller {
            http,
            truth,
            tale,
            clients,
            lives: AtomicUsize::new(0),
            lists: (0..USERS).map(|_| RwLock::new(())).collect(),
            calls: (0..USERS).map(|_| Arc::default()).collect(),
            serial: AtomicUsize::new(1),
        }
    }

    /// The process is about to end; or, the second time, it is there again.
    pub(super) fn dies(&self) {
        self.lives.fetch_add(1, Ordering::SeqCst);
    }

    /// Tells of these users, and of all of whom the app still has to tell.
    pub(super) async fn call(&self, style: Style, users: &[usize]) {
        let mut all: BTreeSet<usize> = users.iter().copied().collect();
        match style {
            Style::HandIn => return self.hand_in(&all).await,
            Style::Dry | Style::GivenUp => {}
            _ => all.extend(self.truth.unconfirmed()),
        }
        let users: Vec<usize> = all.into_iter().collect();
        match style {
            Style::Single => {
                for user in users {
                    self.one(user).await;
                }
            }
            Style::Batch => self.counted(&users).await,
            Style::Explained => self.explained(&users, &[]).await,
            Style::Keyed => self.keyed(&users).await,
            Style::Job => self.job(&users).await,
            Style::Dry => self.dry(&users).await,
            Style::GivenUp => self.given_up(&users).await,
            Style::HandIn => {}
        }
    }

    /// Tells of everybody of whom the app still has to tell. Whether that was
    /// anybody.
    pub(super) async fn make_up(&self) -> bool {
        let users = self.truth.unconfirmed();
        if !users.is_empty() {
            self.explained(&users, &[]).await;
        }
        !users.is_empty()
    }

    fn entries(&self, users: &[usize]) -> Vec<Entry> {
        let entry = |user: &usize| Entry {
            user: *user,
            version: self.truth.version(*user),
            alone: self.calls[*user].begin(),
            calls: Arc::clone(&self.calls[*user]),
            online: self.online(*user),
        };
        users.iter().map(entry).collect()
    }

    /// The sessions that a user has.
    fn online(&self, user: usize) -> Vec<(usize, u64)> {
        let clients = self.clients.iter().filter(|it| it.user == user);
        let sessions = clients.filter_map(|it| Some((it.number, it.session()?)));
        sessions.collect()
    }

    /// A request, and its one answer.
    async fn ask(&self, request: &[u8]) -> Answered {
        let lives = self.lives.load(Ordering::SeqCst);
        let start = Instant::now();
        let asked = async {
            let mut connection = Connection::try_open(self.http).await.ok()?;
            connection.send(request).await;
            let reply = connection.first_reply().await?;
            Some((reply, connection))
        };
        let asked = tokio::time::timeout(ANSWER, asked).await;
        self.tale.took("calls answered", start.elapsed());
        let may_break = lives % 2 == 1 || self.lives.load(Ordering::SeqCst) != lives;
        match asked {
            Ok(Some((reply, mut connection))) => {
                let closed = tokio::time::timeout(ANSWER, connection.is_closed()).await;
                if closed != Ok(true) {
                    self.tale
                        .broken(format!("more than one answer: {}", reply.text()));
                }
                self.judge(reply)
            }
            Ok(None) if may_break => {
                self.tale.count("calls that broke with the process");
                Answered::Broken
            }
            Ok(None) => {
                self.tale
                    .broken("a call without an answer, and the process lived");
                Answered::Wrong
            }
            Err(_) => {
                self.tale
                    .broken(format!("a call without an answer for {ANSWER:?}"));
                Answered::Wrong
            }
        }
    }

    fn judge(&self, reply: Reply) -> Answered {
        match reply.status {
            200 | 202 | 404 | 410 => self.tale.count("calls answered"),
            429 | 502 | 503 | 504 => {
                self.tale.count("calls refused");
                self.tale
                    .note(format!("refused with {}: {}", reply.status, reply.text()));
            }
            status => self
                .tale
                .broken(format!("a call answered {status}: {}", reply.text())),
        }
        if matches!(reply.status, 429 | 503) && reply.header("retry-after").is_none() {
            self.tale
                .broken(format!("{} without Retry-After", reply.status));
        }
        Answered::Reply(reply)
    }

    /// A refresh of these users; `fields` beside the usual.
    async fn post(&self, path: &str, users: &[usize], fields: &[(&str, &str)]) -> Answered {
        let names: Vec<Value> = users.iter().map(|user| json!(name(*user))).collect();
        let body = Value::from(names).to_string();
        let mut all = vec![
            ("Content-Type", "application/json"),
            ("Connection", "close"),
        ];
        all.extend_from_slice(fields);
        self.ask(&admin_request(
            DOMAIN,
            ("POST", path),
            &all,
            body.as_bytes(),
        ))
        .await
    }

    /// Keeps the lists of these users, each named once and in order, from being
    /// handed in for as long as the guards live. A second read of the same list
    /// would wait behind a writer that waits for the first.
    pub(super) async fn kept(
        &self,
        users: impl IntoIterator<Item = &usize>,
    ) -> Vec<RwLockReadGuard<'_, ()>> {
        let mut kept = Vec::new();
        for user in users {
            kept.push(self.lists[*user].read().await);
        }
        kept
    }
}
