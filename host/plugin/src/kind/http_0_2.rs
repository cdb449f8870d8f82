//! A handler of `wasi:http` 0.2, alone in its store.
//!
//! Such a guest answers by handing over the head of its response, and goes on
//! running to write the body. It is done when the whole response is there;
//! what it would still do then is dropped with its store.

use std::pin::pin;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error, WasiHttpView as _};

use super::agreement::Terms;
use super::{Answer, Exchanged, NoResponse, Question, Unanswered, response};
use crate::store::StoreState;

pub(super) async fn fetch(
    guest: &Proxy,
    store: &mut Store<StoreState>,
    question: Question,
) -> wasmtime::Result<Answer> {
    let terms = Terms::of(store.data());
    let request = match terms.request(&question) {
        Ok(request) => request,
        Err(error) => return Ok(Err(error)),
    };
    let exchanged = exchange(guest, store, request).await?;
    Ok(terms.answer(&question, exchanged))
}

type Head = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// Hands the request in, and reads the response while the guest runs.
///
/// # Errors
/// Also [`Unanswered`], if it ends without a word.
pub(super) async fn exchange(
    guest: &Proxy,
    store: &mut Store<StoreState>,
    request: Request<Bytes>,
) -> wasmtime::Result<Exchanged> {
    let limit = store.data().limits.response_bytes;
    let (reply, mut answered) = oneshot::channel::<Head>();
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request.map(Full::new))?;
    let outparam = http.new_response_outparam(reply)?;
    let handler = guest.wasi_http_incoming_handler();
    let mut call = pin!(handler.call_handle(&mut *store, request, outparam));

    let (head, running) = tokio::select! {
        biased;
        ended = &mut call => {
            ended?;
            (answered.try_recv().ok(), false)
        }
        head = &mut answered => (head.ok(), true),
    };
    let head = match head {
        Some(Ok(head)) => head,
        Some(Err(code)) => return Ok(Err(NoResponse::Error(code.into()))),
        None => return Err(Unanswered.into()),
    };
    let mut body = pin!(unconstrained(response::collect(head, limit)));
    if running {
        tokio::select! {
            biased;
            ended = &mut call => ended?,
            response = &mut body => return Ok(response),
        }
    }
    // Nobody writes any more: what has not been finished never will be. (A
    // body whose writer is merely gone would look like a whole one.)
    Ok(body
        .now_or_never()
        .unwrap_or(Err(NoResponse::Error(Error::HttpResponseIncomplete))))
}
