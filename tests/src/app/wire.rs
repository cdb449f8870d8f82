//! HTTP/1.1 onto a socket, as well or as badly as the answer demands.

use super::{Answer, State};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target exactly as sent.
    pub path: String,
    /// The header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Which of the app's TCP connections it came on, counted from 1.
    pub connection: usize,
}

impl Request {
    /// The last path segment as sent, if this asks for contacts.
    pub fn user(&self) -> Option<&str> {
        self.path.strip_prefix("/contacts/")
    }

    /// The value of a header field, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str())
    }
}

/// What becomes of the connection after an answer.
enum Next {
    Another,
    Close,
}

pub(super) async fn serve(mut socket: TcpStream, connection: usize, state: Arc<State>) {
    // The peer may vanish at any point; that ends this connection, nothing else.
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut socket, &mut buffer, connection).await {
        let known = request.header("if-none-match").map(str::to_owned);
        let (answer, gate) = state.arrive(request);
        if let Some(gate) = gate {
            gate.opened().await;
        }
        match send(&mut socket, answer, known.as_deref()).await {
            Ok(Next::Another) => {}
            Ok(Next::Close) | Err(_) => return,
        }
    }
}

/// The next request; `None` when the peer is gone or does not speak HTTP.
pub(crate) async fn read(
    socket: &mut TcpStream,
    buffer: &mut Vec<u8>,
    connection: usize,
) -> Option<Request> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let mut lines = head.split("\r\n");
    let mut start = lines.next()?.split(' ');
    let (method, path) = (start.next()?.to_owned(), start.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    while buffer.len() < length {
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer.drain(..length).collect();
    Some(Request {
        method,
        path,
        headers,
        body,
        connection,
    })
}

async fn send(
    socket: &mut TcpStream,
    answer: Answer,
    known: Option<&str>,
) -> std::io::Result<Next> {
    match answer {
        Answer::Contacts(contacts) => {
            let body = contacts.to_string();
            let etag = etag(&body);
            let field = format!("ETag: {etag}\r\n");
            if known == Some(etag.as_str()) {
                socket.write_all(head(304, &field, None).as_bytes()).await?;
            } else {
                reply(socket, 200, &field, body.as_bytes()).await?;
            }
        }
        Answer::Body(body) => reply(socket, 200, "", &body).await?,
        Answer::Status(status @ (204 | 304)) => {
            socket.write_all(head(status, "", None).as_bytes()).await?;
        }
        Answer::Status(status) => reply(socket, status, "", b"as told").await?,
        Answer::Redirect(url) => reply(socket, 302, &format!("Location: {url}\r\n"), b"").await?,
        Answer::Headers(count, contacts) => {
            let fields: String = (0..count)
                .map(|n| format!("X-Fill-{n}: abcdefgh\r\n"))
                .collect();
            reply(socket, 200, &fields, contacts.to_string().as_bytes()).await?;
        }
        Answer::Verbatim(bytes) => {
            socket.write_all(&bytes).await?;
            socket.shutdown().await?;
            return Ok(Next::Close);
        }
        Answer::Reset(bytes) => {
            socket.write_all(&bytes).await?;
            // With a linger of nothing, closing sends RST in place of FIN.
            socket.set_zero_linger()?;
            return Ok(Next::Close);
        }
        Answer::Silence => {
            // Until the peer gives up.
            while socket.read(&mut [0; 512]).await? > 0 {}
            return Ok(Next::Close);
        }
        Answer::Drip(contacts, pause) => {
            drip(socket, contacts.to_string().as_bytes(), pause).await?
        }
        Answer::Flood(bytes) => flood(socket, bytes, Some(bytes)).await?,
        Answer::Endless => flood(socket, u64::MAX, None).await?,
        Answer::Late(time, answer) => {
            tokio::time::sleep(time).await;
            return Box::pin(send(socket, *answer, known)).await;
        }
    }
    Ok(Next::Another)
}

fn head(status: u16, fields: &str, length: Option<u64>) -> String {
    let length = length
        .map(|bytes| format!("Content-Length: {bytes}\r\n"))
        .unwrap_or_default();
    format!("HTTP/1.1 {status} As Told\r\nContent-Type: application/json\r\n{fields}{length}\r\n")
}

async fn reply(
    socket: &mut TcpStream,
    status: u16,
    fields: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let mut bytes = head(status, fields, Some(body.len() as u64)).into_bytes();
    bytes.extend_from_slice(body);
    socket.write_all(&bytes).await
}

async fn drip(socket: &mut TcpStream, body: &[u8], pause: Duration) -> std::io::Result<()> {
    socket
        .write_all(head(200, "", Some(body.len() as u64)).as_bytes())
        .await?;
    for byte in body {
        socket.write_all(std::slice::from_ref(byte)).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn flood(socket: &mut TcpStream, bytes: u64, length: Option<u64>) -> std::io::Result<()> {
    socket.write_all(head(200, "", length).as_bytes()).await?;
    let blank = vec![b' '; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(blank.len() as u64);
        socket
            .write_all(&blank[..usize::try_from(now).expect("64 KiB")])
            .await?;
        left -= now;
    }
    Ok(())
}

/// A validator that changes with the body and stays the same otherwise.
fn etag(body: &str) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}
