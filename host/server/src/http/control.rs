//! `/admin/…`: what the operator asks of plugins and apps, and tells them to
//! do. Behind the same token as `/roster_admin/`; `docs/admin-api.md` has the
//! routes.
//!
//! Owns the routes and their status codes; what they do is `muster-plugin`'s,
//! [`crate::plugin_file`]'s and [`crate::rosters`]'. Those about the guard
//! against mass removal are in [`guards`]. Nothing under `/admin` is said or
//! done without the token, and bodies are read in [`audit`] and [`shadows`] alone.

pub(crate) mod audit;
pub(crate) mod guard_report;
pub(super) mod guards;
pub(super) mod recordings;
pub(crate) mod report;
pub(crate) mod shadows;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use muster_plugin::{LoadError, RollbackError, Swapped};
use muster_xmpp::DomainPart;
use utoipa::OpenApi;

use self::report::{Backend, Backends, Done, NotDone, Plugin, Plugins, Reset};
use super::{HttpState, answer};
use crate::hosts::VirtualHost;
use crate::plugin_file::ReloadFault;

/// The description of these routes.
#[derive(OpenApi)]
#[openapi(paths(plugins, plugin, reload, roll_back, backends, backend, reset))]
pub(super) struct Api;

/// The routes below `/admin`.
pub(crate) fn routes(state: Arc<HttpState>) -> Router {
    Router::new()
        .route("/plugins", get(plugins))
        .route("/plugins/{vhost}", get(plugin))
        .route("/plugins/{vhost}/reload", post(reload))
        .route("/plugins/{vhost}/rollback", post(roll_back))
        .route("/backends", get(backends))
        .route("/backends/{vhost}", get(backend))
        .route("/backends/{vhost}/reset", post(reset))
        .merge(guards::routes())
        .route("/audit/{vhost}", post(audit::audit))
        .merge(recordings::routes())
        .merge(shadows::routes())
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        // Around the fallbacks too: without the token every path is the same.
        .layer(from_fn_with_state(Arc::clone(&state), authorize))
        .with_state(state)
}

async fn authorize(State(state): State<Arc<HttpState>>, request: Request, next: Next) -> Response {
    if !state.tokens.admit(request.headers()) {
        count("any", "unauthorized");
        return answer::unauthorized();
    }
    next.run(request).await
}

/// All plugins, in the order of the domains
#[utoipa::path(get, path = "/admin/plugins", tag = "operator",
    responses((status = 200, description = "The plugins", body = Plugins)),
    security(("token" = [])))]
async fn plugins(State(state): State<Arc<HttpState>>) -> Json<Plugins> {
    let plugins = sorted(&state).into_iter().map(|host| of_plugin(&host));
    count("plugins", "ok");
    Json(Plugins {
        plugins: plugins.collect(),
    })
}

/// One plugin
#[utoipa::path(get, path = "/admin/plugins/{vhost}", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses((status = 200, description = "The plugin", body = Plugin), (status = 404, description = "There is no such virtual host", body = NotDone)),
    security(("token" = [])))]
async fn plugin(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    match find(&state, &name) {
        Ok(host) => {
            count("plugins", "ok");
            Json(of_plugin(&host)).into_response()
        }
        Err(unknown) => unknown,
    }
}

/// Takes the plugin from its file, and its settings from the configuration, as they are now
///
/// Goes on when the caller does not wait for it.
#[utoipa::path(post, path = "/admin/plugins/{vhost}/reload", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses(
        (status = 200, description = "The file's build serves", body = Done),
        (status = 404, description = "There is no such virtual host", body = NotDone),
        (status = 409, description = "Another reload is under way", body = NotDone),
        (status = 422, description = "The build or its settings were refused; the one before serves", body = NotDone),
        (status = 500, description = "The reload broke off", body = NotDone),
        (status = 503, description = "The server stops", body = NotDone)),
    security(("token" = [])))]
