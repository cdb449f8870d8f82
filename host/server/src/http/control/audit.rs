//! `POST /admin/audit/VHOST`: what in the contact lists of a virtual host does
//! not fit together.
//!
//! Owns the body, which says what users are meant. The audit ends when its
//! caller hangs up.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::report::NotDone;
use super::{HttpState, count, find, not_done};
use crate::http::body;
use crate::limit::Limit;
use crate::rosters::{AuditOrder, Batch};

/// The body of the request; none at all is the same as `{}`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    /// Localparts; none are all who are known.
    pub(crate) users: Vec<String>,
    /// Users who are asked for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency: Option<usize>,
}

/// The description of this route.
#[derive(OpenApi)]
#[openapi(paths(audit))]
pub(in crate::http) struct Api;

/// Tells what in the contact lists of a virtual host does not fit together
///
/// Without a body, of all users who are known.
#[utoipa::path(post, path = "/admin/audit/{vhost}", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    request_body(content = Option<Wanted>),
    responses(
        (status = 200, description = "The findings", body = serde_json::Value),
        (status = 400, description = "The body is not as agreed", body = serde_json::Value),
        (status = 404, description = "There is no such virtual host", body = NotDone),
        (status = 408, description = "The body took too long", body = serde_json::Value),
        (status = 409, description = "Another audit is under way", body = NotDone),
        (status = 413, description = "The body is too large", body = serde_json::Value),
        (status = 415, description = "The body is not JSON", body = NotDone),
        (status = 422, description = "An entry of users is no username", body = NotDone),
        (status = 503, description = "The server stops", body = NotDone)),
    security(("token" = [])))]
pub(super) async fn audit(
    State(state): State<Arc<HttpState>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let host = match find(&state, &name) {
        Ok(host) => host,
        Err(unknown) => return unknown,
    };
    let (head, body) = request.into_parts();
    let wanted = match wanted(&state, &head, body).await {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal,
    };
    let mut accounts = Vec::with_capacity(wanted.users.len());
    for user in &wanted.users {
        match Batch::account(user, &host.domain) {
            Some(account) => accounts.push(account),
            None => {
                count("audit", "invalid");
                let message = "an entry of users is no username";
                return not_done(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "invalid_username",
                    message,
                );
            }
        }
    }
    let order = AuditOrder {
        accounts,
        concurrency: wanted.concurrency,
        limits: state.limits.audit,
    };
    let drained = state
        .draining
        .run_until_cancelled(state.rosters.audit(&host.domain, order));
    match drained.await {
        Some(Some(Ok(report))) => {
            count("audit", "ok");
            Json(report).into_response()
        }
        Some(Some(Err(busy))) => {
            count("audit", "busy");
            let mut answer = not_done(StatusCode::CONFLICT, "busy", &busy.to_string());
            let seconds = HeaderValue::from_static("10");
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
            answer
        }
        Some(None) | None => {
            count("audit", "stopped");
            super::stopped()
        }
    }
}

async fn wanted(
    state: &HttpState,
    head: &http::request::Parts,
    body: Body,
) -> Result<Wanted, Response> {
    let (limit, time) = (state.limits.body_bytes, state.limits.body_timeout);
    let read = body::read(&head.headers, body, limit, time).await;
    let bytes = read.map_err(|fault| fault.answer("; name fewer users"))?;
    if bytes.is_empty() {
        return Ok(Wanted::default());
    }
    // An array would pass for an object whose members are in order.
    let object: Result<serde_json::Map<_, _>, _> = serde_json::from_slice(&bytes);
    let wanted = object.and_then(|object| Wanted::deserialize(serde_json::Value::Object(object)));
    let wanted = wanted.map_err(|_| {
        count("audit", "malformed");
        let message = "the body is no JSON object with users and concurrency";
        not_done(StatusCode::BAD_REQUEST, "malformed", message)
    })?;
    if wanted.users.len() > state.limits.names {
        Limit::HttpNames.reached();
        let message = "these are too many users for one request";
        return Err(not_done(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_many_names",
            message,
        ));
    }
    Ok(wanted)
}
