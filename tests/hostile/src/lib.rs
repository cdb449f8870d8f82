//! A plugin that does what a plugin must not do; for tests of the sandbox.
//!
//! The username of a `fetch`, or the path of an HTTP request, chooses the
//! deed, unless one is written into the component ([`every_call`]). What it saw
//! of the host comes back in the text of `fetch-error.malformed`, or as the body
//! of the response.

use std::hint::black_box;

mod every_call;

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
use bindings::muster::roster::rosters;
use bindings::muster::roster::types::{Contact, ContactList, FetchError, Fetched, Subscription};
use bindings::wasi::config::store as config;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use bindings::{wit_future, wit_stream};

/// Whom the host asks for before it lets a plugin serve.
const SELF_TEST: &str = "muster-self-test";

struct Plugin;

impl roster::Guest for Plugin {
    async fn fetch(username: String, _known: Option<String>) -> Result<Fetched, FetchError> {
        let (deed, rest) = match every_call::deed() {
            "" => username.split_once(' ').unwrap_or((&username, "")),
            "trap-handle" => ("honest", ""),
            // Good enough to be loaded.
            "trap" | "never" if username == SELF_TEST => ("honest", ""),
            "trap-test" => ("trap", ""),
            "never-test" => ("never", ""),
            "asks" => ("asks", &*username),
            deed => (deed, ""),
        };
        match deed {
            "honest" => Ok(list(vec![contact("marie@example.test")])),
            "trap" => trap(),
            "spin" => spin(),
            "grow" => grow(),
            "recurse" => said(recurse(1).to_string()),
            "handles" => handles(),
            "fields" => fields(),
            "never" => never().await,
            "block" => {
                std::thread::sleep(std::time::Duration::from_secs(600));
                Err(FetchError::Timeout)
            }
            "forget" => forget().await,
            "flood" => flood(),
            "many" => Ok(list(
                (0..20_000)
                    .map(|n| contact(&format!("u{n}@example.test")))
                    .collect(),
            )),
            "lie" => Ok(lie()),
            "environment" => said(format!(
                "{} {}",
                std::env::vars().count(),
                std::env::args().count()
            )),
            "refresh" => {
                let outcomes = rosters::refresh(vec!["john".to_owned()]).await;
                said(format!("{:?}", outcomes[0].result))
            }
            "asks" => asks(rest).await,
            "malformed" => said("as always".to_owned()),
            "slow" => {
                std::thread::sleep(std::time::Duration::from_millis(300));
                Ok(list(vec![contact("marie@example.test")]))
            }
            "get" => get(rest).await,
            "send" => send(rest).await,
            "header" => header(rest).await,
            _ => Err(FetchError::NotFound),
        }
    }
}

impl handler::Guest for Plugin {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        match every_call::deed() {
            "" => {}
            "trap-handle" => trap(),
            _ => return Ok(refresh(request, &path).await),
        }
        match path.as_str() {
            "/trap" => trap(),
            "/spin" => spin(),
            "/never" => never().await,
            "/error" => Err(ErrorCode::InternalError(None)),
            "/big" => Ok(response(vec![b'x'; 5 << 20])),
            "/headers" => {
                let names = request.get_headers().copy_all();
                let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
                Ok(response(names.join(" ").into_bytes()))
            }
            "/refresh" => {
                let names = vec!["john".to_owned(), "marie".to_owned()];
                let outcomes = rosters::refresh(names).await;
                Ok(response(format!("{outcomes:?}").into_bytes()))
            }
            _ => Ok(response(b"ok".to_vec())),
        }
    }
}

fn said(text: String) -> Result<Fetched, FetchError> {
    Err(FetchError::Malformed(text))
}

fn list(contacts: Vec<Contact>) -> Fetched {
    Fetched::Roster(ContactList {
        contacts,
        validator: Some("\"v1\"".to_owned()),
        skipped: 0,
    })
}

fn contact(jid: &str) -> Contact {
    Contact {
        jid: jid.to_owned(),
        name: None,
        groups: Vec::new(),
        subscription: Subscription::Both,
    }
}

fn trap() -> ! {
    std::process::abort()
}

fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

fn grow() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Little on the stack in linear memory, so that the host's own ends first.
#[allow(unconditional_recursion, reason = "the deed")]
fn recurse(n: u64) -> u64 {
    black_box(recurse(n + 1)).wrapping_add(n)
}

/// Waits for a value that nobody writes. (A future without any event would be
/// a deadlock that the bindings notice and trap.)
async fn never<T>() -> T {
    let (writer, reader) = wit_future::new::<Result<Option<Trailers>, ErrorCode>>(|| Ok(None));
    std::mem::forget(writer);
    let _ = reader.await;
    unreachable!("nobody writes")
}

fn handles() -> ! {
    loop {
        std::mem::forget(Fields::new());
    }
}

/// One header map with more fields than a map can hold.
fn fields() -> Result<Fetched, FetchError> {
    let fields = Fields::new();
    for n in 0..40_000 {
        if fields.append(&format!("x-{n}"), b"y").is_err() {
            return said("refused".to_owned());
        }
    }
    said("accepted".to_owned())
}

