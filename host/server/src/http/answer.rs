//! Answers that the server gives by itself, in the JSON shape of the refresh
//! summary, so that a caller always parses one thing.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Done: `{"status":"ok","message":…,"updated":0,"errors":0}`.
pub(crate) fn ok(message: &str) -> Response {
    summary(StatusCode::OK, "ok", message)
}

/// An error answer: `{"status":"error","message":…,"updated":0,"errors":0}`.
pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    summary(status, "error", message)
}

fn summary(status: StatusCode, word: &str, message: &str) -> Response {
    let body = serde_json::json!({ "status": word, "message": message, "updated": 0, "errors": 0 });
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// An error answer after which the connection closes, because the rest of the
/// request is not read.
pub(crate) fn error_and_close(status: StatusCode, message: &str) -> Response {
    let mut response = error(status, message);
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Not authenticated: says nothing about what was asked (RFC 6750, section 3).
pub(crate) fn unauthorized() -> Response {
    let mut response = error_and_close(
        StatusCode::UNAUTHORIZED,
        "send Authorization: Bearer with one of the configured admin tokens",
    );
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"muster\""),
    );
    response
}

/// Whether the caller names this media type among those that it accepts.
pub(crate) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let media_type = range.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case(wanted)
    })
}

/// No such route.
pub(crate) async fn not_found() -> Response {
    error(
        StatusCode::NOT_FOUND,
        "no such path; /openapi.json has those of apps and operators, and web clients have /xmpp-websocket and /http-bind, unless they are switched off or elsewhere",
    )
}

/// The path takes these methods only.
pub(crate) fn method_not_allowed_but(methods: &'static str) -> Response {
    let mut response = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take that method",
    );
    let allow = HeaderValue::from_static(methods);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// The route exists, the method does not. axum adds `Allow`.
pub(crate) async fn method_not_allowed() -> Response {
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take that method",
    )
}
