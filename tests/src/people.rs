//! One app in three shapes, for plugins in several languages: what its users'
//! friends are is one truth, and each shape tells it in its own words.
//!
//! - the protocol that the built-in plugin speaks (`GET /contacts/<user>`);
//! - pages of friends (`GET /api/people/<user>/friends`), as the templates of
//!   `examples/plugins` expect them;
//! - a connection of GraphQL (`POST /graphql`), as `examples/plugins/rust-graphql`
//!   expects it.
//!
//! Every list comes in pages of one friend, so that no plugin can do without
//! the next page.

use crate::app::{Request, read};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The validator of every list that pages or the protocol tell.
const ETAG: &str = "\"1\"";

/// A friend: who, what they are called, and the group that they are in.
pub type Friend = (&'static str, &'static str, &'static str);

/// A running app. It ends when this is dropped.
#[derive(Debug)]
pub struct People {
    address: SocketAddr,
    domain: &'static str,
    truth: Arc<Mutex<Truth>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Truth {
    friends: BTreeMap<String, Vec<Friend>>,
    /// Questions that were answered with "nothing new".
    unchanged: usize,
    /// Counts what was ever set: part of every validator.
    version: usize,
}

impl People {
    /// Listens on a free loopback port; users are of this domain.
    pub async fn start(domain: &'static str) -> People {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let truth = Arc::<Mutex<Truth>>::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&truth), domain));
        People {
            address,
            domain,
            truth,
            accepting,
        }
    }

    /// The beginning of every URL of this app.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whose friends are these from now on.
    pub fn set_friends(&self, user: &str, friends: &[Friend]) {
        let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        truth.version += 1;
        truth.friends.insert(user.to_owned(), friends.to_vec());
    }

    /// How often a validator was still right.
    pub fn unchanged(&self) -> usize {
        let truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        truth.unchanged
    }

    /// The domain of its users.
    pub fn domain(&self) -> &'static str {
        self.domain
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A status, a validator and a document.
type Told = (u16, Option<String>, Value);

async fn accept(listener: TcpListener, truth: Arc<Mutex<Truth>>, domain: &'static str) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(serve(socket, Arc::clone(&truth), domain));
    }
}

async fn serve(mut socket: TcpStream, truth: Arc<Mutex<Truth>>, domain: &'static str) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut socket, &mut buffer, 0).await {
        let (status, validator, document) = {
            let mut truth = truth.lock().unwrap_or_else(PoisonError::into_inner);
            truth.tell(&request, domain)
        };
        let etag = validator.map(|it| format!("ETag: {it}\r\n"));
        let body = match status {
            200 => document.to_string(),
            _ => String::new(),
        };
        let reply = format!(
            "HTTP/1.1 {status} As Told\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{body}",
            etag.unwrap_or_default(),
            body.len()
        );
        if socket.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Truth {
    fn tell(&mut self, request: &Request, domain: &str) -> Told {
        let path = request.path.as_str();
        if path == "/graphql" {
            return self.graphql(&request.body);
        }
        let etag = format!("{}-{}\"", ETAG.trim_end_matches('"'), self.version);
        if request.header("if-none-match") == Some(&etag) {
            self.unchanged += 1;
            return (304, None, Value::Null);
        }
        let told = match path.strip_prefix("/contacts/") {
            Some(user) => self.document(user, domain),
            None => self.page(path),
        };
        match told {
            Some(document) => (200, Some(etag), document),
            None => (404, None, Value::Null),
        }
    }

    fn document(&self, user: &str, domain: &str) -> Option<Value> {
        let friends = self.friends.get(user)?.iter();
        let entry = |(who, name, group): &Friend| {
            let contact = json!({"name": name, "groups": [group]});
            (format!("{who}@{domain}"), contact)
        };
        Some(Value::Object(friends.map(entry).collect()))
    }

    fn page(&self, path: &str) -> Option<Value> {
        let path = path.strip_prefix("/api/people/")?;
        let (path, place) = match path.split_once("?page=") {
            Some((path, place)) => (path, place.parse().ok()?),
            None => (path, 0),
        };
        let user = path.strip_suffix("/friends")?;
        let friends = self.friends.get(user)?;
        let next = (place + 1 < friends.len())
            .then(|| format!("/api/people/{user}/friends?page={}", place + 1));
        let friend = |(who, name, group): &Friend| json!({"handle": who, "name": name, "lists": [group], "mutual": true});
        let friends: Vec<_> = friends.get(place).into_iter().map(friend).collect();
        Some(json!({"friends": friends, "next": next}))
    }

    fn graphql(&self, body: &[u8]) -> Told {
        let question: Value = serde_json::from_slice(body).unwrap_or_default();
        let variables = &question["variables"];
        if let Some(ids) = variables["ids"].as_array() {
            let handle = |id: &Value| {
                let user = id.as_str().and_then(|id| id.strip_prefix("p-"));
                user.map_or(Value::Null, |user| json!({"handle": user}))
            };
            let people: Vec<_> = ids.iter().map(handle).collect();
            return (200, None, json!({"data": {"people": people}}));
        }
        let user = variables["handle"].as_str().unwrap_or_default();
        let Some(friends) = self.friends.get(user) else {
            return (200, None, json!({"data": {"person": null}}));
        };
        let place = variables["after"].as_str().unwrap_or("0");
        let place: usize = place.parse().unwrap_or_default();
        let edge = |(who, name, group): &Friend| {
            json!({"state": "MUTUAL", "circles": [{"title": group}],
                "node": {"handle": who, "displayName": name}})
        };
        let edges: Vec<_> = friends.get(place).into_iter().map(edge).collect();
        let more = place + 1 < friends.len();
        let info = json!({"hasNextPage": more, "endCursor": (place + 1).to_string()});
        let connection = json!({"edges": edges, "pageInfo": info});
        (
            200,
            None,
            json!({"data": {"person": {"friends": connection}}}),
        )
    }
}
