//! Everything under `/roster_admin/`: authenticate, bound, find out what is
//! wished, and hand the request to who answers it: mostly the plugin of the
//! virtual host that it is for.
//!
//! Nothing that arrives without the token costs more than its head: no body is
//! read, no plugin is called, and the answer is the same whatever was asked.
//!
//! The rooms: [`wishes`] reads what beyond the old protocol is asked for;
//! [`desk`] does the work of one virtual host, within the [`queue`], at once
//! or as one of its [`jobs`], once for a key ([`idempotency`]); [`explain`]
//! writes down what came of each user; [`hand_in`] takes rosters without a
//! fetch, and [`ping`] the app's word that it is back.

mod described;
mod desk;
mod explain;
mod hand_in;
mod idempotency;
mod jobs;
mod ping;
mod queue;
mod tokens;
mod wishes;
mod work;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use tracing::{Instrument as _, Span};

pub(super) use self::described::Api;
pub(crate) use self::desk::{Desk, Desks};
use self::idempotency::Fingerprint;
pub(crate) use self::tokens::Tokens;
use self::wishes::Wishes;
use self::work::Work;
use super::body::{self, BodyFault};
use super::{HttpState, answer};
use crate::limit::Limit;

/// An answer with its body.
type Answer = http::Response<Bytes>;

/// Seconds after which somebody who was told to come back may do so.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Serves one request under `/roster_admin/`.
pub(crate) async fn handle(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    if !state.tokens.admit(request.headers()) {
        metrics::counter!("muster_admin_requests_total", "outcome" => "unauthorized").increment(1);
        return answer::unauthorized();
    }
    let (mut head, body) = request.into_parts();
    let host = state.hosts.for_http(&head);
    let Some(desk) = host.and_then(|host| state.desks.at(&host.domain)) else {
        return answer::error(
            StatusCode::MISDIRECTED_REQUEST,
            "several virtual hosts are served here: name one by the Host header",
        );
    };
    // The plugin sees the request, never the credentials.
    head.headers.remove(header::AUTHORIZATION);
    head.headers.remove(header::COOKIE);
    let path = head.uri.path().to_owned();
    let path = path.strip_prefix("/roster_admin/").unwrap_or_default();
    match path.split_once('/').unwrap_or((path, "")) {
        ("jobs", id) => jobs::answer(&desk, id, &head),
        ("ping", "") if !path.ends_with('/') => ping::answer(&desk.host, &head.method),
        ("rosters", user) => hand_in::answer(&state, &desk, user, head, body).await,
        _ => hand_over(&state, &desk, head, body).await,
    }
}

/// Hands the request to the plugin.
async fn hand_over(
    state: &HttpState,
    desk: &Arc<Desk>,
    head: http::request::Parts,
    body: Body,
) -> Response {
    let limit = state.limits.body_bytes;
    let body = match read(state, &head, body, limit).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    serve(desk, head, body, |request| Work::Plugin(Box::new(request))).await
}

/// The body, or the answer that there is none to work with.
async fn read(
    state: &HttpState,
    head: &http::request::Parts,
    body: Body,
    limit: usize,
) -> Result<Bytes, Response> {
    let read = body::read(&head.headers, body, limit, state.limits.body_timeout);
    read.await.map_err(|fault| {
        match fault {
            BodyFault::TooLarge(_) => Limit::HttpBodyBytes.reached(),
            BodyFault::TooSlow => Limit::HttpBodyTimeout.reached(),
            BodyFault::Broken => {}
        }
        fault.answer("; send the users in several requests")
    })
}

/// Does `work` with the request, as its caller wishes.
async fn serve(
    desk: &Arc<Desk>,
    mut head: http::request::Parts,
    body: Bytes,
    work: impl FnOnce(http::Request<Bytes>) -> Work,
) -> Response {
    let wishes = match Wishes::of(&head) {
        Ok(wishes) => wishes,
        Err(fault) => return answer::error(StatusCode::BAD_REQUEST, &fault.to_string()),
    };
    let changes = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
    let key = match desk.idempotency.key(&head.headers) {
        Ok(key) => key.filter(|_| changes),
        Err(fault) => return answer::error(StatusCode::BAD_REQUEST, &fault.to_string()),
    };
    let key = key.map(|key| (key, Fingerprint::of(&head, &wishes, &body)));
    wishes::strip(&mut head);
    let span = refresh_span(&mut head);
    let work = work(http::Request::from_parts(head, body));
    let served = desk.serve(work, wishes, key).instrument(span);
    served.await.map(Body::from)
}

/// The span of a request, below that of its caller if it names one (W3C Trace
/// Context). The plugin does not see the header: what it asks for is named by
/// the host.
fn refresh_span(head: &mut http::request::Parts) -> Span {
    let span = tracing::debug_span!(
        "refresh",
        otel.kind = "server",
        method = head.method.as_str(),
        users = tracing::field::Empty,
    );
    let caller = head.headers.remove("traceparent");
    if let Some(caller) = caller.as_ref().and_then(|it| it.to_str().ok()) {
        muster_trace::follow(&span, caller);
    }
    span
}

/// An error answer with its body, in the shape of the summary.
fn error(status: StatusCode, message: &str) -> Answer {
    let body = Bytes::from(muster_contract::error_body(message));
    let mut answer = json(status, body);
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    answer
}

fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Answer::new(body);
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