async fn reload(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    let host = match find(&state, &name) {
        Ok(host) => host,
        Err(unknown) => return unknown,
    };
    let Ok(turn) = Arc::clone(&host.reload_turn).try_lock_owned() else {
        count("reload", "busy");
        let message = "another reload of this plugin is under way";
        let mut busy = not_done(StatusCode::CONFLICT, "busy", message);
        let seconds = HeaderValue::from_static("1");
        busy.headers_mut().insert(header::RETRY_AFTER, seconds);
        return busy;
    };
    let reloading = state.tasks.spawn(async move {
        let result = host.plugin_file.reload().await;
        drop(turn);
        reloaded(&host, result)
    });
    reloading.await.unwrap_or_else(|_| {
        let message = "the reload was broken off; the log says why";
        not_done(StatusCode::INTERNAL_SERVER_ERROR, "broken_off", message)
    })
}

fn reloaded(host: &VirtualHost, result: Result<Swapped, ReloadFault>) -> Response {
    match result {
        Ok(Swapped { replaced: None, .. }) => {
            count("reload", "unchanged");
            done(
                host,
                "unchanged",
                "these bytes serve already, with these settings",
            )
        }
        Ok(Swapped {
            digest, replaced, ..
        }) => {
            count("reload", "swapped");
            let message = match replaced == Some(digest) {
                true => "the same bytes serve with other settings",
                false => "the new build serves",
            };
            done(host, "swapped", message)
        }
        Err(ReloadFault::Settings(fault)) => {
            count("reload", "settings");
            let not_done = NotDone {
                status: "error".to_owned(),
                reason: "settings".to_owned(),
                message: fault.to_string(),
                remedy: Some("correct the configuration; nothing was taken".to_owned()),
                virtual_hosts: Vec::new(),
            };
            (StatusCode::UNPROCESSABLE_ENTITY, Json(not_done)).into_response()
        }
        Err(ReloadFault::Refused(LoadError::Stopped)) => {
            count("reload", "stopped");
            stopped()
        }
        Err(ReloadFault::Refused(error)) => {
            count("reload", "refused");
            // The words of the log and of the status, causes included.
            let refusal = host.plugin.status().last_refusal;
            let message = refusal.map_or_else(|| error.to_string(), |refusal| refusal.message);
            let not_done = NotDone {
                status: "error".to_owned(),
                reason: error.label().to_owned(),
                message,
                remedy: Some(error.remedy().to_owned()),
                virtual_hosts: Vec::new(),
            };
            (StatusCode::UNPROCESSABLE_ENTITY, Json(not_done)).into_response()
        }
    }
}

/// Goes back to the build before
#[utoipa::path(post, path = "/admin/plugins/{vhost}/rollback", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses(
        (status = 200, description = "The build before serves", body = Done),
        (status = 404, description = "There is no such virtual host", body = NotDone),
        (status = 409, description = "There is no build before", body = NotDone),
        (status = 503, description = "The server stops", body = NotDone)),
    security(("token" = [])))]
async fn roll_back(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    let host = match find(&state, &name) {
        Ok(host) => host,
        Err(unknown) => return unknown,
    };
    match host.plugin.rollback().await {
        Ok(_) => {
            count("rollback", "rolled_back");
            done(&host, "rolled_back", "the build before serves again")
        }
        Err(error @ RollbackError::NoPrevious) => {
            count("rollback", "no_previous");
            not_done(StatusCode::CONFLICT, "no_previous", &error.to_string())
        }
        Err(RollbackError::Stopped) => {
            count("rollback", "stopped");
            stopped()
        }
    }
}

/// The circuit breakers of all apps
#[utoipa::path(get, path = "/admin/backends", tag = "operator",
    responses((status = 200, description = "The breakers", body = Backends)),
    security(("token" = [])))]
async fn backends(State(state): State<Arc<HttpState>>) -> Json<Backends> {
    let backends = sorted(&state).into_iter().map(|host| of_backend(&host));
    count("backends", "ok");
    Json(Backends {
        backends: backends.collect(),
    })
}

