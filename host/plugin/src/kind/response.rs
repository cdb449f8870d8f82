//! The response of a guest's handler, whole or not at all.

use http::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use wasmtime_wasi_http::{Error, WasiBody};

use super::Exchanged;

/// Why a request to the guest brought no response.
#[derive(Debug)]
pub(crate) enum NoResponse {
    /// It answered with an error of `wasi:http`, or broke off.
    Error(Error),
    /// The body is larger than [`crate::Limits::response_bytes`].
    TooLarge,
}

/// A handler of WASI 0.2 ended without any answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the handler ended without an answer")]
pub(crate) struct Unanswered;

/// Reads the body, at most `limit` bytes.
pub(super) async fn collect(response: Response<WasiBody>, limit: usize) -> Exchanged {
    let (parts, body) = response.into_parts();
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(NoResponse::TooLarge),
        Err(error) => Err(NoResponse::Error(match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(_) => Error::HttpResponseIncomplete,
        })),
    }
}
