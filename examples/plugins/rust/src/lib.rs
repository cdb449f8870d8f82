//! Teaches Muster an app that lists friends in pages and has a webhook.
//!
//! Muster calls `fetch` when it needs a user's contacts, and `handle` with what
//! the app sends to `/roster_admin/`. Which requests run at once, and what
//! reaches a client, is Muster's affair.

mod http;
mod url;

use serde::Deserialize;

use bindings::exports::muster::roster::roster;
use bindings::exports::wasi::http::handler;
use bindings::muster::roster::rosters;
use bindings::muster::roster::types::{Contact, ContactList, FetchError, Fetched, Subscription};
use bindings::wasi::config::store;
use bindings::wasi::http::types::{ErrorCode, Method, Request, Response};

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

struct Plugin;

/// A page of the app's answer.
#[derive(Deserialize)]
struct Page {
    friends: Vec<Friend>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Friend {
    handle: String,
    name: Option<String>,
    #[serde(default)]
    lists: Vec<String>,
    #[serde(default)]
    mutual: bool,
}

/// What the app's webhook says.
#[derive(Deserialize)]
struct Event {
    event: String,
    people: Vec<String>,
}

impl roster::Guest for Plugin {
    async fn fetch(username: String, mut known: Option<String>) -> Result<Fetched, FetchError> {
        let domain = setting("domain")?;
        let first = setting("http_roster_url")?.replace("%s", &url::segment(&username));
        let mut next = Some(first.clone());
        let (mut contacts, mut validator) = (Vec::new(), None);
        while let Some(url) = next {
            // The first page stands for all.
            let known = known.take();
            let condition = known.as_deref().map(|known| ("if-none-match", known));
            let answer = http::send(Method::Get, &url, condition.as_slice(), Vec::new()).await?;
            match answer.status {
                200 => {}
                304 if url == first => return Ok(Fetched::Unchanged),
                404 | 410 if url == first => return Err(FetchError::NotFound),
                // Half a list is none, and says nothing of the user.
                304 | 404 | 410 => {
                    return Err(FetchError::Malformed("a page is missing".to_owned()));
                }
                status => return Err(FetchError::Status(status)),
            }
            let page: Page = serde_json::from_slice(&answer.body).map_err(http::malformed)?;
            validator = validator.or(answer.etag);
            contacts.extend(page.friends.into_iter().map(|friend| Contact {
                jid: format!("{}@{domain}", friend.handle),
                name: friend.name,
                groups: friend.lists,
                subscription: match friend.mutual {
                    true => Subscription::Both,
                    false => Subscription::To,
                },
            }));
            next = page.next.map(|path| url::resolve(&url, &path));
        }
        let skipped = 0;
        Ok(Fetched::Roster(ContactList { contacts, validator, skipped }))
    }
}

impl handler::Guest for Plugin {
    /// `{"event": "friends-changed", "people": ["john", …]}`: whom to refresh.
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        if request.get_path_with_query().as_deref() != Some("/roster_admin/hook") {
            return Ok(http::respond(404, "no such hook"));
        }
        let body = http::read(request).await?;
        Ok(match serde_json::from_slice::<Event>(&body) {
            Ok(event) if event.event == "friends-changed" => {
                let outcomes = rosters::refresh(event.people).await;
                let failed = outcomes.iter().filter(|it| it.result.is_err()).count();
                let summary = serde_json::json!({
                    "updated": outcomes.len() - failed,
                    "errors": failed,
                });
                http::respond(200, &summary.to_string())
            }
            Ok(_) => http::respond(202, "nothing to do"),
            Err(error) => http::respond(400, &error.to_string()),
        })
    }
}

/// What the operator has configured.
fn setting(key: &str) -> Result<String, FetchError> {
    let value = store::get(key).ok().flatten();
    value.ok_or_else(|| {
        eprintln!("{key} is not configured");
        FetchError::Denied
    })
}
