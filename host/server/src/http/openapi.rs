//! The OpenAPI document: every route of the HTTP side, in the words of whoever
//! serves it.
//!
//! Owns what holds for many routes: the token, and the answers that come before
//! a route is looked at. The document tells what this Muster can do and nothing
//! of this site, so that it needs no token; listeners for web clients alone do
//! not serve it.

use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, ResponseBuilder};

use super::{admin, control, health, web};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "What an app and an operator ask of Muster, and where web clients connect. docs/protocol.md and docs/admin-api.md explain it in prose.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(serve),
    tags(
        (name = "app", description = "What the app asks for"),
        (name = "operator", description = "What the operator asks for"),
        (name = "health", description = "What tools ask"),
        (name = "web clients", description = "Where web clients connect; can be switched off, or be on listeners of their own"),
    )
)]
struct Root;

/// The document.
pub(crate) fn document() -> Document {
    let mut document = Root::openapi();
    for part in [
        admin::Api::openapi(),
        control::Api::openapi(),
        control::guards::Api::openapi(),
        control::audit::Api::openapi(),
        control::recordings::Api::openapi(),
        control::shadows::Api::openapi(),
        health::Api::openapi(),
        web::Api::openapi(),
    ] {
        document.merge(part);
    }
    let components = document.components.get_or_insert_default();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme("token", bearer);
    for (path, item) in &mut document.paths.paths {
        let refusals = refusals(path);
        for operation in operations(item) {
            let guarded = operation.security.is_some();
            let refusals = refusals
                .iter()
                .filter(|(status, _)| guarded || *status != "401");
            for (status, reason) in refusals {
                refuse(operation, status, reason);
            }
        }
    }
    document
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
pub(super) async fn serve() -> Json<Document> {
    Json(document())
}

/// What a path may be answered whatever it does, beside what it says itself.
fn refusals(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut refusals = vec![("401", "No token, or a wrong one")];
    if path.starts_with("/roster_admin/") {
        refusals.push((
            "421",
            "Several virtual hosts, and `Host` names none of them",
        ));
    }
    if path.starts_with("/roster_admin/refresh") || path.starts_with("/roster_admin/rosters") {
        refusals.extend([
            (
                "400",
                "A body, a path, a query or a header that is not as agreed",
            ),
            ("404", "The path names no user, or no one user"),
            ("408", "The body took too long"),
            (
                "413",
                "The body, or the number of users or contacts, is too large",
            ),
            ("415", "The body is not JSON in UTF-8"),
            (
                "422",
                "The path is no username, or the Idempotency-Key was used for another request",
            ),
            ("429", "Too much is under way; nothing was done"),
            ("502", "The plugin failed"),
            (
                "503",
                "The server stops, or the plugin is left alone for a moment",
            ),
            ("504", "It took too long"),
        ]);
    }
    if path.starts_with("/roster_admin/jobs/") {
        refusals.push(("429", "Too many connections follow jobs"));
    }
    refusals
}

fn refuse(operation: &mut Operation, status: &str, reason: &str) {
    let summary = Ref::from_schema_name("Summary");
    let content = ContentBuilder::new().schema(Some(summary)).build();
    let response = ResponseBuilder::new()
        .description(reason)
        .content("application/json", content);
    let responses = &mut operation.responses.responses;
    let entry = responses.entry(status.to_owned());
    entry.or_insert_with(|| response.build().into());
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        options,
        ..
    } = item;
    [get, put, post, delete, options].into_iter().flatten()
}
