//! The app's HTTP routes.
//!
//! `GET /contacts/{user}` and `POST /auth` are asked by Muster. `POST /befriend`, `/unfriend` and
//! `/rename` are the app's own business: each changes the lists, tells Muster, and answers with
//! Muster's summary. `GET /` is a page for people.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::muster::Muster;
use crate::store::{Change, Store};

const PAGE: &str = include_str!("page.html");
const JSON: &str = "application/json";

#[derive(Clone)]
struct Shared {
    store: Store,
    muster: Muster,
}

pub(crate) fn router(store: Store, muster: Muster) -> Router {
    Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/users", get(users))
        .route("/contacts/{user}", get(contacts))
        .route("/auth", post(auth))
        .route("/befriend", post(befriend))
        .route("/unfriend", post(unfriend))
        .route("/rename", post(rename))
        .with_state(Shared { store, muster })
}

async fn users(State(app): State<Shared>) -> Result<Response, Failure> {
    let users = app.store.users()?;
    let users = users
        .iter()
        .map(|(username, name)| json!({ "username": username, "name": name }));
    Ok(Json(users.collect::<Vec<_>>()).into_response())
}

/// A list that Muster has already (the same ETag) is not sent again.
async fn contacts(
    State(app): State<Shared>,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let list = app
        .store
        .contacts(&user)?
        .ok_or(Failure::Unknown)?
        .to_string();
    let etag = etag(&list);
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let headers = [(ETAG, etag), (CONTENT_TYPE, JSON.to_owned())];
    Ok((headers, list).into_response())
}

fn etag(list: &str) -> String {
    let digest = Sha256::digest(list);
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

async fn auth(State(app): State<Shared>, Json(login): Json<Login>) -> Result<StatusCode, Failure> {
    let accepted = app.store.authenticate(&login.username, &login.password)?;
    Ok(if accepted {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    })
}

#[derive(Deserialize)]
struct Befriend {
    user: String,
    contact: String,
    group: Option<String>,
}

async fn befriend(
    State(app): State<Shared>,
    Json(wish): Json<Befriend>,
) -> Result<Response, Failure> {
    if wish.user == wish.contact {
        return Err(Failure::Oneself);
    }
    let group = wish.group.as_deref().filter(|group| !group.is_empty());
    let change = app.store.befriend(&wish.user, &wish.contact, group)?;
    announce(&app.muster, change, &[&wish.user, &wish.contact]).await
}

#[derive(Deserialize)]
struct Unfriend {
    user: String,
    contact: String,
}

async fn unfriend(
    State(app): State<Shared>,
    Json(wish): Json<Unfriend>,
) -> Result<Response, Failure> {
    let change = app.store.unfriend(&wish.user, &wish.contact)?;
    announce(&app.muster, change, &[&wish.user, &wish.contact]).await
}

#[derive(Deserialize)]
struct Rename {
    user: String,
    contact: String,
    name: String,
}

async fn rename(State(app): State<Shared>, Json(wish): Json<Rename>) -> Result<Response, Failure> {
    let change = app.store.rename(&wish.user, &wish.contact, &wish.name)?;
    announce(&app.muster, change, &[&wish.user]).await
}

/// Tells Muster whose lists have changed, after the change is in the database.
async fn announce(muster: &Muster, change: Change, users: &[&str]) -> Result<Response, Failure> {
    if change == Change::Unknown {
        return Err(Failure::Unknown);
    }
    let summary = muster.refresh(users).await.map_err(|error| {
        tracing::warn!(%error, "the lists have changed, and Muster was not told");
        Failure::Muster(error.to_string())
    })?;
    Ok(json_bytes(summary))
}

fn json_bytes(body: Bytes) -> Response {
    ([(CONTENT_TYPE, JSON)], body).into_response()
}

/// Why a request fails. Reach: the request.
enum Failure {
    Unknown,
    Oneself,
    Muster(String),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "no such user or contact".to_owned()),
            Self::Oneself => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "a user and another one, please".to_owned(),
            ),
            Self::Muster(message) => (StatusCode::BAD_GATEWAY, message),
            Self::Database(error) => {
                tracing::error!(%error, "a query failed");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the database failed".to_owned(),
                )
            }
        };
        (
            status,
            Json(json!({ "status": "error", "message": message })),
        )
            .into_response()
    }
}
