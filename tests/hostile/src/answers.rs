//! HTTP responses that no server should send on as they are.

use std::fmt::Debug;

use crate::bindings::wasi::http::types::{ErrorCode, Fields, Request, Response};
use crate::bindings::{wit_future, wit_stream};
use crate::{exhaustion, parse, perform, refreshing};

/// What the path asks for; what is no HTTP is done as in a fetch, and told.
pub(crate) async fn answer(request: Request, path: &str) -> Result<Response, ErrorCode> {
    match path.trim_start_matches('/') {
        "ok" => Ok(response(b"ok".to_vec())),
        "error" => Err(ErrorCode::InternalError(Some("a\r\nb".repeat(100_000)))),
        "big" => Ok(response(vec![b'x'; 5 << 20])),
        "endless" => Ok(streaming(Fields::new(), vec![b'x'; 64 << 10], usize::MAX)),
        "stalled" => Ok(stalled()),
        "short" => Ok(with(&[("content-length", "5")], b"ok")),
        "informational" => Ok(status(100)),
        "switching" => Ok(status(101)),
        "redirect" => Ok(status(307)),
        "nothing" => Ok(status(204)),
        "strange" => Ok(status(599)),
        "browser" => Ok(with(&BROWSER, b"ok")),
        "connection" => Ok(response(refusals(&CONNECTION).into_bytes())),
        "split" => Ok(response(refusals(&SPLIT).into_bytes())),
        "many-headers" => Ok(many_headers()),
        "headers" => Ok(response(header_names(&request).into_bytes())),
        "outcomes" => Ok(refreshing::outcomes(request).await),
        "million" => Ok(refreshing::million().await),
        "long-name" => Ok(refreshing::long_name().await),
        "crowd" => Ok(refreshing::crowd().await),
        path if path.starts_with("refresh") => {
            Ok(refreshing::refresh(request, &format!("/{path}")).await)
        }
        "do" => {
            let words = body(request).await;
            let (deed, rest) = parse(&words);
            Ok(told(perform(deed, &rest).await))
        }
        "never" => exhaustion::never().await,
        deed => Ok(told(perform(deed, "").await)),
    }
}

/// Fields that speak to a browser or a proxy for the whole origin.
const BROWSER: [(&str, &str); 9] = [
    ("set-cookie", "session=stolen"),
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("location", "https://evil.example.com/"),
    ("x-accel-redirect", "/internal"),
    ("alt-svc", "h2=\"evil.example.com:443\""),
    ("clear-site-data", "\"*\""),
    ("www-authenticate", "Basic"),
    ("content-type", "text/plain"),
];

/// Fields of the connection.
const CONNECTION: [(&str, &str); 5] = [
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "evil"),
    ("keep-alive", "timeout=1"),
    ("trailer", "x"),
];

/// Values that would begin another field, or another response.
const SPLIT: [(&str, &str); 3] = [
    ("x-a", "b\r\nset-cookie: c=d"),
    ("x-a", "b\n\nHTTP/1.1 200 OK"),
    ("x a\r\nb", "c"),
];

/// What the host says of each.
fn refusals(fields: &[(&str, &str)]) -> String {
    let said =
        fields.iter().map(
            |(name, value)| match Fields::new().append(name, value.as_bytes()) {
                Ok(()) => "taken".to_owned(),
                Err(error) => format!("{error:?}"),
            },
        );
    said.collect::<Vec<_>>().join(" ")
}

fn with(fields: &[(&str, &str)], body: &[u8]) -> Response {
    let headers = Fields::new();
    for (name, value) in fields {
        let _ = headers.append(name, value.as_bytes());
    }
    streaming(headers, body.to_vec(), 1)
}

/// As many as the host takes.
fn many_headers() -> Response {
    let headers = Fields::new();
    let mut count = 0;
    while count < 100_000 && headers.append(&format!("x-{count}"), b"y").is_ok() {
        count += 1;
    }
    streaming(headers, count.to_string().into_bytes(), 1)
}

fn header_names(request: &Request) -> String {
    let names = request.get_headers().copy_all();
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    names.join(" ")
}

fn status(code: u16) -> Response {
    let response = response(b"ok".to_vec());
    let _ = response.set_status_code(code);
    response
}

/// A body whose end never comes.
fn stalled() -> Response {
    let (writer, contents) = wit_stream::new();
    std::mem::forget(writer);
    let (_, trailers) = wit_future::new(|| Ok(None));
    Response::new(Fields::new(), Some(contents), trailers).0
}

/// What a deed came to, as text.
fn told<T: Debug>(outcome: T) -> Response {
    response(format!("{outcome:?}").into_bytes())
}

pub(crate) fn response(body: Vec<u8>) -> Response {
    streaming(Fields::new(), body, 1)
}

/// A body of so many times the same.
fn streaming(headers: Fields, piece: Vec<u8>, times: usize) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    wit_bindgen::spawn_local(async move {
        for _ in 0..times {
            if !writer.write_all(piece.clone()).await.is_empty() {
                return;
            }
        }
    });
    response
}

pub(crate) async fn body(request: Request) -> String {
    let (_, read) = wit_future::new(|| Ok(()));
    let (stream, _end) = Request::consume_body(request, read);
    String::from_utf8(stream.collect().await).unwrap_or_default()
}
