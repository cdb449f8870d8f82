//! An app on loopback that fails as it is told: the last segment of the path
//! chooses how.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
    bodies: Mutex<Vec<String>>,
    /// One permit for each answer to `/slow` that may go.
    slow: Semaphore,
    /// One permit for each request that has come.
    came: Semaphore,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            connections: AtomicUsize::new(0),
            heads: Mutex::new(Vec::new()),
            bodies: Mutex::new(Vec::new()),
            slow: Semaphore::new(0),
            came: Semaphore::new(0),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// The heads of all requests so far, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }

    /// The bodies of all requests so far.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.state.bodies.lock().unwrap().clone()
    }

    /// How often something was asked for under this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        let path = format!("/{name} ");
        self.heads()
            .iter()
            .filter(|head| head.contains(&path))
            .count()
    }

    /// Lets so many of the requests for `/slow` be answered.
    pub(crate) fn release(&self, answers: usize) {
        self.state.slow.add_permits(answers);
    }

    /// Waits until so many requests have come.
    pub(crate) async fn requests(&self, count: u32) {
        self.state.came.acquire_many(count).await.unwrap().forget();
    }
}

impl State {
    /// Whether nothing was asked for under this name before.
    fn is_first(&self, name: &str) -> bool {
        let heads = self.heads.lock().unwrap();
        let path = format!("/{name} ");
        heads.iter().filter(|head| head.contains(&path)).count() == 1
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    while let Some(head) = read_head(&mut stream).await {
        state.heads.lock().unwrap().push(head.to_ascii_lowercase());
        state.came.add_permits(1);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let Some(body) = read_body(&mut stream, &head).await else {
            return;
        };
        state.bodies.lock().unwrap().push(body);
        if answer(&mut stream, &state, &path, &head).await.is_none() {
            return;
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn read_body(stream: &mut TcpStream, head: &str) -> Option<String> {
    let head = head.to_ascii_lowercase();
    let length = head.split("\r\ncontent-length: ").nth(1);
    let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    String::from_utf8(body).ok()
}

/// `None` closes the connection.
async fn answer(stream: &mut TcpStream, state: &State, path: &str, head: &str) -> Option<()> {
    let roster = r#"{"marie@example.test":{"name":"Marie","groups":["Friends"]}}"#;
    let name = path.rsplit('/').next().unwrap_or_default();
    let reply = match name {
        "missing" => reply("404 Not Found", "", ""),
        "gone" => reply("410 Gone", "", ""),
        "for-all" => {
            let body = r#"{"john":{"marie@example.test":{}},"empty":{},"now":null,"odd":[]}"#;
            reply("200 OK", "", body)
        }
        "huge-for-all" => reply("200 OK", "", &" ".repeat(5 << 20)),
        "unavailable" => reply("503 Service Unavailable", "", ""),
        "tired" => reply("503 Service Unavailable", "retry-after: 30\r\n", ""),
        "tired-once" if state.is_first(name) => {
            reply("429 Too Many Requests", "retry-after: 1\r\n", "")
        }
        "unavailable-once" if state.is_first(name) => reply("502 Bad Gateway", "", "<html>"),
        "reset-once" if state.is_first(name) => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"m")
                .await;
            let _ = stream.set_zero_linger();
            return None;
        }
        "broken" => reply("500 Internal Server Error", "", "<html>"),
        "limited" => reply("429 Too Many Requests", "", ""),
        "nothing" => reply("204 No Content", "", "").replace("content-length: 0\r\n", ""),
        "redirect" => reply("302 Found", "location: http://127.0.0.1:1/stolen\r\n", ""),
        "html" => reply("200 OK", "", "<html></html>"),
        "null" => reply("200 OK", "", "null"),
        "array" => reply("200 OK", "", "[]"),
        "truncated" => reply("200 OK", "", "{\"marie@example.test\":{"),
        "empty" => reply("200 OK", "", "{}"),
        "many" => reply("200 OK", "", &many(20_000)),
        "heavy" => reply("200 OK", "", &heavy()),
        "twenty" => reply("200 OK", "", &many(20)),
        "headers" => reply("200 OK", &"x-a: b\r\n".repeat(10_000), roster),
        "announced" => {
            reply("200 OK", "", roster).replace("content-length: ", "content-length: 1073741824")
        }
        "short" => {
            let text = reply("200 OK", "", roster).replace("content-length: ", "content-length: 9");
            stream.write_all(text.as_bytes()).await.ok()?;
            return None;
        }
        "silent" => {
            let _ = stream.read_u8().await;
            return None;
        }
        "endless" => return endless(stream, Duration::ZERO, 64 << 10).await,
        "drip" => return endless(stream, Duration::from_millis(50), 1).await,
        "reset" => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"m")
                .await;
            let _ = stream.set_zero_linger();
            return None;
        }
        "slow" | "slow-body" => {
            state.slow.acquire().await.ok()?.forget();
            reply("200 OK", "", roster)
        }
        _ if head.to_ascii_lowercase().contains("if-none-match: \"v1\"") => {
            "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()
        }
        _ => reply("200 OK", "etag: \"v1\"\r\n", roster),
    };
    stream.write_all(reply.as_bytes()).await.ok()
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// A body that never ends: `bytes` at a time.
async fn endless(stream: &mut TcpStream, pause: Duration, bytes: usize) -> Option<()> {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.ok()?;
    let mut chunk = Vec::new();
    write!(chunk, "{bytes:x}\r\n").ok()?;
    chunk.resize(chunk.len() + bytes, b' ');
    chunk.extend_from_slice(b"\r\n");
    loop {
        stream.write_all(&chunk).await.ok()?;
        tokio::time::sleep(pause).await;
    }
}

pub(crate) fn many(contacts: usize) -> String {
    let entries: Vec<_> = (0..contacts)
        .map(|n| format!(r#""user{n}@example.test":{{"name":"User {n}","groups":["Friends"]}}"#))
        .collect();
    format!("{{{}}}", entries.join(","))
}

/// About 1.3 MB, in names that differ.
pub(crate) fn heavy() -> String {
    let entries: Vec<_> = (0..3_000)
        .map(|n| format!(r#""user{n}@example.test":{{"name":"{n:0400}"}}"#))
        .collect();
    format!("{{{}}}", entries.join(","))
}
