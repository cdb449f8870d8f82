//! `wasi:http/handler`: everything under `/roster_admin/`.
//!
//! Owns the way from the app's request to `rosters.refresh` and from its
//! outcomes to the summary. Authentication came before, in the host.

use muster_contract::{Reason, Refusal, Route, Summary, error_body, parse_refresh, route};

use crate::bindings::muster::roster::rosters;
use crate::bindings::muster::roster::types::{Failure, FetchError, Outcome};
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response};
use crate::bindings::wit_future;
use crate::body::{self, BodyError};
use crate::settings::settings;

/// Answers one request; every fault of the app's is an answer as well.
pub(crate) async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let method = request.get_method();
    let target = request.get_path_with_query().unwrap_or_default();
    let headers = request.get_headers();
    let content_type = headers.get("content-type").into_iter().next();

    let usernames = match route(method_name(&method), &target, content_type.as_deref()) {
        Ok(Route::RefreshOne(username)) => vec![username],
        Ok(Route::RefreshBatch) => match usernames(request, &headers).await {
            Ok(usernames) => usernames,
            Err((status, message)) => return answer(status, error_body(&message), None),
        },
        Err(refusal) => return refuse(refusal),
    };
    let mut summary = Summary::new();
    if !usernames.is_empty() {
        for outcome in rosters::refresh(usernames).await {
            count(&mut summary, &outcome);
        }
    }
    answer(200, summary.to_json(), None)
}

/// The usernames in the body, or the status and the text of the refusal.
async fn usernames(request: Request, headers: &Fields) -> Result<Vec<String>, (u16, String)> {
    let settings = settings().map_err(|error| {
        eprintln!("no refresh can be served: {error}");
        (
            500,
            "the plugin is not configured; the log says what is missing".to_owned(),
        )
    })?;
    let limit = settings.max_request_bytes;
    let announced = headers.get("content-length").into_iter().next();
    let announced = announced.and_then(|value| String::from_utf8(value).ok()?.parse().ok());
    let (unread, read) = wit_future::new(|| Ok(()));
    let (stream, end) = Request::consume_body(request, read);
    // The host listens now; before, this would have taken a task that waits for it.
    drop(unread);
    let body = body::read(stream, end, announced, limit)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge => {
                let text = format!("the body is larger than {limit} bytes");
                (413, text)
            }
            BodyError::Broken(code) => {
                eprintln!("the request's body broke off: {code:?}");
                (400, "the body is incomplete".to_owned())
            }
        })?;
    parse_refresh(&body, settings.max_names).map_err(|error| (error.status(), error.to_string()))
}

fn count(summary: &mut Summary, outcome: &Outcome) {
    match &outcome.result {
        Ok(_changes) => summary.count_updated(),
        Err(failure) => summary.count_failed(match failure {
            Failure::InvalidUsername => Reason::InvalidUsername,
            Failure::Fetch(FetchError::NotFound) => Reason::NotFound,
            Failure::Fetch(FetchError::Unavailable) => Reason::Unavailable,
            Failure::Fetch(FetchError::Timeout) => Reason::Timeout,
            Failure::Fetch(FetchError::Status(_)) => Reason::Status,
            Failure::Fetch(FetchError::Malformed(_)) => Reason::Malformed,
            Failure::Fetch(FetchError::TooLarge) => Reason::TooLarge,
            Failure::Fetch(FetchError::Denied) => Reason::Denied,
            Failure::Plugin => Reason::Plugin,
            Failure::Overloaded => Reason::Overloaded,
        }),
    }
}

fn refuse(refusal: Refusal) -> Result<Response, ErrorCode> {
    answer(
        refusal.status(),
        error_body(&refusal.to_string()),
        refusal.allow(),
    )
}

fn answer(status: u16, body: Vec<u8>, allow: Option<&str>) -> Result<Response, ErrorCode> {
    let headers = Fields::new();
    let length = body.len().to_string();
    let mut fields = vec![
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    fields.extend(allow.map(|methods| ("allow", methods)));
    for (name, value) in fields {
        headers.append(name, value.as_bytes()).map_err(|error| {
            ErrorCode::InternalError(Some(format!("the header {name}: {error:?}")))
        })?;
    }
    Ok(body::respond(status, headers, body))
}

fn method_name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}
