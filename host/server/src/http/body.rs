//! Reading the body of a request within its size and its time.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
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
    check_announced(headers, limit)?;
    let collected = tokio::time::timeout(timeout, Limited::new(body, limit).collect());
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyFault::TooLarge(limit)),
        Ok(Err(_)) => Err(BodyFault::Broken),
        Err(_) => Err(BodyFault::TooSlow),
    }
}

/// The whole body, within a limit that depends on how it begins: `limit` is
/// asked once there are more than `unasked` bytes, and says at most `most`.
pub(super) async fn read_by_start(
    headers: &HeaderMap,
    body: Body,
    (unasked, most): (usize, usize),
    timeout: Duration,
    limit: impl FnOnce(&[u8]) -> usize,
) -> Result<Bytes, BodyFault> {
    check_announced(headers, most)?;
    let read = tokio::time::timeout(timeout, grow(body, unasked, limit));
    read.await.unwrap_or(Err(BodyFault::TooSlow))
}

async fn grow(
    mut body: Body,
    unasked: usize,
    limit: impl FnOnce(&[u8]) -> usize,
) -> Result<Bytes, BodyFault> {
    let (mut bound, mut limit) = (unasked, Some(limit));
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyFault::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        read.extend_from_slice(&data);
        if read.len() > bound
            && let Some(limit) = limit.take()
        {
            bound = limit(&read);
        }
        if read.len() > bound {
            return Err(BodyFault::TooLarge(bound));
        }
    }
    Ok(read.freeze())
}

fn check_announced(headers: &HeaderMap, limit: usize) -> Result<(), BodyFault> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced.is_some_and(|bytes| bytes > limit as u64) {
        true => Err(BodyFault::TooLarge(limit)),
        false => Ok(()),
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
