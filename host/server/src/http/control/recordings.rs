//! `/admin/plugins/<vhost>/recording`: what the plugin did last.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use muster_kit::record::Eyes;
use serde::Deserialize;
use utoipa::OpenApi;

use super::super::HttpState;
use super::report::NotDone;
use super::{count, find, not_done};

/// What of it, and for whom.
#[derive(Debug, Deserialize)]
struct Wanted {
    /// With the names as they are.
    raw: Option<String>,
    /// Keys whose values are no names, with commas between them.
    keep: Option<String>,
}

/// The routes for the document.
#[derive(OpenApi)]
#[openapi(paths(recording))]
pub(in crate::http) struct Api;

pub(super) fn routes() -> Router<Arc<HttpState>> {
    Router::new().route("/plugins/{vhost}/recording", get(recording))
}

/// What the plugin did last, with pseudonyms
#[utoipa::path(get, path = "/admin/plugins/{vhost}/recording", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test"),
        ("raw" = Option<String>, Query, description = "With the names as they are"),
        ("keep" = Option<String>, Query, description = "Keys whose values are no names, with commas between them")),
    responses(
        (status = 200, description = "The recording, as docs/admin-api.md explains it", body = serde_json::Value),
        (status = 400, description = "A query that is not as agreed"),
        (status = 404, description = "There is no such virtual host", body = NotDone),
        (status = 409, description = "Nothing is recorded", body = NotDone),
        (status = 500, description = "The recording broke off", body = NotDone)),
    security(("token" = [])))]
async fn recording(
    State(state): State<Arc<HttpState>>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let host = match find(&state, &name) {
        Ok(host) => host,
        Err(unknown) => return unknown,
    };
    let eyes = match wanted.raw {
        Some(_) => Eyes::Operator,
        None => {
            let keep = wanted.keep.unwrap_or_default();
            let keep = keep.split(',').filter(|key| !key.is_empty());
            Eyes::Anybody {
                keep: keep.map(str::to_owned).collect(),
            }
        }
    };
    if eyes == Eyes::Operator {
        tracing::warn!(vhost = %host.domain, "a recording with the names of contacts was handed out");
    }
    // Replacing the names in megabytes takes a while.
    let told = tokio::task::spawn_blocking(move || host.recordings.recording(&eyes)).await;
    match told {
        Ok(Some(recording)) => {
            count("recording", "ok");
            Json(recording).into_response()
        }
        Ok(None) => {
            count("recording", "off");
            let message = "nothing is recorded: virtual_host.plugin.record is 0";
            not_done(StatusCode::CONFLICT, "not_recording", message)
        }
        Err(_) => {
            count("recording", "broken_off");
            let message = "the recording could not be written";
            not_done(StatusCode::INTERNAL_SERVER_ERROR, "broken_off", message)
        }
    }
}
