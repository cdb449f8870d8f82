//! A handler of `wasi:http` 0.3, which the typed contract has as well.
//!
//! Owns the way of a request into the guest and of its response out of it. The
//! guest writes its body while the event loop of its store turns, so it is
//! read here, beside the other calls.

use std::pin::Pin;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request as GuestRequest, Response as GuestResponse};

use super::agreement::Terms;
use super::{Answer, Exchanged, NoResponse, Question, SharedGuest, response};
use crate::store::StoreState;

pub(super) async fn fetch(
    accessor: &Accessor<StoreState>,
    guest: &SharedGuest,
    question: Question,
) -> wasmtime::Result<Answer> {
    let terms = accessor.with(|mut access| Terms::of(access.get()));
    let request = match terms.request(&question) {
        Ok(request) => request,
        Err(error) => return Ok(Err(error)),
    };
    let exchanged = exchange(accessor, guest, request).await?;
    Ok(terms.answer(&question, exchanged))
}

/// Hands the request in, and reads the response as long as it comes.
pub(super) async fn exchange(
    accessor: &Accessor<StoreState>,
    guest: &SharedGuest,
    request: Request<Bytes>,
) -> wasmtime::Result<Exchanged> {
    let (resource, sent, limit) = accessor.with(|mut access| {
        let state = access.get();
        let limit = state.limits.response_bytes;
        let view = state.http();
        let (request, sent) = GuestRequest::from_http(view.hooks, request.map(Full::new));
        let sent: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(sent);
        wasmtime::error::Ok((view.table.push(request)?, sent, limit))
    })?;
    let resource = match call(accessor, guest, resource).await? {
        Ok(resource) => resource,
        Err(code) => return Ok(Err(NoResponse::Error(code.into()))),
    };
    let answer = accessor.with(|mut access| {
        let response = access.get().http().table.delete(resource)?;
        response.into_http(access, sent)
    })?;
    Ok(response::collect(answer, limit).await)
}

/// The same export, of two worlds.
async fn call(
    accessor: &Accessor<StoreState>,
    guest: &SharedGuest,
    request: Resource<GuestRequest>,
) -> wasmtime::Result<Result<Resource<GuestResponse>, ErrorCode>> {
    match guest {
        SharedGuest::Contract(guest) => {
            let handler = guest.wasi_http_handler();
            handler.call_handle(accessor, request).await
        }
        SharedGuest::Http03(guest) => {
            let handler = guest.wasi_http_handler();
            handler.call_handle(accessor, request).await
        }
    }
}
