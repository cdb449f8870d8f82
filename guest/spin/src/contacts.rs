//! `GET /contacts/<user>`: ask the app for one user's contacts.
//!
//! Owns the request to the app. Its answer is passed on: status, `ETag`, body.

use muster_contract::decode_username;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{EmptyBody, FullBody, HeaderMap, Request, Response, send};
use spin_sdk::wasip3::http::types::ErrorCode;

use crate::Answer;
use crate::settings;

/// `segment` is the user, percent-encoded.
pub(crate) async fn fetch(segment: &str, asked: &HeaderMap) -> Result<Answer, ErrorCode> {
    let denied = |why: &dyn std::fmt::Display| {
        eprintln!("no request: {why}");
        ErrorCode::HttpRequestDenied
    };
    let template = settings::template().await.map_err(|why| denied(&why))?;
    let username = decode_username(segment).map_err(|why| denied(&why))?;
    let url = template.url(&username).map_err(|why| denied(&why))?;
    let mut request = Request::get(url.to_string()).header("accept", "application/json");
    if let Some(known) = asked.get("if-none-match") {
        request = request.header("if-none-match", known);
    }
    let request = request.body(EmptyBody::new()).map_err(|why| denied(&why))?;
    let response = send(request).await?;
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(FullBody::new(body.bytes().await?));
    *answer.status_mut() = parts.status;
    for etag in parts.headers.get_all("etag") {
        answer.headers_mut().append("etag", etag.clone());
    }
    Ok(answer)
}
