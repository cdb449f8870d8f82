//! Teaches Muster an app that speaks GraphQL and signs its webhook.
//!
//! - The roster is a connection that is read page by page, each a POST of the
//!   same query with the cursor of the one before.
//! - The webhook is a POST to `/roster_admin/graphql-hook` whose body is signed
//!   with HMAC-SHA256 (`X-Signature: sha256=<hex>`); it names people by the
//!   app's own ids, which the plugin asks the app to translate.
//!
//! Settings of the operator: `graphql_url`, and `hook_secret`, which the app
//! has as well. Both are in `[virtual_host.plugin.settings]`, and the origin
//! needs `methods = ["GET", "POST"]`.

mod graphql;
#[allow(dead_code, reason = "this app has no versions of lists")]
#[path = "../../rust/src/http.rs"]
mod http;
mod signature;

use serde::Deserialize;

use bindings::exports::muster::roster::roster;
use bindings::exports::wasi::http::handler;
use bindings::muster::roster::rosters;
use bindings::muster::roster::types::{Contact, ContactList, FetchError, Fetched, Subscription};
use bindings::wasi::config::store;
use bindings::wasi::http::types::{ErrorCode, Request, Response};

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

struct Plugin;

/// What the webhook says: people by the app's ids.
#[derive(Deserialize)]
struct Event {
    changed: Vec<String>,
}

impl roster::Guest for Plugin {
    /// The app has no versions of lists, so `known` is of no use.
    async fn fetch(username: String, _known: Option<String>) -> Result<Fetched, FetchError> {
        let domain = setting("domain").ok_or(FetchError::Denied)?;
        let (mut contacts, mut skipped, mut after) = (Vec::new(), 0, None);
        loop {
            let page = graphql::page(&username, after.as_deref()).await?;
            for edge in page.edges {
                // Somebody who is invited only has no account yet.
                let Some(handle) = edge.node.handle else {
                    skipped += 1;
                    continue;
                };
                contacts.push(Contact {
                    jid: format!("{handle}@{domain}"),
                    name: Some(edge.node.display_name),
                    groups: edge.circles.into_iter().map(|circle| circle.title).collect(),
                    subscription: match edge.state.as_str() {
                        "MUTUAL" => Subscription::Both,
                        "FOLLOWS" => Subscription::To,
                        "FOLLOWED" => Subscription::From,
                        _ => Subscription::None,
                    },
                });
            }
            after = match (page.page_info.has_next_page, page.page_info.end_cursor) {
                (true, Some(cursor)) => Some(cursor),
                (true, None) => {
                    let text = "a page has a next one and no cursor".to_owned();
                    return Err(FetchError::Malformed(text));
                }
                (false, _) => break,
            };
        }
        let validator = None;
        Ok(Fetched::Roster(ContactList { contacts, validator, skipped }))
    }
}

impl handler::Guest for Plugin {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        if request.get_path_with_query().as_deref() != Some("/roster_admin/graphql-hook") {
            return Ok(http::respond(404, "no such hook"));
        }
        let signature = request.get_headers().get("x-signature").pop();
        let body = http::read(request).await?;
        let Some(secret) = setting("hook_secret") else {
            return Ok(http::respond(500, "hook_secret is not configured"));
        };
        // Before anything is made of the body.
        if !signature::verifies(&secret, &body, signature.as_deref()) {
            return Ok(http::respond(403, "the signature is missing or wrong"));
        }
        let Ok(event) = serde_json::from_slice::<Event>(&body) else {
            return Ok(http::respond(400, "the body is no event"));
        };
        let usernames = match graphql::handles(&event.changed).await {
            Ok(usernames) => usernames,
            // The app tries a hook again that was not taken.
            Err(_) => return Ok(http::respond(503, "the app cannot be asked who that is")),
        };
        let outcomes = rosters::refresh(usernames).await;
        let failed = outcomes.iter().filter(|it| it.result.is_err()).count();
        let summary = serde_json::json!({ "updated": outcomes.len() - failed, "errors": failed });
        Ok(http::respond(200, &summary.to_string()))
    }
}

/// What the operator has configured.
fn setting(key: &str) -> Option<String> {
    let value = store::get(key).ok().flatten();
    if value.is_none() {
        eprintln!("{key} is not configured");
    }
    value
}
