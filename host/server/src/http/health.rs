//! `/healthz`, `/readyz`, `/metrics`: what an operator's tools ask.
//!
//! Owns what is told to whom: numbers to everybody, names of virtual hosts to
//! who shows a token. Where somebody answers here, all listeners are bound and
//! every virtual host has a plugin: the server starts in that order.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use muster_plugin::BreakerState;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::{HttpState, answer};
use crate::hosts::VirtualHost;

/// The description of these routes.
#[derive(OpenApi)]
#[openapi(paths(healthz, readyz, metrics))]
pub(super) struct Api;

/// Whether the process is alive.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`: a process that is not well does not answer.
    #[schema(example = "ok")]
    status: &'static str,
    version: &'static str,
    /// Since the server started.
    uptime_seconds: u64,
}

/// Whether clients and refreshes are welcome.
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready`; `degraded`, which is ready all the same; `draining`, which is not.
    #[schema(pattern = "^(ready|degraded|draining)$", example = "ready")]
    status: &'static str,
    listeners: Listening,
    /// Virtual hosts, each with a plugin that serves.
    plugins: usize,
    /// Without it there are no offline messages and no last known rosters.
    store_in_service: bool,
    /// Circuit breakers that are not closed: an app, or a plugin, fails.
    breakers_open: usize,
    /// Users who see something else than the app's answer until it answers.
    rosters_owed: usize,
    /// Guards that hold removals.
    guards_holding: usize,
    /// Only for who shows a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    virtual_hosts: Option<Vec<HostReadiness>>,
}

/// Addresses that are listened on, by what is served there.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Listening {
    pub(crate) xmpp: usize,
    pub(crate) xmpp_tls: usize,
    pub(crate) http: usize,
    pub(crate) https: usize,
    pub(crate) web: usize,
    pub(crate) web_tls: usize,
}

/// One virtual host.
#[derive(Serialize, ToSchema)]
struct HostReadiness {
    virtual_host: String,
    /// The generation of the plugin that serves.
    generation: u64,
    /// Its circuit breakers that are not closed, and those of its app.
    breakers_open: Vec<String>,
    rosters_owed: usize,
}

/// Whether the process is alive and its executor turns
///
/// As text, or as JSON with `?verbose` or `Accept: application/json`.
#[utoipa::path(get, path = "/healthz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "Whatever its value: JSON", example = "")),
    responses((status = 200, description = "It is",
        content((String = "text/plain"), (Health = "application/json")))))]
pub(crate) async fn healthz(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    if !is_verbose(&request.into_parts().0) {
        return "ok\n".into_response();
    }
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: state.services.started.elapsed().as_secs(),
    })
    .into_response()
}

/// Whether new clients and refreshes are welcome
///
/// No while the server drains. An app that fails, a plugin that is left alone,
/// removals that are held or a store that is out of service does not change that, since logins and
/// whatever rosters are known go on; it is told as `degraded`.
#[utoipa::path(get, path = "/readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "Whatever its value: JSON", example = "")),
    responses(
        (status = 200, description = "They are",
            content((String = "text/plain"), (Readiness = "application/json"))),
        (status = 503, description = "The server drains",
            content((String = "text/plain"), (Readiness = "application/json")))))]
pub(crate) async fn readyz(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let head = request.into_parts().0;
    let readiness = Readiness::of(&state, &head.headers);
    let status = match readiness.status {
        "draining" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    match is_verbose(&head) {
        true => (status, Json(readiness)).into_response(),
        false => (status, readiness.in_words()).into_response(),
    }
}

impl Readiness {
    fn of(state: &HttpState, headers: &HeaderMap) -> Readiness {
        let mut hosts: Vec<_> = state.hosts.iter().map(|it| of_host(state, it)).collect();
        hosts.sort_by(|one, other| one.virtual_host.cmp(&other.virtual_host));
        let store_in_service = state.services.store.is_in_service();
        let breakers_open = hosts.iter().map(|host| host.breakers_open.len()).sum();
        let guards_holding = state.rosters.holding_guards();
        let rosters_owed = hosts.iter().map(|host| host.rosters_owed).sum();
        Readiness {
            status: match (state.draining.is_cancelled(), store_in_service) {
                (true, _) => "draining",
                (false, true) if breakers_open + rosters_owed + guards_holding == 0 => "ready",
                (false, _) => "degraded",
            },
            listeners: state.listening,
            plugins: hosts.len(),
            store_in_service,
            breakers_open,
            rosters_owed,
            guards_holding,
            virtual_hosts: state.tokens.admit(headers).then_some(hosts),
        }
    }

    fn in_words(&self) -> String {
        let concerns = [
            (self.breakers_open > 0)
                .then(|| format!("circuit breakers open: {}", self.breakers_open)),
            (self.guards_holding > 0)
                .then(|| format!("guards that hold removals: {}", self.guards_holding)),
            (self.rosters_owed > 0)
                .then(|| format!("users without the app's answer: {}", self.rosters_owed)),
            (!self.store_in_service).then(|| "the store is out of service".to_owned()),
        ];
        match self.status {
            "degraded" => {
                let concerns: Vec<_> = concerns.into_iter().flatten().collect();
                format!("ready, degraded: {}\n", concerns.join("; "))
            }
            status => format!("{status}\n"),
        }
    }
}

fn of_host(state: &HttpState, host: &VirtualHost) -> HostReadiness {
    let breakers = host.plugin.breakers().into_iter();
    let open = breakers.filter(|it| it.state != BreakerState::Closed);
    HostReadiness {
        virtual_host: host.domain.to_string(),
        generation: host.plugin.status().generation,
        breakers_open: open.map(|it| it.name).collect(),
        rosters_owed: state.rosters.owed(&host.domain),
    }
}

/// Whether more than a line is wanted.
fn is_verbose(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    let mut names = query.split('&').map(|pair| pair.split('=').next());
    names.any(|name| name == Some("verbose")) || answer::accepts(&head.headers, "application/json")
}

/// What is counted
///
/// In the Prometheus text format; docs/metrics.md explains each metric.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain")),
    security(("token" = [])))]
pub(crate) async fn metrics(State(state): State<Arc<HttpState>>, headers: HeaderMap) -> Response {
    if !state.tokens.admit(&headers) {
        return answer::unauthorized();
    }
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        state.metrics.render(&state.hosts),
    )
        .into_response()
}
