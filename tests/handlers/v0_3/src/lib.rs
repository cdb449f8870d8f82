//! An HTTP handler of WASI 0.3 as a plugin: it imports nothing of Muster's
//! contract. What it does when it is asked is in `deeds.rs`.

#[path = "../../deeds.rs"]
mod deeds;

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package muster:handler;
            world handler {
                import wasi:clocks/monotonic-clock@0.3.2;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:http/types@0.3.2;
                import wasi:http/client@0.3.2;
                export wasi:http/handler@0.3.2;
            }
        ",
        world: "muster:handler/handler",
        generate_all,
    });
    export!(Handler);
    use super::Handler;
}

use std::mem::forget;

use bindings::exports::wasi::http::handler;
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::config::store as config;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use bindings::{wit_future, wit_stream};
use deeds::{Deed, Reply, SMUGGLED, deed};
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

struct Handler;

impl handler::Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let method = match request.get_method() {
            Method::Post => "POST",
            _ => "GET",
        };
        let headers = request.get_headers();
        let names = headers.copy_all().into_iter().map(|(name, _)| name);
        let names = names.collect::<Vec<_>>().join(" ");
        let known = headers.get("if-none-match");
        let (_, read) = wit_future::new(|| Ok(()));
        let (stream, end) = Request::consume_body(request, read);
        let body = whole(stream, end).await.unwrap_or_default();
        match deed(method, &target, &names, body) {
            Deed::Ask => ask(known, &target).await,
            Deed::Setting(name) => Ok(say(deeds::told(config::get(&name).ok().flatten()))),
            Deed::Say(reply) => Ok(say(reply)),
            Deed::Error => Err(ErrorCode::ConnectionTimeout),
            Deed::Trap => std::process::abort(),
            Deed::Spin => deeds::spin(),
            Deed::Grow => deeds::grow(),
            Deed::Recurse => {
                deeds::recurse(1);
                Err(ErrorCode::InternalError(None))
            }
            Deed::Flood => loop {
                forget(Fields::new());
            },
            Deed::Hoard => hoard(),
            // The interface has no other way to end without an answer.
            Deed::Never | Deed::Mute => {
                monotonic_clock::wait_for(u64::MAX / 2).await;
                Err(ErrorCode::InternalError(None))
            }
            Deed::Torrent => Ok(stream_of(
                Fields::new(),
                200,
                vec![b' '; 64 << 10],
                usize::MAX,
            )),
            Deed::Unfinished => Ok(stalled()),
            Deed::TrapLate => Ok(trap_late()),
        }
    }
}

fn hoard() -> ! {
    let (fields, target) = (deeds::large_fields(), deeds::large_target());
    loop {
        let fields = Fields::from_list(&fields).expect("fields");
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (request, sent) = Request::new(fields, None, trailers, None);
        request
            .set_path_with_query(Some(&target))
            .expect("a target");
        forget((request, sent));
    }
}

/// Asks the app for the same, and passes its answer on.
async fn ask(known: Vec<Vec<u8>>, target: &str) -> Result<Response, ErrorCode> {
    let headers = Fields::new();
    for value in known {
        let _ = headers.append("if-none-match", &value);
    }
    for (name, value) in SMUGGLED {
        assert!(headers.append(name, value.as_bytes()).is_err(), "{name}");
    }
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(headers, None, trailers, None);
    let authority = deeds::origin(|key| config::get(key).ok().flatten());
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(&authority));
    let _ = request.set_path_with_query(Some(target));
    let answer = client::send(request).await?;
    let status = answer.get_status_code();
    let headers = Fields::new();
    for value in answer.get_headers().get("etag") {
        let _ = headers.append("etag", &value);
    }
    let (_, read) = wit_future::new(|| Ok(()));
    let (stream, end) = Response::consume_body(answer, read);
    let body = whole(stream, end).await?;
    Ok(stream_of(headers, status, body, 1))
}

async fn whole(
    mut stream: StreamReader<u8>,
    end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
) -> Result<Vec<u8>, ErrorCode> {
    let mut body = Vec::new();
    loop {
        let result;
        body.reserve(16 << 10);
        (result, body) = stream.read(body).await;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    drop(stream);
    end.await.map(|_| body)
}

fn say(reply: Reply) -> Response {
    let headers = Fields::new();
    for (name, value) in reply.headers {
        headers.append(name, value.as_bytes()).expect("a header");
    }
    stream_of(headers, reply.status, reply.body, 1)
}

/// A body of so many times the same.
fn stream_of(headers: Fields, status: u16, piece: Vec<u8>, times: usize) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    let _ = response.set_status_code(status);
    wit_bindgen::spawn_local(async move {
        for _ in 0..times {
            if !writer.write_all(piece.clone()).await.is_empty() {
                return;
            }
        }
    });
    response
}

/// A body that breaks off: its last word is an error.
fn stalled() -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (last, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    wit_bindgen::spawn_local(async move {
        let _ = writer.write_all(b"{}".to_vec()).await;
        drop(writer);
        let _ = last.write(Err(ErrorCode::HttpResponseIncomplete)).await;
    });
    response
}

fn trap_late() -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    wit_bindgen::spawn_local(async move {
        let _ = writer.write_all(b"{}".to_vec()).await;
        std::process::abort();
    });
    response
}
