//! `/healthz`, `/readyz`, `/metrics`: what an operator's tools ask.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::{HttpState, answer};

/// The process is alive and its executor turns.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether new clients and refreshes are welcome: no while the server drains.
pub(crate) async fn readyz(State(state): State<Arc<HttpState>>) -> Response {
    if state.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

/// The metrics in the Prometheus text format, behind the same token as the
/// refresh route.
pub(crate) async fn metrics(State(state): State<Arc<HttpState>>, headers: HeaderMap) -> Response {
    if !state.tokens.admit(&headers) {
        return answer::unauthorized();
    }
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        state.metrics.render(),
    )
        .into_response()
}
