//! What is below `/roster_admin/`, for the OpenAPI document. To axum it is one
//! route; the rooms beside this one, and the plugin, tell the paths apart.
//!
//! Owns words only: each function stands for a request and is never called.
//! The shapes of answers are those of the types that write them.

#![expect(dead_code, reason = "descriptions")]

use utoipa::{OpenApi, ToSchema};

use super::explain::User;
use super::jobs::Document;

/// The description of these routes.
#[derive(OpenApi)]
#[openapi(
    paths(refresh, refresh_one, ping, hand_in, hand_in_one, job, cancel_job),
    components(schemas(Summary, Flag, IdempotencyKey))
)]
pub(in crate::http) struct Api;

/// What came of a request; also the shape of every refusal.
#[derive(ToSchema)]
#[schema(example = json!({"status": "ok", "message": "roster update complete", "updated": 2, "errors": 0}))]
struct Summary {
    /// `error` if nothing was done, or every entry failed.
    #[schema(pattern = "^(ok|error)$")]
    status: &'static str,
    /// For people.
    message: &'static str,
    /// Entries that are as the app says, or whose user is not online.
    updated: u64,
    /// Entries that failed.
    errors: u64,
    /// In the answer to a dry run.
    #[schema(nullable = false)]
    dry_run: Option<bool>,
    /// With `?details`, `?dry_run` or `Prefer: return=representation`.
    #[schema(nullable = false)]
    users: Option<Vec<User<'static>>>,
    /// Entries that are not among `users`: there were more than `limits.http.names`.
    #[schema(nullable = false)]
    unlisted: Option<u64>,
}

/// What the query may ask for beside the work.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wished {
    /// Tell the outcome of each user
    #[param(nullable = false)]
    details: Option<Flag>,
    /// Change nothing, and tell what would change
    #[param(nullable = false)]
    dry_run: Option<Flag>,
}

/// What the header may ask for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
struct Preferred {
    /// `return=representation`, `respond-async`, `wait=SECONDS` (RFC 7240)
    #[param(rename = "Prefer", nullable = false, example = "return=representation")]
    prefer: Option<String>,
    /// Makes a retry safe
    #[param(rename = "Idempotency-Key", nullable = false)]
    idempotency_key: Option<IdempotencyKey>,
}

/// Contacts of one user by JID; what an entry may have is in docs/protocol.md.
#[derive(ToSchema)]
#[schema(value_type = Object, example = json!({"marie@example.test": {"name": "Marie", "groups": ["Friends"], "subscription": "both"}}))]
struct Roster(serde_json::Value);

/// Contacts of several users, by username.
#[derive(ToSchema)]
#[schema(value_type = HashMap<String, Object>, example = json!({"john": {"marie@example.test": {}}, "marie": {}}))]
struct Rosters(serde_json::Value);

/// Fetches the contacts of users anew, and pushes what changed
///
/// Answered by the plugin; this is what the built-in one does.
#[utoipa::path(post, path = "/roster_admin/refresh", tag = "app",
    params(Wished, Preferred),
    request_body(content = Vec<String>, description = "Usernames: what is before the `@`", example = json!(["john", "marie"])),
    responses(
        (status = 200, description = "The entries were worked through", body = Summary),
        (status = 202, description = "The work goes on as a job", body = Document, headers(("Location" = String)))),
    security(("token" = [])))]
fn refresh() {}

/// The same for one user, without a body
#[utoipa::path(post, path = "/roster_admin/refresh/{username}", tag = "app",
    params(("username" = String, Path, description = "What is before the `@`", example = "john"), Wished, Preferred),
    responses(
        (status = 200, description = "The user was worked through", body = Summary),
        (status = 202, description = "The work goes on as a job", body = Document, headers(("Location" = String)))),
    security(("token" = [])))]
fn refresh_one() {}

/// The app says that it is back
#[utoipa::path(post, path = "/roster_admin/ping", tag = "app",
    responses((status = 200, description = "It is asked again at once", body = Summary)),
    security(("token" = [])))]
fn ping() {}

/// The app sends the contacts of several users
#[utoipa::path(put, path = "/roster_admin/rosters", tag = "app",
    params(Wished, Preferred),
    request_body(content = Rosters),
    responses(
        (status = 200, description = "They are known", body = Summary),
        (status = 202, description = "The work goes on as a job", body = Document, headers(("Location" = String)))),
    security(("token" = [])))]
fn hand_in() {}

/// The app sends the contacts of one user
#[utoipa::path(put, path = "/roster_admin/rosters/{username}", tag = "app",
    params(("username" = String, Path, description = "What is before the `@`", example = "john"), Wished, Preferred),
    request_body(content = Roster),
    responses(
        (status = 200, description = "They are known", body = Summary),
        (status = 202, description = "The work goes on as a job", body = Document, headers(("Location" = String)))),
    security(("token" = [])))]
fn hand_in_one() {}

/// How a job stands
///
/// With `Accept: text/event-stream` as server-sent events, `progress` and `end`,
/// each with the same JSON.
#[utoipa::path(get, path = "/roster_admin/jobs/{id}", tag = "app",
    params(("id" = String, Path, description = "The end of the `Location` of a 202", example = "1f0c2a9b-5d0f6f7b1f6e4c0d9a3b7c1e2f405162")),
    responses(
        (status = 200, description = "How it stands", content((Document = "application/json"), (String = "text/event-stream"))),
        (status = 404, description = "There is no such job", body = Summary),
        (status = 410, description = "It belongs to an earlier run of the server", body = Summary)),
    security(("token" = [])))]
fn job() {}

/// Cancels a job that is not finished, and forgets one that is
#[utoipa::path(delete, path = "/roster_admin/jobs/{id}", tag = "app",
    params(("id" = String, Path, description = "The end of the `Location` of a 202", example = "1f0c2a9b-5d0f6f7b1f6e4c0d9a3b7c1e2f405162")),
    responses(
        (status = 200, description = "It was cancelled", body = Document),
        (status = 204, description = "It was finished, and is forgotten"),
        (status = 404, description = "There is no such job", body = Summary),
        (status = 410, description = "It belongs to an earlier run of the server", body = Summary)),
    security(("token" = [])))]
fn cancel_job() {}

/// Yes or no; nothing is yes.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(true|false|1|0)?$", example = "true")]
struct Flag(String);

/// A string in quotation marks, or visible ASCII without them and without `,`
/// and `\`, of at most 255 bytes.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[!#-+\\--\\[\\]-~]{1,255}$", example = "8e03978e-40d5-43dd-bc93-6894a57f9324")]
struct IdempotencyKey(String);
