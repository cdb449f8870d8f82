//! HTTP/1.1 as bytes, towards the host: what a test writes is what is sent.
//!
//! Replies are read properly (by length or in chunks), so that a second reply on
//! the same connection, which would mean a smuggled request, is seen.

use crate::socket::Socket;
use crate::tls::Trust;
use crate::within;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without any framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header field, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} {:?}: {error}", self.status, self.text()))
    }
}

/// A connection on which requests follow one another.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Connection {
        Connection {
            socket: Socket::connect(address).await,
            buffer: Vec::new(),
        }
    }

    /// Connects, where perhaps nobody listens.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn try_open(address: SocketAddr) -> std::io::Result<Connection> {
        Ok(Connection {
            socket: Socket::try_connect(address).await?,
            buffer: Vec::new(),
        })
    }

    /// Connects by HTTPS.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn open_tls(
        address: SocketAddr,
        domain: &str,
        trust: &Trust,
    ) -> std::io::Result<Connection> {
        let mut connection = Connection::open(address).await;
        connection.socket.start_tls(domain, trust).await?;
        Ok(connection)
    }

    /// Sends bytes. A peer that has closed already is no error: its reply, if
    /// any, can still be read.
    pub async fn send(&mut self, bytes: &[u8]) {
        let sent = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        let _ = within("an HTTP request to be taken", sent).await;
    }

    /// The next reply; `None` if the connection ends before a whole one came.
    pub async fn reply(&mut self) -> Option<Reply> {
        within("an HTTP reply", self.read_reply()).await
    }

    /// The same, however long it takes.
    pub async fn first_reply(&mut self) -> Option<Reply> {
        self.read_reply().await
    }

    /// The head of the next reply, whose body is read by [`Connection::chunk`].
    pub async fn head(&mut self) -> Option<Reply> {
        within("the head of an HTTP reply", self.read_head()).await
    }

    /// The next chunk of a body in chunks; `None` at its end.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        within("a chunk of a body", self.read_chunk()).await
    }

    /// Whether the peer closes the connection without sending anything more.
    pub async fn is_closed(&mut self) -> bool {
        let read = within(
            "the end of an HTTP connection",
            self.socket.read_buf(&mut self.buffer),
        );
        !matches!(read.await, Ok(1..)) && self.buffer.is_empty()
    }

    async fn read_reply(&mut self) -> Option<Reply> {
        let mut reply = self.read_head().await?;
        reply.body = self.read_body(&reply).await?;
        Some(reply)
    }

    async fn read_head(&mut self) -> Option<Reply> {
        let head = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break self.take(at + 4).await?;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        if (100..200).contains(&status) {
            return Box::pin(self.read_head()).await;
        }
        Some(Reply {
            status,
            headers,
            body: Vec::new(),
        })
    }

    async fn read_body(&mut self, reply: &Reply) -> Option<Vec<u8>> {
        if matches!(reply.status, 204 | 304) {
            return Some(Vec::new());
        }
        if reply.header("transfer-encoding") == Some("chunked") {
            return self.read_chunks().await;
        }
        if let Some(length) = reply.header("content-length") {
            return self.take(length.parse().ok()?).await;
        }
        while self.fill().await.is_some() {}
        Some(std::mem::take(&mut self.buffer))
    }

    async fn read_chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match self.read_raw_chunk().await?.as_slice() {
                [] => return Some(body),
                chunk => body.extend_from_slice(chunk),
            }
        }
    }

    async fn read_chunk(&mut self) -> Option<Vec<u8>> {
        self.read_raw_chunk()
            .await
            .filter(|chunk| !chunk.is_empty())
    }

    /// The last one is empty.
    async fn read_raw_chunk(&mut self) -> Option<Vec<u8>> {
        let line = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break self.take(at + 2).await?;
            }
            self.fill().await?;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        let mut chunk = self.take(size + 2).await?;
        chunk.truncate(size);
        Some(chunk)
    }

    async fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < bytes {
            self.fill().await?;
        }
        Some(self.buffer.drain(..bytes).collect())
    }

    async fn fill(&mut self) -> Option<()> {
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(1..) => Some(()),
            _ => None,
        }
    }
}

/// A request with the given fields, its `Host` and its `Content-Length`.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let host = if fields.contains("Host: ") {
        ""
    } else {
        "Host: localhost\r\n"
    };
    let length = body.len();
    let mut bytes =
        format!("{method} {path} HTTP/1.1\r\n{host}{fields}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends bytes on a connection of their own and reads one reply.
///
/// # Panics
/// If none comes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut connection = Connection::open(address).await;
    connection.send(bytes).await;
    connection
        .reply()
        .await
        .expect("an HTTP reply, not the end of the connection")
}

/// Posts a body.
pub async fn post(address: SocketAddr, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Reply {
    exchange(address, &request("POST", path, fields, body)).await
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
