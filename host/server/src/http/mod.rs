//! The HTTP side: what the app's backend, the operator's tools and web clients
//! call.
//!
//! Owns the listener's protocol limits and the routes; hands everything under
//! `/roster_admin/` to [`admin`], what the operator orders to [`control`], and
//! answers health and metrics itself; beside them are the routes of web clients
//! ([`web`]). Does not know what a roster is.

mod admin;
mod answer;
mod body;
mod bosh;
mod client;
pub(crate) mod control;
mod health;
mod host_meta;
mod openapi;
mod origin;
mod patience;
mod sessions;
mod web;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::admin::{Desks, Tokens};
pub(crate) use self::client::Peer;
pub(crate) use self::health::Listening;
pub(crate) use self::openapi::document;
use self::patience::Heard;
pub(crate) use self::web::{Web, WebSettings, router as web_router};
use crate::config::AuditLimits;
use crate::hosts::Hosts;
use crate::limit::Limit;
use crate::rosters::Rosters;
use crate::services::Services;
use crate::telemetry::Metrics;

/// The bounds of one HTTP connection and of one request on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpLimits {
    /// Time for a request's head, from its first byte or from the last answer.
    pub(crate) header_timeout: Duration,
    /// Time for a request's body.
    pub(crate) body_timeout: Duration,
    /// Bytes of a request's body.
    pub(crate) body_bytes: usize,
    /// Bytes of a body that hands in rosters: as many as the app may answer.
    pub(crate) roster_bytes: usize,
    /// Users in one request.
    pub(crate) names: usize,
    /// What an audit of contact lists may cost.
    pub(crate) audit: AuditLimits,
}

/// What the routes share.
pub(crate) struct HttpState {
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) services: Arc<Services>,
    pub(crate) listening: Listening,
    /// Where requests under `/roster_admin/` are worked on.
    pub(crate) desks: Desks,
    pub(crate) rosters: Arc<Rosters>,
    pub(crate) tokens: Tokens,
    pub(crate) limits: HttpLimits,
    pub(crate) metrics: Metrics,
    /// For what goes on without its caller.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the drain begins: from then on `/readyz` says no.
    pub(crate) draining: CancellationToken,
}

/// The routes of the app and the operator, and those of `web` if there are any.
pub(crate) fn router(state: Arc<HttpState>, web: Option<Arc<Web>>) -> Router {
    let own = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::serve))
        .route("/roster_admin/{*path}", any(admin::handle))
        // `admin` bounds the body itself, with the agreed JSON answer.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&state))
        .nest("/admin", control::routes(state));
    web.map_or_else(Router::new, web::routes)
        .merge(own)
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
}

/// Serves one HTTP connection until the peer is done, a bound is exceeded, or
/// the drain has finished the request in flight.
///
/// Faults of the peer end the connection. A malformed head is answered by hyper
/// with 400 or 431; one that takes too long is not.
pub(crate) async fn serve_connection<S>(
    stream: S,
    peer: Peer,
    router: Router,
    limits: HttpLimits,
    draining: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        service.call(request)
    });
    let (stream, unanswered) = Heard::new(stream);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        // To WebSocket; what comes after it is not ours.
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        metrics::counter!("muster_http_connection_errors_total").increment(1);
        // A connection that rests between two requests comes to the same end.
        if error.is_timeout() && unanswered.is_so() {
            Limit::HttpHeaderTimeout.reached();
        }
        tracing::debug!(%error, "HTTP connection ended early");
    }
}