/// Asks, and lets neither the response nor its body go.
async fn forget() -> Result<Fetched, FetchError> {
    let request = request(Method::Get, &origin(), "/slow-body", Fields::new());
    let response = client::send(request).await;
    std::mem::forget(response);
    never().await
}

fn flood() -> Result<Fetched, FetchError> {
    for _ in 0..100 {
        eprintln!("{}", "\u{1b}[31mflood ".repeat(1_000));
    }
    Ok(Fetched::Unchanged)
}

fn lie() -> Fetched {
    let mut named = contact("marie@example.test");
    named.name = Some("M\0a\u{1b}rie".to_owned());
    named.groups = vec![String::new(), "a".to_owned(), "a".to_owned()];
    list(vec![contact(""), contact("a\0b@example.test"), named])
}

/// One contact, if the app answers for this user as it should.
async fn asks(username: &str) -> Result<Fetched, FetchError> {
    let path = format!("/contacts/{username}");
    let request = request(Method::Get, &origin(), &path, Fields::new());
    match client::send(request).await.map(|it| it.get_status_code()) {
        Ok(200) => Ok(list(vec![contact("marie@example.test")])),
        Ok(status) => Err(FetchError::Status(status)),
        Err(_) => Err(FetchError::Unavailable),
    }
}

/// Refreshes whom the path or the body names, and answers as the built-in
/// plugin does. The body is taken for the list that it should be: every other
/// piece between quotation marks is a name.
async fn refresh(request: Request, path: &str) -> Response {
    let names: Vec<String> = match path.strip_prefix("/roster_admin/refresh/") {
        Some(name) => vec![name.to_owned()],
        None => {
            let body = body(request).await;
            let pieces = body.split('"').skip(1).step_by(2);
            pieces.map(str::to_owned).collect()
        }
    };
    let outcomes = rosters::refresh(names).await;
    let errors = outcomes.iter().filter(|it| it.result.is_err()).count();
    let updated = outcomes.len() - errors;
    let status = if errors > 0 && updated == 0 {
        "error"
    } else {
        "ok"
    };
    let summary = format!(
        "{{\"status\":\"{status}\",\"message\":\"done\",\"updated\":{updated},\"errors\":{errors}}}"
    );
    response(summary.into_bytes())
}

async fn body(request: Request) -> String {
    let (_, read) = wit_future::new(|| Ok(()));
    let (stream, _end) = Request::consume_body(request, read);
    String::from_utf8(stream.collect().await).unwrap_or_default()
}

/// `GET` of a path of the configured origin; the status comes back.
async fn get(path: &str) -> Result<Fetched, FetchError> {
    let request = request(Method::Get, &origin(), path, Fields::new());
    match client::send(request).await {
        Ok(response) => Err(FetchError::Status(response.get_status_code())),
        Err(code) => said(format!("{code:?}")),
    }
}

/// `METHOD SCHEME AUTHORITY PATH`, as they are; what became of it comes back.
async fn send(words: &str) -> Result<Fetched, FetchError> {
    let mut words = words.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let method = match word().as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match word().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    if request.set_method(&method).is_err() || request.set_scheme(Some(&scheme)).is_err() {
        return said("invalid".to_owned());
    }
    let authority = word();
    let authority = if authority == "ORIGIN" {
        origin()
    } else {
        authority
    };
    if request.set_authority(Some(&authority)).is_err() {
        return said("invalid".to_owned());
    }
    if request.set_path_with_query(Some(&word())).is_err() {
        return said("invalid".to_owned());
    }
    match client::send(request).await {
        Ok(response) => said(format!("answered {}", response.get_status_code())),
        Err(code) => said(format!("{code:?}")),
    }
}

/// `NAME VALUE` as a request header; what the host said of it comes back.
async fn header(words: &str) -> Result<Fetched, FetchError> {
    let (name, value) = words.split_once(' ').unwrap_or((words, ""));
    let value = value.replace("CRLF", "\r\n");
    let headers = Fields::new();
    if let Err(error) = headers.append(name, value.as_bytes()) {
        return said(format!("refused {error:?}"));
    }
    match client::send(request(Method::Get, &origin(), "/headers", headers)).await {
        Ok(_) => said("sent".to_owned()),
        Err(code) => said(format!("{code:?}")),
    }
}

/// Where the app is: as a test of the sandbox says, or as the URL of rosters.
fn origin() -> String {
    let get = |key: &str| config::get(key).ok().flatten();
    let from_url = || {
        let url = get("http_roster_url")?;
        let rest = url.split("://").nth(1)?;
        Some(rest.split('/').next()?.to_owned())
    };
    get("authority").or_else(from_url).unwrap_or_default()
}

fn request(method: Method, authority: &str, path: &str, headers: Fields) -> Request {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(headers, None, trailers, None);
    let _ = request.set_method(&method);
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(authority));
    let _ = request.set_path_with_query(Some(path));
    request
}

fn response(body: Vec<u8>) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    wit_bindgen::spawn_local(async move {
        let _ = writer.write_all(body).await;
    });
    response
}
