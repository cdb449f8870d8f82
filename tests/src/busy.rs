//! An app with so many places and a time for each answer: for storms.
//!
//! It answers `GET /contacts/<user>` and `POST /contacts`, the same contacts for
//! everybody, and counts what it was asked and how much of it at once. A share
//! of its users it fails, always the same ones: with 500, a reset, or silence.
//! [`crate::app`] is for what is scripted user by user.

use crate::app::{Request, closed_address, read};
use serde_json::{Map, Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

/// What a busy app is like.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long an answer takes.
    pub latency: Duration,
    /// Requests that are answered at once.
    pub places: usize,
    /// What becomes of others.
    pub beyond: Beyond,
    /// Whether many users are answered in one request.
    pub together: bool,
}

/// What becomes of a request that finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// It waits for one.
    Waits,
    /// It is answered 503.
    IsRefused,
}

/// What becomes of a user's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The contacts.
    Well,
    /// 500.
    Broken,
    /// A reset in mid-body.
    Reset,
    /// Silence.
    Hang,
}

/// A running app. It ends when this is dropped.
#[derive(Debug)]
pub struct BusyApp {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    terms: Terms,
    places: Semaphore,
    /// Of 100 users, how many fail.
    faulty: AtomicU32,
    contacts: AtomicUsize,
    at_once: AtomicUsize,
    busiest: AtomicUsize,
    gets: AtomicUsize,
    posts: AtomicUsize,
    refused: AtomicUsize,
}

impl BusyApp {
    /// Listens on a free loopback port. Everybody has one contact.
    pub async fn start(terms: Terms) -> BusyApp {
        let address = closed_address().await;
        let listener = TcpListener::bind(address).await.expect("a loopback port");
        let state = Arc::new(State {
            places: Semaphore::new(terms.places),
            terms,
            faulty: AtomicU32::new(0),
            contacts: AtomicUsize::new(1),
            at_once: AtomicUsize::new(0),
            busiest: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
            posts: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        BusyApp {
            address,
            state,
            accepting,
        }
    }

    /// The `http_roster_url` of this app.
    pub fn roster_url(&self) -> String {
        format!("http://{}/contacts/%s", self.address)
    }

    /// The `http_rosters_url` of this app.
    pub fn rosters_url(&self) -> String {
        format!("http://{}/contacts", self.address)
    }

    /// Everybody has so many contacts from now on.
    pub fn set_contacts(&self, count: usize) {
        self.state.contacts.store(count, Ordering::SeqCst);
    }

    /// So many of 100 users fail from now on.
    pub fn set_faulty(&self, percent: u32) {
        self.state.faulty.store(percent, Ordering::SeqCst);
    }

    /// What becomes of a user's requests now.
    pub fn fate(&self, user: &str) -> Fate {
        self.state.fate(user)
    }

    /// The most requests that were worked on at once, and the number of all that
    /// were for one user, for many, and refused, since this was asked last.
    pub fn take_counts(&self) -> [usize; 4] {
        let state = &self.state;
        let counts = [&state.busiest, &state.gets, &state.posts, &state.refused];
        counts.map(|count| count.swap(0, Ordering::SeqCst))
    }
}

impl Drop for BusyApp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    fn fate(&self, user: &str) -> Fate {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let lot = hasher.finish();
        if lot % 100 >= u64::from(self.faulty.load(Ordering::SeqCst)) {
            return Fate::Well;
        }
        match (lot / 100) % 3 {
            0 => Fate::Broken,
            1 => Fate::Reset,
            _ => Fate::Hang,
        }
    }

    fn contacts(&self) -> Value {
        let count = self.contacts.load(Ordering::SeqCst);
        let contacts = (0..count).map(|n| (format!("contact{n}@example.test"), json!({})));
        Value::Object(contacts.collect())
    }

    /// A place, unless there is none.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        match self.terms.beyond {
            Beyond::Waits => self.places.acquire().await.ok(),
            Beyond::IsRefused => self.places.try_acquire().ok(),
        }
    }
}

/// A request under way, however it ends.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(state: &'a State) -> UnderWay<'a> {
        let others = state.at_once.fetch_add(1, Ordering::SeqCst);
        state.busiest.fetch_max(others + 1, Ordering::SeqCst);
        UnderWay(&state.at_once)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut socket, &mut buffer, 0).await {
        let under_way = UnderWay::begin(&state);
        let sent = answer(&mut socket, &state, &request).await;
        drop(under_way);
        if sent.is_none() {
            return;
        }
    }
}

/// `None` ends the connection.
async fn answer(socket: &mut TcpStream, state: &State, request: &Request) -> Option<()> {
    let (status, document) = match (request.method.as_str(), request.user()) {
        ("GET", Some(user)) => {
            state.gets.fetch_add(1, Ordering::SeqCst);
            match work(state).await {
                None => (503, Value::Null),
                Some(()) => match state.fate(user) {
                    Fate::Well => (200, state.contacts()),
                    Fate::Broken => (500, Value::Null),
                    Fate::Reset => {
                        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"m";
                        let _ = socket.write_all(head).await;
                        let _ = socket.set_zero_linger();
                        return None;
                    }
                    Fate::Hang => {
                        // Until the other side has had enough.
                        let _ = socket.read_u8().await;
                        return None;
                    }
                },
            }
        }
        ("POST", None) if state.terms.together && request.path == "/contacts" => {
            state.posts.fetch_add(1, Ordering::SeqCst);
            match work(state).await {
                None => (503, Value::Null),
                Some(()) => (200, many(state, &request.body)),
            }
        }
        _ => (404, Value::Null),
    };
    let body = document.to_string();
    let head = format!(
        "HTTP/1.1 {status} Done\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).await.ok()
}

/// Takes a place for the time of an answer.
async fn work(state: &State) -> Option<()> {
    match state.place().await {
        Some(_place) => {
            tokio::time::sleep(state.terms.latency).await;
            Some(())
        }
        None => {
            state.refused.fetch_add(1, Ordering::SeqCst);
            None
        }
    }
}

fn many(state: &State, body: &[u8]) -> Value {
    let users: Vec<String> = serde_json::from_slice(body).unwrap_or_default();
    let told = users.into_iter().map(|user| match state.fate(&user) {
        Fate::Well => (user, state.contacts()),
        _ => (user, Value::Null),
    });
    Value::Object(told.collect::<Map<_, _>>())
}
