//! An HTTP handler of WASI 0.2 as a plugin: it imports nothing of Muster's
//! contract. What it does when it is asked is in `deeds.rs`.

#[path = "../../deeds.rs"]
mod deeds;

mod settings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../../wit/deps/config",
        world: "wasi:config/imports",
        generate_all,
    });
}

use std::mem::forget;

use deeds::{Deed, Reply, SMUGGLED, deed};
use settings::wasi::config::store as config;
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

struct Handler;

wasip2::http::proxy::export!(Handler);

impl wasip2::exports::http::incoming_handler::Guest for Handler {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let method = match request.method() {
            Method::Post => "POST",
            _ => "GET",
        };
        let names = request
            .headers()
            .entries()
            .into_iter()
            .map(|(name, _)| name);
        let names = names.collect::<Vec<_>>().join(" ");
        let body = request.consume().map(read).unwrap_or_default();
        match deed(method, &target, &names, body) {
            Deed::Ask => answer(outparam, ask(&request, &target)),
            Deed::Setting(name) => {
                let value = config::get(&name).ok().flatten();
                answer(outparam, Ok(deeds::told(value).into()));
            }
            Deed::Say(reply) => answer(outparam, Ok(reply.into())),
            Deed::Error => ResponseOutparam::set(outparam, Err(ErrorCode::ConnectionTimeout)),
            Deed::Trap => std::process::abort(),
            Deed::Spin => deeds::spin(),
            Deed::Grow => deeds::grow(),
            Deed::Recurse => drop(deeds::recurse(1)),
            Deed::Flood => loop {
                forget(Fields::new());
            },
            Deed::Hoard => hoard(),
            Deed::Never => monotonic_clock::subscribe_duration(u64::MAX / 2).block(),
            Deed::Mute => forget(outparam),
            Deed::Torrent => torrent(outparam),
            Deed::Unfinished => forget(begin(outparam)),
            Deed::TrapLate => {
                forget(begin(outparam));
                std::process::abort()
            }
        }
    }
}

/// Requests with a body that nobody reads.
fn hoard() -> ! {
    let (fields, target) = (deeds::large_fields(), deeds::large_target());
    loop {
        let fields = Fields::from_list(&fields).expect("fields");
        let request = OutgoingRequest::new(fields);
        request
            .set_path_with_query(Some(&target))
            .expect("a target");
        let body = request.body().expect("a body");
        let stream = body.write().expect("a stream");
        while let Ok(room @ 1..) = stream.check_write() {
            let piece = vec![b'x'; usize::try_from(room).unwrap_or_default()];
            stream.write(&piece).expect("room");
        }
        forget((request, body, stream));
    }
}

/// A whole answer.
struct Whole {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl From<Reply> for Whole {
    fn from(reply: Reply) -> Self {
        let headers = reply.headers.into_iter();
        Self {
            status: reply.status,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
            body: reply.body,
        }
    }
}

/// Asks the app for the same, and passes its answer on.
fn ask(asked: &IncomingRequest, target: &str) -> Result<Whole, ErrorCode> {
    let headers = Fields::new();
    for value in asked.headers().get("if-none-match") {
        let _ = headers.append("if-none-match", &value);
    }
    for (name, value) in SMUGGLED {
        assert!(headers.append(name, value.as_bytes()).is_err(), "{name}");
    }
    let request = OutgoingRequest::new(headers);
    let authority = deeds::origin(|key| config::get(key).ok().flatten());
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(&authority));
    let _ = request.set_path_with_query(Some(target));
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    let response = match response.get() {
        Some(Ok(response)) => response?,
        _ => return Err(ErrorCode::InternalError(None)),
    };
    let etag = response.headers().get("etag");
    let headers = etag.into_iter().map(|value| ("etag".to_owned(), value));
    let (status, headers) = (response.status(), headers.collect());
    let body = response
        .consume()
        .map_err(|()| ErrorCode::InternalError(None))?;
    Ok(Whole {
        status,
        headers,
        body: read_whole(&body)?,
    })
}

fn answer(outparam: ResponseOutparam, whole: Result<Whole, ErrorCode>) {
    let whole = match whole {
        Ok(whole) => whole,
        Err(code) => return ResponseOutparam::set(outparam, Err(code)),
    };
    let response = OutgoingResponse::new(Fields::from_list(&whole.headers).expect("headers"));
    let _ = response.set_status_code(whole.status);
    let body = response.body().expect("a body");
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().expect("a stream");
    for piece in whole.body.chunks(4096) {
        if stream.blocking_write_and_flush(piece).is_err() {
            break;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// The head, and the beginning of a body.
fn begin(outparam: ResponseOutparam) -> OutgoingBody {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a body");
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().expect("a stream");
    let _ = stream.blocking_write_and_flush(b"{}");
    body
}

fn torrent(outparam: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a body");
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().expect("a stream");
    while stream.blocking_write_and_flush(&[b' '; 4096]).is_ok() {}
}

fn read(body: IncomingBody) -> Vec<u8> {
    read_whole(&body).unwrap_or_default()
}

fn read_whole(body: &IncomingBody) -> Result<Vec<u8>, ErrorCode> {
    let stream = body.stream().map_err(|()| ErrorCode::InternalError(None))?;
    let mut whole = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => whole.extend(piece),
            Err(StreamError::Closed) => return Ok(whole),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                return Err(code.unwrap_or(ErrorCode::HttpResponseIncomplete));
            }
        }
    }
}
