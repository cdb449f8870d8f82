//! The built-in plugin as a Spin component.
//!
//! Owns the same as `guest/component`, in the shape of a plain HTTP handler:
//! `GET /contacts/<user>` asks the app and passes its answer on, and what
//! arrives under `/roster_admin/` is answered with the usernames that Muster is
//! to refresh. What requests and answers mean is decided in `muster-contract`;
//! the answer of the app is read by the host, which has it in the same crate.
//!
//! Under Muster the variables are the settings of the virtual host; under Spin
//! they are those of `spin.toml`.

mod contacts;
mod refresh;
#[allow(
    unsafe_code,
    reason = "the entry point is generated: the canonical ABI needs raw pointers"
)]
mod service;
mod settings;

use bytes::Bytes;
use spin_sdk::http::{FullBody, Request, Response, StatusCode};
use spin_sdk::wasip3::http::types::ErrorCode;

/// An answer with its whole body.
type Answer = Response<FullBody<Bytes>>;

/// Answers one request, whichever it is.
async fn answer(request: Request) -> Result<Answer, ErrorCode> {
    match request.uri().path().strip_prefix("/contacts/") {
        Some(segment) => {
            let segment = segment.to_owned();
            contacts::fetch(&segment, request.headers()).await
        }
        None => refresh::answer(request).await,
    }
}

/// An answer of this type.
fn said(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(FullBody::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let content_type = spin_sdk::http::HeaderValue::from_static(content_type);
    answer.headers_mut().insert("content-type", content_type);
    answer
}
