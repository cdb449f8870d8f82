//! Reading the body of a request within its size and its time.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::answer;

/// Why a body could not be read. Reach: the request and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It has more than so many bytes.
    TooLarge(usize),
    /// It did not arrive in time.
    TooSlow,
    /// It ended early, or is not what HTTP wants.
    Broken,
}

/// The whole body, within `limit` bytes and `timeout`.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, BodyFault> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        return Err(BodyFault::TooLarge(limit));
    }
    let collected = tokio::time::timeout(timeout, Limited::new(body, limit).collect());
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyFault::TooLarge(limit)),
        Ok(Err(_)) => Err(BodyFault::Broken),
        Err(_) => Err(BodyFault::TooSlow),
    }
}

impl BodyFault {
    /// The answer; `advice` says what to do about a body that is too large.
    pub(super) fn answer(self, advice: &str) -> Response {
        match self {
            BodyFault::TooLarge(limit) => answer::error_and_close(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("the body is larger than {limit} bytes{advice}"),
            ),
            BodyFault::TooSlow => answer::error_and_close(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive in time",
            ),
            BodyFault::Broken => answer::error_and_close(
                StatusCode::BAD_REQUEST,
                "the body could not be read to its end",
            ),
        }
    }
}
