//! The app of the bench, in a process of its own: a thread a connection, and
//! documents that are made once.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// The other process; ends with this value.
pub(super) struct App {
    child: Child,
    pub(super) address: SocketAddr,
}

impl App {
    pub(super) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--app")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        Self { child, address }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        std::thread::spawn(move || answer(stream.unwrap()));
    }
}

fn answer(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut made: HashMap<String, String> = HashMap::new();
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let user = text.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
        let sent = if text.contains("if-none-match") {
            stream.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n")
        } else {
            let made = made.entry(user.to_owned());
            stream.write_all(made.or_insert_with(|| response(user)).as_bytes())
        };
        if sent.is_err() {
            return;
        }
    }
}

/// So many contacts as the user's name says; none of them one where it says
/// that they are odd.
fn response(user: &str) -> String {
    let (odd, contacts) = match user.strip_prefix("odd-") {
        Some(contacts) => (true, contacts),
        None => (false, user),
    };
    let contacts: usize = contacts.parse().unwrap();
    let entries: Vec<_> = (0..contacts)
        .map(|n| {
            // A name that is no text makes no contact.
            let name = if odd {
                format!("{}", 1_000_000 + n)
            } else {
                format!(r#""User {n}""#)
            };
            format!(r#""user{n}@example.test":{{"name":{name},"groups":["Friends","Work"]}}"#)
        })
        .collect();
    let body = format!("{{{}}}", entries.join(","));
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}
