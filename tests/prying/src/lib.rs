//! A plugin that reaches for what is not its own: files, sockets, other
//! origins, secrets; for tests of the sandbox. Because it does, its language
//! runtime imports `wasi:filesystem` and `wasi:sockets`.
//!
//! The username of a `fetch` chooses the deed. What it saw comes back in the
//! text of `fetch-error.malformed`.

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        world: "plugin",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::exports::muster::roster::roster;
use bindings::exports::wasi::http::handler;
use bindings::muster::roster::types::{FetchError, Fetched};
use bindings::wasi::config::store as config;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use bindings::{wit_future, wit_stream};

struct Plugin;

impl roster::Guest for Plugin {
    async fn fetch(username: String, _known: Option<String>) -> Result<Fetched, FetchError> {
        let (deed, rest) = username.split_once(' ').unwrap_or((&username, ""));
        let seen = match deed {
            "files" => files(),
            "sockets" => sockets(rest),
            "config" => format!(
                "{:?} {:?}",
                config::get_all(),
                std::env::vars().collect::<Vec<_>>()
            ),
            "ask" => ask(rest, None).await,
            "post" => ask(rest, Some(b"body".to_vec())).await,
            "bulk" => bulk(rest),
            "handles" => handles(),
            "chatter" => chatter(rest),
            _ => return Ok(Fetched::Unchanged),
        };
        Err(FetchError::Malformed(seen))
    }
}

impl handler::Guest for Plugin {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        Err(ErrorCode::InternalError(None))
    }
}

/// What became of each of several attempts.
fn attempts<const N: usize>(attempts: [std::io::Result<()>; N]) -> String {
    let kinds = attempts.map(|attempt| match attempt {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    });
    kinds.join(" ")
}

fn files() -> String {
    attempts([
        std::fs::read_dir("/").map(drop),
        std::fs::read_dir(".").map(drop),
        std::fs::read("/etc/passwd").map(drop),
        std::fs::metadata("/proc/self/environ").map(drop),
        std::fs::write("/tmp/muster-prying", "x"),
        std::fs::create_dir("muster-prying"),
        std::fs::remove_file("/etc/passwd"),
    ])
}

fn sockets(address: &str) -> String {
    attempts([
        TcpStream::connect(address).map(drop),
        TcpListener::bind("127.0.0.1:0").map(drop),
        TcpListener::bind("[::1]:0").map(drop),
        UdpSocket::bind("127.0.0.1:0").map(drop),
        "localhost:80".to_socket_addrs().map(drop),
    ])
}

/// `METHOD SCHEME AUTHORITY PATH`, with a body and trailers of that; the
/// status, the header and the body of the answer come back.
async fn ask(words: &str, body: Option<Vec<u8>>) -> String {
    let mut words = words.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, scheme, authority, path) = (word(), word(), word(), word());
    let headers = Fields::new();
    let stolen = ["authorization", "host", "te", "transfer-encoding"];
    let refused = stolen.map(|name| headers.append(name, b"x").is_err());
    assert_eq!(refused, [true; 4], "a header of the host's was accepted");
    let trailing = Fields::new();
    let refused = stolen.map(|name| trailing.append(name, b"x").is_err());
    assert_eq!(refused, [true; 4], "a trailer of the host's was accepted");
    let _ = trailing.append("x-trailer", b"smuggled");
    let (trailers_in, trailers) = wit_future::new(|| Ok(None));
    let (contents_in, contents) = wit_stream::new();
    let has_body = body.is_some();
    let (request, _sent) = Request::new(headers, has_body.then_some(contents), trailers, None);
    wit_bindgen::spawn_local(async move {
        if let Some(body) = body {
            let mut contents_in = contents_in;
            let _ = contents_in.write_all(body).await;
            drop(contents_in);
            let _ = trailers_in.write(Ok(Some(trailing))).await;
        }
    });
    let method = match method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme.as_str() {
        "http" => Scheme::Http,
        _ => Scheme::Https,
    };
    let set = request.set_method(&method).is_ok()
        && request.set_scheme(Some(&scheme)).is_ok()
        && request.set_authority(Some(&authority)).is_ok()
        && request.set_path_with_query(Some(&path)).is_ok();
    if !set {
        return "invalid".to_owned();
    }
    match client::send(request).await {
        Ok(response) => answer(response).await,
        Err(code) => format!("{code:?}"),
    }
}

async fn answer(response: Response) -> String {
    let status = response.get_status_code();
    let fields = response.get_headers().copy_all().into_iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(&value)))
        .collect();
    let (_, read) = wit_future::new(|| Ok(()));
    let (mut contents, end) = Response::consume_body(response, read);
    let mut body = Vec::new();
    loop {
        let (state, bytes) = contents.read(Vec::with_capacity(64 << 10)).await;
        body.extend(bytes);
        if !matches!(state, wit_bindgen::StreamResult::Complete(_)) {
            break;
        }
    }
    if let Err(code) = end.await {
        return format!("{status} {code:?}");
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    format!("{status} [{}] {text}", fields.join(", "))
}

/// One string of so many MiB, handed to the host.
fn bulk(mebibytes: &str) -> String {
    let bytes = mebibytes.parse::<usize>().unwrap_or_default() << 20;
    let key = "x".repeat(bytes);
    format!("{:?}", config::get(&key))
}

fn handles() -> String {
    for _ in 0..1_000_000 {
        std::mem::forget(Fields::new());
    }
    "a million handles".to_owned()
}

/// So many lines for the log.
fn chatter(lines: &str) -> String {
    for line in 0..lines.parse::<usize>().unwrap_or_default() {
        eprintln!("chatter {line} \u{1b}[2J\r{}", "x".repeat(1_000));
    }
    "said".to_owned()
}
