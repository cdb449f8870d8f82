//! Requests that the host should not send, or not like that.

use crate::bindings::muster::roster::types::{FetchError, Fetched};
use crate::bindings::wasi::config::store as config;
use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{Fields, Method, Request, RequestOptions, Scheme};
use crate::bindings::{wit_future, wit_stream};
use crate::exhaustion::never;
use crate::{honest, said};

/// One contact, if the app answers for this user as it should.
pub(crate) async fn asks(username: &str) -> Result<Fetched, FetchError> {
    let path = format!("/contacts/{username}");
    let request = request(Method::Get, &origin(), &path, Fields::new());
    match client::send(request).await.map(|it| it.get_status_code()) {
        Ok(200) => honest(),
        Ok(status) => Err(FetchError::Status(status)),
        Err(_) => Err(FetchError::Unavailable),
    }
}

/// `GET` of a path of the configured origin; the status comes back.
pub(crate) async fn get(path: &str) -> Result<Fetched, FetchError> {
    let request = request(Method::Get, &origin(), path, Fields::new());
    match client::send(request).await {
        Ok(response) => Err(FetchError::Status(response.get_status_code())),
        Err(code) => said(format!("{code:?}")),
    }
}

/// `METHOD SCHEME AUTHORITY PATH`, as they are; what became of it comes back.
pub(crate) async fn send(words: &str) -> Result<Fetched, FetchError> {
    let mut words = words.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    // Usernames are in lower case.
    let method = match word().to_ascii_uppercase().as_str() {
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
    let authority = match authority.eq_ignore_ascii_case("origin") {
        true => origin(),
        false => authority,
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
pub(crate) async fn header(words: &str) -> Result<Fetched, FetchError> {
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

/// What is no header any more, behind the body; how the host liked it.
pub(crate) async fn trailers() -> Result<Fetched, FetchError> {
    let fields = Fields::new();
    let mut refused = Vec::new();
    for name in ["host", "authorization", "te", "x-smuggled"] {
        if fields.append(name, b"evil").is_err() {
            refused.push(name);
        }
    }
    let (writer, trailers) = wit_future::new(|| Ok(None));
    wit_bindgen::spawn_local(async move {
        let _ = writer.write(Ok(Some(fields))).await;
    });
    let contents = written(b"x".to_vec(), 1);
    let (request, _sent) = Request::new(Fields::new(), Some(contents), trailers, None);
    address(&request, Method::Get, &origin(), "/trailers");
    let outcome = match client::send(request).await {
        Ok(response) => response.get_status_code().to_string(),
        Err(code) => format!("{code:?}"),
    };
    said(format!("{} {outcome}", refused.join(" ")))
}

/// A body of so many bytes.
pub(crate) async fn body(bytes: &str) -> Result<Fetched, FetchError> {
    let bytes: usize = bytes.parse().unwrap_or_default();
    let contents = written(vec![b'x'; 64 << 10], bytes.div_ceil(64 << 10));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), Some(contents), trailers, None);
    address(&request, Method::Get, &origin(), "/body");
    match client::send(request).await {
        Ok(response) => said(format!("answered {}", response.get_status_code())),
        Err(code) => said(format!("{code:?}")),
    }
}

/// Timeouts of nothing.
pub(crate) async fn no_time() -> Result<Fetched, FetchError> {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(0));
    let _ = options.set_first_byte_timeout(Some(0));
    let _ = options.set_between_bytes_timeout(Some(0));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, Some(options));
    address(&request, Method::Get, &origin(), "/contacts/john");
    match client::send(request).await {
        Ok(_) => honest(),
        Err(code) => said(format!("{code:?}")),
    }
}

/// Asks, and lets neither the response nor its body go.
pub(crate) async fn forget() -> Result<Fetched, FetchError> {
    let request = request(Method::Get, &origin(), "/slow-body", Fields::new());
    let response = client::send(request).await;
    std::mem::forget(response);
    never().await
}

/// Asks, keeps the response for ever, and answers as it should.
pub(crate) async fn leak(path: &str) -> Result<Fetched, FetchError> {
    let request = request(Method::Get, &origin(), path, Fields::new());
    let response = client::send(request).await;
    let told = response.as_ref().map(|it| it.get_status_code());
    let told = format!("{told:?}");
    std::mem::forget(response);
    match told.starts_with("Ok") {
        true => honest(),
        false => said(told),
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
    address(&request, method, authority, path);
    request
}

fn address(request: &Request, method: Method, authority: &str, path: &str) {
    let _ = request.set_method(&method);
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(authority));
    let _ = request.set_path_with_query(Some(path));
}

/// A stream of so many times the same.
fn written(piece: Vec<u8>, times: usize) -> wit_bindgen::StreamReader<u8> {
    let (mut writer, contents) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        for _ in 0..times {
            if !writer.write_all(piece.clone()).await.is_empty() {
                return;
            }
        }
    });
    contents
}
