//! The app behind the host: contact lists that a test sets live, every fault
//! that a backend can have, and a record of each request byte for byte.
//!
//! It speaks HTTP/1.1 straight onto the socket, because most of what it must do
//! (a wrong `Content-Length`, a reset in mid-body, ten thousand headers) is what
//! a proper HTTP library prevents. The protocol is that of the reference:
//! `GET /contacts/<user>` answers the user's contacts; `POST /auth` says whether
//! a password is right.

mod answer;
mod fault;
mod wire;

pub use answer::{Answer, Gate};
pub use fault::Fault;
pub use wire::Request;
pub(crate) use wire::read;

use crate::within;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running app. It ends when this is dropped.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    state: Arc<State>,
    /// `None` while nobody listens.
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// What the connections of one app share.
#[derive(Debug)]
struct State {
    script: Mutex<Script>,
    /// How many requests were recorded; waited upon by tests.
    recorded: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Script {
    answers: HashMap<String, Answer>,
    default: Option<Answer>,
    /// What everybody is answered in place of the truth.
    outage: Option<Answer>,
    /// How the answers for a user go wrong, and those for everybody.
    faults: HashMap<String, Fault>,
    fault: Option<Fault>,
    gates: HashMap<String, Gate>,
    passwords: HashMap<String, String>,
    auth_status: Option<u16>,
    requests: Vec<Request>,
    connections: usize,
}

impl App {
    /// Listens on a free loopback port.
    pub async fn start() -> App {
        App::start_at("127.0.0.1:0".parse().expect("an address")).await
    }

    /// Listens at this address, such as one at which an app was that has ended.
    pub async fn start_at(address: SocketAddr) -> App {
        let listener = TcpListener::bind(address).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let state = Arc::new(State {
            script: Mutex::default(),
            recorded: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        App {
            address,
            state,
            accepting: Mutex::new(Some(accepting)),
        }
    }

    /// Ends all connections, and listens no more.
    pub async fn close(&self) {
        let accepting = self.accepting().take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // Aborted: the listener is dropped once the task is gone.
            let _ = accepting.await;
        }
    }

    /// Listens again, at the same address.
    pub async fn reopen(&self) {
        if self.accepting().is_some() {
            return;
        }
        let listener = TcpListener::bind(self.address).await;
        let listener = listener.expect("the address is nobody else's");
        let accepting = tokio::spawn(accept(listener, Arc::clone(&self.state)));
        *self.accepting() = Some(accepting);
    }

    fn accepting(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the app listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `http_roster_url` of this app.
    pub fn roster_url(&self) -> String {
        format!("http://{}/contacts/%s", self.address)
    }

    /// The `auth.url` of this app.
    pub fn auth_url(&self) -> String {
        format!("http://{}/auth", self.address)
    }

    /// Gives `user` these contacts, as the JSON of the reference.
    pub fn set_contacts(&self, user: &str, contacts: Value) {
        self.set_answer(user, Answer::Contacts(contacts));
    }

    /// What a request for `user` is answered from now on. A user without an
    /// answer has no contacts.
    pub fn set_answer(&self, user: &str, answer: Answer) {
        self.state
            .edit(|script| script.answers.insert(user.to_owned(), answer));
    }

    /// What every user without an answer of their own has from now on.
    pub fn set_default_contacts(&self, contacts: Value) {
        self.state
            .edit(|script| script.default = Some(Answer::Contacts(contacts)));
    }

    /// What everybody is answered in place of the truth, until there is `None`.
    pub fn set_outage(&self, answer: Option<Answer>) {
        self.state.edit(|script| script.outage = answer);
    }

    /// How the answers for `user` go wrong from now on, whatever the truth is.
    pub fn set_fault_for(&self, user: &str, fault: Option<Fault>) {
        self.state.edit(|script| match fault {
            Some(fault) => script.faults.insert(user.to_owned(), fault),
            None => script.faults.remove(user),
        });
    }

    /// The same for everybody who has no fault of their own.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state.edit(|script| script.fault = fault);
    }

    /// Lets requests for `user` arrive and be recorded, but answers them only
    /// after the gate opens; with the answer that held when they arrived.
    pub fn hold(&self, user: &str) -> Gate {
        let gate = Gate::closed();
        self.state
            .edit(|script| script.gates.insert(user.to_owned(), gate.clone()));
        gate
    }

    /// Answers requests for `user` at once again. Requests that wait at a gate
    /// keep waiting for it.
    pub fn hold_no_more(&self, user: &str) {
        self.state.edit(|script| script.gates.remove(user));
    }

    /// Makes `POST /auth` accept this password.
    pub fn set_password(&self, user: &str, password: &str) {
        self.state.edit(|script| {
            script
                .passwords
                .insert(user.to_owned(), password.to_owned())
        });
    }

    /// Makes `POST /auth` answer this status whatever the password;
    /// `None` lets it judge again.
    pub fn set_auth_status(&self, status: Option<u16>) {
        self.state.edit(|script| script.auth_status = status);
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.state.edit(|script| script.requests.clone())
    }

    /// The requests for the contacts of `user`, whose name needs no escaping.
    pub fn requests_for(&self, user: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.user() == Some(user));
        requests
    }

