//! `/admin/guards/…`: what the guard against mass removal holds, and that it
//! lets go.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_xmpp::DomainRef;
use utoipa::OpenApi;

use super::guard_report::{Guard, Guards, Released};
use super::report::NotDone;
use super::{HttpState, count, find, sorted};

/// The description of these routes.
#[derive(OpenApi)]
#[openapi(paths(guards, guard, release, arm))]
pub(in crate::http) struct Api;

/// The routes below `/admin`.
pub(super) fn routes() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/guards", get(guards))
        .route("/guards/{vhost}", get(guard))
        .route("/guards/{vhost}/release", post(release))
        .route("/guards/{vhost}/arm", post(arm))
}

/// What guards against mass removal hold
#[utoipa::path(get, path = "/admin/guards", tag = "operator",
    responses((status = 200, description = "The guards", body = Guards)),
    security(("token" = [])))]
async fn guards(State(state): State<Arc<HttpState>>) -> Json<Guards> {
    let hosts = sorted(&state);
    let guards = hosts
        .iter()
        .filter_map(|host| of_guard(&state, &host.domain));
    count("guards", "ok");
    Json(Guards {
        guards: guards.collect(),
    })
}

/// What one of them holds
#[utoipa::path(get, path = "/admin/guards/{vhost}", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses((status = 200, description = "The guard", body = Guard), (status = 404, description = "There is no such virtual host", body = NotDone)),
    security(("token" = [])))]
async fn guard(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    match find(&state, &name) {
        Ok(host) => {
            count("guards", "ok");
            Json(of_guard(&state, &host.domain)).into_response()
        }
        Err(unknown) => unknown,
    }
}

/// Lets go what is held: the app means it
#[utoipa::path(post, path = "/admin/guards/{vhost}/release", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses((status = 200, description = "It is let go", body = Released), (status = 404, description = "There is no such virtual host", body = NotDone)),
    security(("token" = [])))]
async fn release(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    let host = match find(&state, &name) {
        Ok(host) => host,
        Err(unknown) => return unknown,
    };
    let asked = state.rosters.release_guard(&host.domain);
    let asked = asked.unwrap_or_default();
    count("release", "ok");
    let message = format!("what the app says is honoured; users who are asked for again: {asked}");
    Json(Released {
        status: "ok".to_owned(),
        message,
        asked,
        guard: of_guard(&state, &host.domain),
    })
    .into_response()
}

/// Watches again after a release
#[utoipa::path(post, path = "/admin/guards/{vhost}/arm", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses((status = 200, description = "The guard watches", body = Released), (status = 404, description = "There is no such virtual host", body = NotDone)),
    security(("token" = [])))]
async fn arm(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    let host = match find(&state, &name) {
        Ok(host) => host,
        Err(unknown) => return unknown,
    };
    let asked = state.rosters.arm_guard(&host.domain).unwrap_or_default();
    count("arm", "ok");
    Json(Released {
        status: "ok".to_owned(),
        message: "the guard watches".to_owned(),
        asked,
        guard: of_guard(&state, &host.domain),
    })
    .into_response()
}

fn of_guard(state: &HttpState, domain: &DomainRef) -> Option<Guard> {
    let status = state.rosters.guard(domain)?;
    Some(Guard::of(domain.to_string(), status))
}
