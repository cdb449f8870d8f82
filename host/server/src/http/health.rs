//! `/healthz`, `/readyz`, `/metrics`: what an operator's tools ask.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use muster_plugin::BreakerState;

use super::{HttpState, answer};

/// The process is alive and its executor turns.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether new clients and refreshes are welcome: no while the server drains.
/// A circuit breaker that is open, or a guard that holds removals, does not change that, since logins and
/// whatever rosters are known go on; it is told, but not of whom: nobody has
/// shown a token.
pub(crate) async fn readyz(State(state): State<Arc<HttpState>>) -> Response {
    if state.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let breakers = state.hosts.iter().flat_map(|host| host.plugin.breakers());
    let tripped = breakers.filter(|it| it.state != BreakerState::Closed);
    let open = tripped.count();
    let holding = state.rosters.holding_guards();
    let mut causes = Vec::new();
    if open > 0 {
        causes.push(format!("circuit breakers open: {open}"));
    }
    if holding > 0 {
        causes.push(format!("guards that hold removals: {holding}"));
    }
    match causes.is_empty() {
        true => "ready\n".into_response(),
        false => format!("ready, degraded: {}\n", causes.join("; ")).into_response(),
    }
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