    /// Waits until `count` requests for the contacts of `user` have arrived,
    /// answered or not.
    pub async fn wait_for_requests(&self, user: &str, count: usize) {
        let mut recorded = self.state.recorded.subscribe();
        within(&format!("request {count} for {user}"), async {
            while self.requests_for(user).len() < count {
                recorded.changed().await.expect("the app runs");
            }
        })
        .await;
    }

    /// How many TCP connections were accepted.
    pub fn connections(&self) -> usize {
        self.state.edit(|script| script.connections)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting().take() {
            accepting.abort();
        }
    }
}

impl State {
    fn edit<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records the request and says how to answer it.
    fn arrive(&self, request: Request) -> (Answer, Option<Gate>) {
        let decision = self.edit(|script| {
            let decision = script.decide(&request);
            script.requests.push(request);
            decision
        });
        self.recorded.send_modify(|count| *count += 1);
        decision
    }
}

impl Script {
    fn decide(&self, request: &Request) -> (Answer, Option<Gate>) {
        if request.path == "/auth" {
            let status = self
                .auth_status
                .unwrap_or_else(|| self.judge(&request.body));
            return (Answer::Status(status), None);
        }
        let Some(user) = request.user() else {
            return (Answer::Status(404), None);
        };
        let truth = || self.answers.get(user).or(self.default.as_ref());
        let answer = self.outage.as_ref().or_else(truth).cloned();
        let answer = answer.unwrap_or_else(Answer::no_contacts);
        let fault = self.faults.get(user).copied().or(self.fault);
        let answer = fault.map_or(answer.clone(), |fault| fault.bend(answer));
        (answer, self.gates.get(user).cloned())
    }

    fn judge(&self, body: &[u8]) -> u16 {
        let Ok(claim) = serde_json::from_slice::<Value>(body) else {
            return 400;
        };
        let known = claim["username"]
            .as_str()
            .and_then(|user| self.passwords.get(user));
        match (known, claim["password"].as_str()) {
            (Some(right), Some(given)) if right == given => 200,
            _ => 401,
        }
    }
}

/// A loopback address at which nothing listens.
///
/// The port was free a moment ago and is not in the range that the system hands
/// out next, as far as one can tell; good enough for "connection refused".
pub async fn closed_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a loopback port");
    listener.local_addr().expect("a bound address")
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Dropped together with this task, so that an app that ends takes its
    // connections along.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let number = state.edit(|script| {
            script.connections += 1;
            script.connections
        });
        connections.spawn(wire::serve(socket, number, Arc::clone(&state)));
    }
}

#[cfg(test)]
mod tests;