/// The circuit breakers of one app
#[utoipa::path(get, path = "/admin/backends/{vhost}", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses((status = 200, description = "The breakers", body = Backend), (status = 404, description = "There is no such virtual host", body = NotDone)),
    security(("token" = [])))]
async fn backend(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    match find(&state, &name) {
        Ok(host) => {
            count("backends", "ok");
            Json(of_backend(&host)).into_response()
        }
        Err(unknown) => unknown,
    }
}

/// Closes them: the app is back
#[utoipa::path(post, path = "/admin/backends/{vhost}/reset", tag = "operator",
    params(("vhost" = String, Path, description = "The domain of a virtual host", example = "example.test")),
    responses((status = 200, description = "They are closed", body = Reset), (status = 404, description = "There is no such virtual host", body = NotDone)),
    security(("token" = [])))]
async fn reset(State(state): State<Arc<HttpState>>, Path(name): Path<String>) -> Response {
    let host = match find(&state, &name) {
        Ok(host) => host,
        Err(unknown) => return unknown,
    };
    let closed = host.plugin.app_is_back();
    count("reset", "ok");
    tracing::info!(vhost = %host.domain, closed, "the operator says that the app is back");
    Json(Reset {
        status: "ok".to_owned(),
        message: format!("circuit breakers closed: {closed}"),
        closed,
        backend: of_backend(&host),
    })
    .into_response()
}

/// In the order of their names.
fn sorted(state: &HttpState) -> Vec<Arc<VirtualHost>> {
    let mut hosts: Vec<_> = state.hosts.iter().cloned().collect();
    hosts.sort_by(|one, other| one.domain.as_str().cmp(other.domain.as_str()));
    hosts
}

/// # Errors
/// The answer that tells which there are.
#[expect(clippy::result_large_err, reason = "it is the answer, made once")]
fn find(state: &HttpState, name: &str) -> Result<Arc<VirtualHost>, Response> {
    let domain = DomainPart::new(name).ok();
    let host = domain.and_then(|domain| state.hosts.at(&domain).cloned());
    host.ok_or_else(|| {
        count("any", "unknown");
        let hosts = sorted(state);
        let names = hosts.iter().map(|host| host.domain.to_string());
        let not_done = NotDone {
            status: "error".to_owned(),
            reason: "unknown_virtual_host".to_owned(),
            message: "there is no such virtual host".to_owned(),
            remedy: None,
            virtual_hosts: names.collect(),
        };
        (StatusCode::NOT_FOUND, Json(not_done)).into_response()
    })
}

fn of_plugin(host: &VirtualHost) -> Plugin {
    host.plugin.status().into()
}

fn of_backend(host: &VirtualHost) -> Backend {
    let breakers = host.plugin.breakers().into_iter();
    let breakers = breakers.filter(muster_plugin::BreakerStatus::is_backend);
    Backend {
        virtual_host: host.domain.to_string(),
        breakers: breakers.map(Into::into).collect(),
    }
}

fn done(host: &VirtualHost, outcome: &str, message: &str) -> Response {
    Json(Done {
        status: "ok".to_owned(),
        outcome: outcome.to_owned(),
        message: message.to_owned(),
        plugin: of_plugin(host),
    })
    .into_response()
}

fn stopped() -> Response {
    let message = "the server is shutting down";
    not_done(StatusCode::SERVICE_UNAVAILABLE, "stopped", message)
}

fn not_done(status: StatusCode, reason: &str, message: &str) -> Response {
    let not_done = NotDone {
        status: "error".to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        remedy: None,
        virtual_hosts: Vec::new(),
    };
    (status, Json(not_done)).into_response()
}

fn count(operation: &'static str, outcome: &'static str) {
    let name = "muster_control_requests_total";
    metrics::counter!(name, "operation" => operation, "outcome" => outcome).increment(1);
}
