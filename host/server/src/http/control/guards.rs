//! `/admin/guards/…`: what the guard against mass removal holds, and that it
//! lets go.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_xmpp::DomainRef;

use super::guard_report::{Guard, Guards, Released};
use super::{HttpState, count, find, sorted};

/// The routes below `/admin`.
pub(super) fn routes() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/guards", get(guards))
        .route("/guards/{vhost}", get(guard))
        .route("/guards/{vhost}/release", post(release))
        .route("/guards/{vhost}/arm", post(arm))
}

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

async fn guard(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    match find(&state, &name) {
        Ok(host) => {
            count("guards", "ok");
            Json(of_guard(&state, &host.domain)).into_response()
        }
        Err(unknown) => unknown,
    }
}

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
