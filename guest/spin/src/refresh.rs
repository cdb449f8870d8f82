//! Everything under `/roster_admin/`.
//!
//! Owns the way from the app's request to the list that the host refreshes.
//! Authentication came before, in the host; the summary is the host's too.

use muster_contract::{Refusal, Route, error_body, parse_refresh, route};
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{HeaderValue, Request, StatusCode};
use spin_sdk::wasip3::http::types::ErrorCode;

use crate::{Answer, said, settings};

/// The content type that asks the host for a refresh.
const REFRESH: &str = "application/vnd.muster.refresh+json";
const JSON: &str = "application/json";

/// Answers one request; every fault of the app's is an answer as well.
pub(crate) async fn answer(request: Request) -> Result<Answer, ErrorCode> {
    let (head, body) = request.into_parts();
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let content_type = head.headers.get("content-type").map(HeaderValue::as_bytes);
    let usernames = match route(head.method.as_str(), target, content_type) {
        Ok(Route::RefreshOne(username)) => vec![username],
        Ok(Route::RefreshBatch) => {
            let max_names = match settings::max_names().await {
                Ok(max_names) => max_names,
                Err(error) => {
                    eprintln!("no refresh can be served: {error}");
                    let text = "the plugin is not configured; the log says what is missing";
                    return Ok(refused(StatusCode::INTERNAL_SERVER_ERROR, text));
                }
            };
            match parse_refresh(&body.bytes().await?, max_names) {
                Ok(usernames) => usernames,
                Err(error) => return Ok(refused(status(error.status()), &error.to_string())),
            }
        }
        Err(refusal) => return Ok(refuse(&refusal)),
    };
    let list = serde_json::to_vec(&usernames)
        .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    Ok(said(StatusCode::OK, REFRESH, list))
}

fn refuse(refusal: &Refusal) -> Answer {
    let mut answer = refused(status(refusal.status()), &refusal.to_string());
    if let Some(methods) = refusal.allow() {
        let methods = HeaderValue::from_static(methods);
        answer.headers_mut().insert("allow", methods);
    }
    answer
}

fn refused(status: StatusCode, text: &str) -> Answer {
    said(status, JSON, error_body(text))
}

/// Those of the agreement are all in range.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
