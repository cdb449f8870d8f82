//! `/admin/plugins/<vhost>/shadow`: another build beside the one that serves.
//!
//! Owns the routes and their bounds. A build comes as the body of its request,
//! with its signature in the field [`SIGNATURE`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderName, StatusCode};
use muster_kit::replay::{ReplayError, Replayed};
use muster_plugin::{Candidate, CandidateSource};
use serde::{Deserialize, Serialize};
use utoipa::OpenApi;

use super::super::body::BodyFault;
use super::super::{HttpState, body};
use super::report::{NotDone, seconds};
use super::{count, find, not_done};
use crate::hosts::VirtualHost;
use crate::limit::Limit;
use crate::shadow::{ShadowError, ShadowStatus};

/// The text of the signature file.
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("muster-signature");

/// How long a shadow runs that says nothing of it.
const LASTING: u64 = 60;

/// A shadow and what it has found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shadow {
    pub(crate) virtual_host: String,
    pub(crate) sha256: String,
    /// Until it ends; 0 when it has.
    pub(crate) seconds_left: f64,
    pub(crate) report: Replayed,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    seconds: Option<u64>,
}

/// The routes for the document.
#[derive(OpenApi)]
#[openapi(paths(begin, status, end))]
pub(in crate::http) struct Api;

pub(super) fn routes() -> Router<Arc<HttpState>> {
    let shadow = get(status).post(begin).delete(end);
    Router::new().route("/plugins/{vhost}/shadow", shadow)
}

/// Runs another build beside the one that serves
#[utoipa::path(post, path = "/admin/plugins/{vhost}/shadow", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test"),
        ("seconds" = Option<u64>, Query, description = "For how long, up to limits.plugin.shadow.time", minimum = 0)),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The component"),
    responses(
        (status = 202, description = "It runs", body = serde_json::Value),
        (status = 400, description = "A query that is not as agreed, or a body that broke off"),
        (status = 408, description = "The body took too long"),
        (status = 413, description = "The component is larger than limits.plugin.component_bytes"),
        (status = 422, description = "The build was refused", body = NotDone),
        (status = 500, description = "It broke off", body = NotDone),
        (status = 404, description = "There is no such virtual host", body = NotDone),
        (status = 409, description = "A shadow runs", body = NotDone)),
    security(("token" = [])))]
async fn begin(
    State(state): State<Arc<HttpState>>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let host = match find(&state, &name) {
        Ok(host) => host,
        Err(unknown) => return unknown,
    };
    let limit = host.shadows.component_bytes();
    let time = host.shadows.upload_timeout();
    let component = match body::read(&headers, body, limit, time).await {
        Ok(component) => component,
        Err(fault) => {
            count("shadow", "not_received");
            if fault == BodyFault::TooSlow {
                Limit::PluginShadowUploadTimeout.reached();
            }
            return fault.answer("; limits.plugin.component_bytes says so");
        }
    };
    let signature = headers.get(SIGNATURE).and_then(|it| it.to_str().ok());
    let source = CandidateSource::File(PathBuf::from("shadow"));
    let candidate = Candidate::new(component, source, signature.map(str::to_owned));
    let lasting = Duration::from_secs(wanted.seconds.unwrap_or(LASTING).max(1));
    match host.shadows.begin(candidate, lasting).await {
        Ok(status) => {
            count("shadow", "begun");
            told(&host, StatusCode::ACCEPTED, status)
        }
        Err(ShadowError::Busy) => {
            count("shadow", "busy");
            let message = ShadowError::Busy.to_string();
            not_done(StatusCode::CONFLICT, "busy", &message)
        }
        Err(ShadowError::Build(ReplayError::Load(error))) => {
            count("shadow", "refused");
            let not_done = NotDone {
                status: "error".to_owned(),
                reason: error.label().to_owned(),
                message: error.to_string(),
                remedy: Some(error.remedy().to_owned()),
                virtual_hosts: Vec::new(),
            };
            (StatusCode::UNPROCESSABLE_ENTITY, Json(not_done)).into_response()
        }
        Err(error) => {
            count("shadow", "broken_off");
            let message = error.to_string();
            not_done(StatusCode::INTERNAL_SERVER_ERROR, "broken_off", &message)
        }
    }
}

/// What the other build has found so far
#[utoipa::path(get, path = "/admin/plugins/{vhost}/shadow", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses(
        (status = 200, description = "What it has found, as docs/admin-api.md explains it", body = serde_json::Value),
        (status = 404, description = "There is no such virtual host", body = NotDone),
        (status = 409, description = "No build has run beside the plugin", body = NotDone)),
    security(("token" = [])))]
async fn status(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    match find(&state, &name) {
        Ok(host) => answer(&host, host.shadows.status()),
        Err(unknown) => unknown,
    }
}

/// Ends it before its time
#[utoipa::path(delete, path = "/admin/plugins/{vhost}/shadow", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses(
        (status = 200, description = "What it has found, as docs/admin-api.md explains it", body = serde_json::Value),
        (status = 404, description = "There is no such virtual host", body = NotDone),
        (status = 409, description = "No build has run beside the plugin", body = NotDone)),
    security(("token" = [])))]
async fn end(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    match find(&state, &name) {
        Ok(host) => answer(&host, host.shadows.end()),
        Err(unknown) => unknown,
    }
}

fn answer(host: &VirtualHost, status: Option<ShadowStatus>) -> Response {
    match status {
        Some(status) => {
            count("shadow", "ok");
            told(host, StatusCode::OK, status)
        }
        None => {
            count("shadow", "none");
            let message = "no build has run beside the plugin of this host";
            not_done(StatusCode::CONFLICT, "no_shadow", message)
        }
    }
}

fn told(host: &VirtualHost, code: StatusCode, status: ShadowStatus) -> Response {
    let shadow = Shadow {
        virtual_host: host.domain.to_string(),
        sha256: status.sha256.to_string(),
        seconds_left: seconds(status.left),
        report: status.report,
    };
    (code, Json(shadow)).into_response()
}
