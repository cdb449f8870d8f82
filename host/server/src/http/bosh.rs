//! `/http-bind`: the requests of BOSH clients (XEP-0124).
//!
//! Owns the way of a request to its session's task and of the answer back.
//! Faults of the binding are answered with status 200 and a `<body/>` of type
//! `terminate` (XEP-0124, section 17.2), faults of HTTP with a status of their
//! own.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use muster_xmpp::bosh::{self, Beginning, Body, Condition};
use muster_xmpp::session::Framing;
use tokio::sync::oneshot;

use super::answer;
use super::body::{self, BodyFault};
use super::client::{Client, Peer};
use super::origin;
use super::web::Web;
use crate::limit::Limit;
use crate::transport::bosh::{Bosh, Request as BoshRequest};
use crate::transport::{HungUp, Transport};

/// Answers one request, once its session has something to say or the time is
/// up.
#[utoipa::path(post, path = "/http-bind", tag = "web clients",
    request_body(content = String, content_type = "text/xml", description = "A `<body/>` (XEP-0124)"),
    responses(
        (status = 200, description = "A `<body/>`; what is wrong with the request is its `condition`", body = String, content_type = "text/xml"),
        (status = 400, description = "The body broke off", body = serde_json::Value),
        (status = 403, description = "Pages of this origin may not connect", body = serde_json::Value),
        (status = 408, description = "The body took too long", body = serde_json::Value),
        (status = 413, description = "The body is too large", body = serde_json::Value)))]
pub(super) async fn request(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if !web.settings.origins.admit(&head.headers) {
        return foreign();
    }
    let client = web.settings.proxies.client(peer, &head.headers);
    let body = read(&web, &head.headers, body).await;
    let mut answer = match body {
        Ok(body) => (
            [(header::CONTENT_TYPE, "text/xml; charset=utf-8")],
            exchange(&web, client, &body).await,
        )
            .into_response(),
        Err(fault) => {
            match fault {
                BodyFault::TooLarge(_) => Limit::BoshBodyBytes.reached(),
                BodyFault::TooSlow => Limit::HttpBodyTimeout.reached(),
                BodyFault::Broken => {}
            }
            fault.answer("")
        }
    };
    origin::allow(head.headers.get(header::ORIGIN), answer.headers_mut());
    answer
}

/// The body of a request. Who has not logged in gets no room for more than a
/// login takes: that is all that is bounded by who the client is.
async fn read(web: &Web, headers: &HeaderMap, body: axum::body::Body) -> Result<Bytes, BodyFault> {
    let settings = &web.settings;
    let sizes = (settings.login_bytes, settings.body_bytes);
    let limit = |start: &[u8]| {
        let session = Body::sid_of(start).and_then(|sid| web.bosh.get(&sid));
        match session.is_some_and(|session| session.is_bound()) {
            true => settings.body_bytes,
            false => settings.login_bytes,
        }
    };
    body::read_by_start(headers, body, sizes, settings.body_timeout, limit).await
}

/// What a browser asks before a page of another origin may send a request.
#[utoipa::path(options, path = "/http-bind", tag = "web clients",
    responses(
        (status = 204, description = "It may"),
        (status = 403, description = "Pages of this origin may not connect", body = serde_json::Value)))]
pub(super) async fn preflight(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    if !web.settings.origins.admit(&headers) {
        return foreign();
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    let allowed = answer.headers_mut();
    origin::allow(headers.get(header::ORIGIN), allowed);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"),
        (header::ACCESS_CONTROL_MAX_AGE, "7200"),
    ] {
        allowed.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn foreign() -> Response {
    count("origin");
    answer::error(
        StatusCode::FORBIDDEN,
        "pages of this origin may not connect; web.origins lists those that may",
    )
}

/// The answer to `request`.
async fn exchange(web: &Arc<Web>, client: Client, request: &Bytes) -> Bytes {
    let body = match Body::parse(request) {
        Ok(body) => body,
        Err(fault) => {
            tracing::debug!(%fault, "a BOSH request is none");
            return refuse(Condition::BadRequest);
        }
    };
    let (sender, receiver) = oneshot::channel();
    let sid = body.sid.clone();
    let request = BoshRequest {
        body,
        answer: sender,
    };
    let handed_over = match sid {
        None => begin(web, client, request),
        Some(sid) => match web.bosh.get(&sid) {
            Some(session) => session
                .hand_over(request)
                .await
                .map_err(|HungUp| Condition::ItemNotFound),
            None => Err(Condition::ItemNotFound),
        },
    };
    if let Err(condition) = handed_over {
        return refuse(condition);
    }
    match receiver.await {
        Ok(answer) => {
            count("answered");
            answer
        }
        // The session ended meanwhile.
        Err(_) => refuse(Condition::ItemNotFound),
    }
}

/// Begins a session.
fn begin(web: &Arc<Web>, client: Client, request: BoshRequest) -> Result<(), Condition> {
    if web.services.stop.is_cancelled() {
        return Err(Condition::SystemShutdown);
    }
    let slot = web.admit(client).ok_or(Condition::PolicyViolation)?;
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy).map_err(|error| {
        tracing::error!(%error, "no random numbers for a new BOSH session");
        Condition::InternalServerError
    })?;
    let sid = format!("{:032x}", u128::from_be_bytes(entropy));
    let beginning = Beginning {
        sid: sid.clone(),
        secure: client.secure,
    };
    let (transport, requests) = Bosh::new(&web.settings.bosh, beginning, request);
    let transport = Transport::Bosh(Box::new(transport));
    let stream = web.stream(client, slot, Framing::Bosh, transport);
    let stream = stream.ok_or(Condition::InternalServerError)?;
    let entry = web.bosh.insert(&sid, requests);
    web.tasks.spawn(async move {
        stream.await;
        drop(entry);
    });
    Ok(())
}

fn refuse(condition: Condition) -> Bytes {
    count(condition.name());
    bosh::refusal(condition)
}

fn count(outcome: &'static str) {
    metrics::counter!("muster_bosh_requests_total", "outcome" => outcome).increment(1);
}
