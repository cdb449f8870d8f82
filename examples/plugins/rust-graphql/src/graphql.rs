//! The app's GraphQL: two queries, and what their answers look like.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::bindings::muster::roster::types::FetchError;
use crate::bindings::wasi::http::types::Method;
use crate::{http, setting};

const FRIENDS: &str = "query Friends($handle: String!, $after: String) { person(handle: $handle) { \
    friends(first: 100, after: $after) { edges { state circles { title } node { handle displayName } } \
    pageInfo { hasNextPage endCursor } } } }";

const HANDLES: &str = "query Handles($ids: [ID!]!) { people(ids: $ids) { handle } }";

/// A page of somebody's friends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    pub edges: Vec<Edge>,
    pub page_info: PageInfo,
}

#[derive(Deserialize)]
pub struct Edge {
    pub state: String,
    #[serde(default)]
    pub circles: Vec<Circle>,
    pub node: Node,
}

#[derive(Deserialize)]
pub struct Circle {
    pub title: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub handle: Option<String>,
    pub display_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    pub has_next_page: bool,
    pub end_cursor: Option<String>,
}

#[derive(Deserialize)]
struct FriendsOf {
    person: Option<Person>,
}

#[derive(Deserialize)]
struct Person {
    friends: Connection,
}

#[derive(Deserialize)]
struct People {
    people: Vec<Option<Handle>>,
}

#[derive(Deserialize)]
struct Handle {
    handle: Option<String>,
}

/// An answer of GraphQL: HTTP says 200 to errors as well.
#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

/// The page of `handle`'s friends that follows a cursor.
pub async fn page(handle: &str, after: Option<&str>) -> Result<Connection, FetchError> {
    let found: FriendsOf = ask(FRIENDS, json!({ "handle": handle, "after": after })).await?;
    found.person.map(|it| it.friends).ok_or(FetchError::NotFound)
}

/// The usernames of those people who have one.
pub async fn handles(ids: &[String]) -> Result<Vec<String>, FetchError> {
    let found: People = ask(HANDLES, json!({ "ids": ids })).await?;
    let known = found.people.into_iter().flatten();
    Ok(known.filter_map(|person| person.handle).collect())
}

async fn ask<T: DeserializeOwned>(
    query: &str,
    variables: serde_json::Value,
) -> Result<T, FetchError> {
    let url = setting("graphql_url").ok_or(FetchError::Denied)?;
    let body = json!({ "query": query, "variables": variables }).to_string();
    let headers = [("content-type", "application/json")];
    let answer = http::send(Method::Post, &url, &headers, body.into_bytes()).await?;
    if answer.status != 200 {
        return Err(FetchError::Status(answer.status));
    }
    let envelope: Envelope<T> = serde_json::from_slice(&answer.body).map_err(http::malformed)?;
    match envelope.data {
        Some(data) if envelope.errors.is_empty() => Ok(data),
        // Half an answer must not become a roster.
        _ => Err(FetchError::Malformed("the app answered with errors of GraphQL".to_owned())),
    }
}
