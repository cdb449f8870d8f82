//! The app's side of a run: it tells of what it changed, in every way that
//! there is, again and again until it is confirmed; and it holds the host to
//! its answers.
//!
//! Owns what one call promises: one answer, or a connection that breaks with
//! the process; counts that add up; a push for whoever is told to be up to
//! date, and none for whoever is told not to be.

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

    /// One user by its name in the path, looking at its clients before and
    /// after.
    async fn one(&self, user: usize) {
        let _list = self.lists[user].read().await;
        let entries = self.entries(&[user]);
        let before = self.sights(&entries[0].online).await;
        let path = format!("refresh/{}?details", name(user));
        let fields = [("Connection", "close")];
        let request = admin_request(DOMAIN, ("POST", &path), &fields, b"");
        if let Answered::Reply(reply) = self.ask(&request).await {
            self.hold_to(&reply.json(), reply.status, &entries, &before)
                .await;
        }
    }

    async fn counted(&self, users: &[usize]) {
        let _lists = self.kept(users).await;
        let entries = self.entries(users);
        let Answered::Reply(reply) = self.post("refresh", users, &[]).await else {
            return;
        };
        if reply.status != 200 {
            return;
        }
        let summary = reply.json();
        if self.adds_up(&summary, entries.len()) && summary["errors"] == 0 {
            for entry in &entries {
                self.truth.confirm(entry.user, entry.version);
            }
        }
    }

    async fn explained(&self, users: &[usize], fields: &[(&str, &str)]) {
        let _lists = self.kept(users).await;
        let entries = self.entries(users);
        if let Answered::Reply(reply) = self.post("refresh?details", users, fields).await {
            self.hold_to(&reply.json(), reply.status, &entries, &[])
                .await;
        }
    }

    /// The same twice: the second time without work.
    async fn keyed(&self, users: &[usize]) {
        let _lists = self.kept(users).await;
        let key = format!("\"chaos-{}\"", self.serial.fetch_add(1, Ordering::SeqCst));
        let lives = self.lives.load(Ordering::SeqCst);
        let fields = [("Idempotency-Key", key.as_str())];
        let entries = self.entries(users);
        let first = self.post("refresh?details", users, &fields).await;
        let second = self.post("refresh?details", users, &fields).await;
        if let (Answered::Reply(first), Answered::Reply(second)) = (&first, &second)
            && first.status == 200
            && self.lives.load(Ordering::SeqCst) == lives
            && (second.body != first.body || second.header("idempotent-replayed") != Some("true"))
        {
            let (first, second) = (first.text(), second.text());
            self.tale.broken(format!(
                "not the same answer for one key: {first} and {second}"
            ));
        }
        for answered in [first, second] {
            if let Answered::Reply(reply) = answered {
                self.hold_to(&reply.json(), reply.status, &entries, &[])
                    .await;
            }
        }
    }

    async fn job(&self, users: &[usize]) {
        let _lists = self.kept(users).await;
        let entries = self.entries(users);
        let lives = self.lives.load(Ordering::SeqCst);
        let fields = [("Prefer", "respond-async, return=representation")];
        let Answered::Reply(reply) = self.post("refresh", users, &fields).await else {
            return;
        };
        let Some(location) = reply.header("location").map(str::to_owned) else {
            return self
                .hold_to(&reply.json(), reply.status, &entries, &[])
                .await;
        };
        let path = location.trim_start_matches("/roster_admin/");
        let deadline = Instant::now() + 2 * ANSWER;
        while Instant::now() < deadline {
            let fields = [("Connection", "close")];
            let request = admin_request(DOMAIN, ("GET", path), &fields, b"");
            if let Answered::Reply(reply) = self.ask(&request).await {
                let gone = matches!(reply.status, 404 | 410);
                let job = reply.json();
                match job["state"].as_str() {
                    Some("done") => {
                        let answer = &job["answer"];
                        let status = answer["code"].as_u64().unwrap_or_default();
                        let status = u16::try_from(status).unwrap_or_default();
                        return self.hold_to(&answer["body"], status, &entries, &[]).await;
                    }
                    Some("cut" | "cancelled") => return,
                    _ if gone && self.lives.load(Ordering::SeqCst) != lives => return,
                    _ if gone => return self.tale.broken(format!("a job is forgotten: {job}")),
                    _ => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        self.tale
            .broken(format!("a job that does not end: {location}"));
    }

    /// What would happen happens not: the next call tells.
    async fn dry(&self, users: &[usize]) {
        if let Answered::Reply(reply) = self.post("refresh?dry_run", users, &[]).await
            && reply.status == 200
        {
            self.adds_up(&reply.json(), users.len());
        }
    }

    /// Hangs up in the midst of it. Another call follows in time, since nothing
    /// is confirmed.
    async fn given_up(&self, users: &[usize]) {
        for user in users {
            *self.calls[*user].given_up() = Some(Instant::now());
        }
        let soon = Duration::from_millis(30);
        let names: Vec<String> = users.iter().map(|user| name(*user)).collect();
        let fields = [("Content-Type", "application/json")];
        let body = json!(names).to_string();
        let request = admin_request(DOMAIN, ("POST", "refresh"), &fields, body.as_bytes());
        if let Ok(mut connection) = Connection::try_open(self.http).await {
            connection.send(&request).await;
            let _ = tokio::time::timeout(soon, connection.first_reply()).await;
        }
    }

    /// Sends the lists of these users as they are; they stay so until there is
    /// an answer.
    async fn hand_in(&self, users: &BTreeSet<usize>) {
        // Few, so that they do not hold everything up.
        let users: Vec<usize> = users.iter().copied().take(4).collect();
        let mut _lists: Vec<RwLockWriteGuard<'_, ()>> = Vec::new();
        for user in &users {
            _lists.push(self.lists[*user].write().await);
        }
        let entries = self.entries(&users);
        let documents = users
            .iter()
            .map(|user| (name(*user), self.truth.document(*user).1));
        let documents: Map<String, Value> = documents.collect();
        let (path, body) = match &users[..] {
            [user] => (
                format!("rosters/{}?details", name(*user)),
                documents[&name(*user)].clone(),
            ),
            _ => ("rosters?details".to_owned(), Value::Object(documents)),
        };
        let fields = [
            ("Content-Type", "application/json"),
            ("Connection", "close"),
        ];
        let request = admin_request(DOMAIN, ("PUT", &path), &fields, body.to_string().as_bytes());
        if let Answered::Reply(reply) = self.ask(&request).await {
            self.hold_to(&reply.json(), reply.status, &entries, &[])
                .await;
        }
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

    /// `updated` and `errors` are the number of entries.
    fn adds_up(&self, summary: &Value, entries: usize) -> bool {
        let count = |member: &str| summary[member].as_u64().unwrap_or(u64::MAX / 4);
        let adds_up = count("updated") + count("errors") == entries as u64;
        if !adds_up {
            self.tale
                .broken(format!("{entries} entries, and the counts are {summary}"));
        }
        adds_up
    }

    /// Checks what the answer says of each user against what clients see.
    async fn hold_to(&self, summary: &Value, status: u16, entries: &[Entry], before: &[Sight]) {
        if status != 200 || !self.adds_up(summary, entries.len()) {
            return;
        }
        for entry in entries {
            let named = name(entry.user);
            let told = summary["users"].as_array().into_iter().flatten();
            let told: Vec<&Value> = told.filter(|it| it["username"] == named.as_str()).collect();
            let [told] = told[..] else {
                self.tale
                    .broken(format!("{named} has {} outcomes: {summary}", told.len()));
                continue;
            };
            self.hold_to_one(told, entry, before).await;
        }
    }

    async fn hold_to_one(&self, told: &Value, entry: &Entry, before: &[Sight]) {
        let (user, version) = (entry.user, entry.version);
        let outcome = told["outcome"].as_str().unwrap_or_default();
        let is_up_to_date = matches!(outcome, "updated" | "unchanged" | "offline");
        self.tale
            .note(format!("u{user} is {outcome} as of version {version}"));
        if is_up_to_date {
            self.truth.confirm(user, version);
        }
        let sights = self.sights(&entry.online).await;
        for sight in &sights {
            let session = sight.session;
            match outcome {
                "updated" | "unchanged" if sight.version.is_none_or(|it| it < version) => {
                    let seen = sight.version;
                    self.tale.broken(format!(
                        "a lost push: u{user} is {outcome} as of version {version}, \
                         and session {session} sees {seen:?}"
                    ));
                }
                "offline" => self.tale.broken(format!(
                    "u{user} is told to be offline, and session {session} goes on"
                )),
                _ => {}
            }
        }
        // Nobody else asked for this user, and no roster stood in for it.
        if outcome == "failed" && told["source"] != "stale" && entry.is_alone() {
            for (before, after) in before.iter().zip(&sights) {
                let same = before.session == after.session;
                if same && before.version.is_some() && before.version != after.version {
                    self.tale.broken(format!(
                        "u{user} failed, and version {:?} became {:?}",
                        before.version, after.version
                    ));
                }
            }
        }
    }

    /// What clients see that still are in these sessions, as soon as they have
    /// a connection.
    async fn sights(&self, sessions: &[(usize, u64)]) -> Vec<Sight> {
        let mut sights = Vec::new();
        for (client, session) in sessions {
            let client = &self.clients[*client];
            let deadline = Instant::now() + LOOK;
            while client.session() == Some(*session) && Instant::now() < deadline {
                match client.look().await {
                    Some(sight) => {
                        if sight.session == *session {
                            sights.push(sight);
                        }
                        break;
                    }
                    None => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
        sights
    }
}
