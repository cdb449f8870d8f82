//! `PUT /roster_admin/rosters/<user>` and `PUT /roster_admin/rosters`: the app
//! sends the contacts by itself, and nobody has to fetch them.
//!
//! Owns the route and the reading of the body, within the bounds of what the
//! app would answer. No plugin is asked: the document is the one that
//! `GET /contacts/<user>` answers, whatever the plugin speaks.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use muster_contract::{
    DocumentError, ParsedRoster, RostersError, decode_username, is_json, parse_roster,
    parse_rosters,
};
use muster_xmpp::roster::{Contact, Subscription};

use super::work::Work;
use super::{Desk, HttpState, answer, error};
use crate::limit::Limit;
use crate::rosters::{Batch, HandedIn};

/// Why a body is not taken. Reach: the request; nothing was put in.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    One(#[from] DocumentError),
    #[error(transparent)]
    Several(#[from] RostersError),
    #[error("the body could not be read")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Fault {
    fn status(&self) -> StatusCode {
        let status = match self {
            Fault::One(error) => error.status(),
            Fault::Several(error) => error.status(),
            Fault::Panicked(_) => 500,
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
    }
}

/// Serves `/roster_admin/rosters` and below; `user` is the rest of the path.
pub(super) async fn answer(
    state: &HttpState,
    desk: &Arc<Desk>,
    user: &str,
    head: http::request::Parts,
    body: Body,
) -> Response {
    if head.method != Method::PUT {
        return answer::method_not_allowed_but("PUT");
    }
    let username = match username(user, head.uri.path()) {
        Ok(username) => username,
        Err((status, message)) => return error(status, message).map(Body::from),
    };
    let content_type = head.headers.get(header::CONTENT_TYPE);
    if !content_type.is_none_or(|value| is_json(value.as_bytes())) {
        let message = "send the contacts as a JSON object, with Content-Type: application/json";
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).map(Body::from);
    }
    let body = match super::read(state, &head, body, state.limits.roster_bytes).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let bounds = (state.limits.names, desk.terms.contacts);
    match parse(username, body.clone(), bounds).await {
        Ok(entries) => super::serve(desk, head, body, |_| Work::HandIn(entries)).await,
        Err(fault) => {
            if fault.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Limit::HttpNames.reached();
            }
            error(fault.status(), &fault.to_string()).map(Body::from)
        }
    }
}

/// The user whom the path names, if it names one.
fn username(segment: &str, path: &str) -> Result<Option<String>, (StatusCode, &'static str)> {
    if segment.is_empty() {
        return match path.ends_with('/') {
            true => Err((
                StatusCode::NOT_FOUND,
                "there is nothing here; PUT /roster_admin/rosters/<user> takes a roster",
            )),
            false => Ok(None),
        };
    }
    if segment.contains('/') {
        return Err((
            StatusCode::NOT_FOUND,
            "a username is one segment of the path",
        ));
    }
    let username = decode_username(segment).map_err(|_| {
        let message = "the username in the path is not percent-encoded UTF-8";
        (StatusCode::BAD_REQUEST, message)
    })?;
    match Batch::is_username(&username) {
        true => Ok(Some(username)),
        false => Err((
            StatusCode::UNPROCESSABLE_ENTITY,
            "the path does not name a username",
        )),
    }
}

/// Away from the threads that serve connections: a large document takes a while.
async fn parse(
    username: Option<String>,
    body: Bytes,
    (rosters, contacts): (usize, usize),
) -> Result<Vec<HandedIn>, Fault> {
    let parsing = tokio::task::spawn_blocking(move || match username {
        Some(username) => {
            let roster = parse_roster(&body, contacts)?;
            Ok(vec![handed_in(username, roster)])
        }
        None => {
            let parsed = parse_rosters(&body, rosters, contacts)?;
            let entries = parsed.into_iter();
            let entries = entries.map(|(name, roster)| handed_in(name.into_owned(), roster));
            Ok(entries.collect())
        }
    });
    parsing.await?
}

fn handed_in(username: String, roster: ParsedRoster<'_>) -> HandedIn {
    if roster.skipped > 0 {
        metrics::counter!("muster_roster_contacts_skipped_total").increment(roster.skipped.into());
    }
    HandedIn {
        username,
        contacts: roster.contacts.into_iter().map(contact).collect(),
    }
}

fn contact(contact: muster_contract::Contact<'_>) -> Contact {
    let owned = |text: std::borrow::Cow<'_, str>| text.into_owned();
    Contact {
        jid: owned(contact.jid),
        name: contact.name.map(owned),
        groups: contact.groups.into_iter().map(owned).collect(),
        subscription: match contact.subscription {
            muster_contract::Subscription::None => Subscription::None,
            muster_contract::Subscription::To => Subscription::To,
            muster_contract::Subscription::From => Subscription::From,
            muster_contract::Subscription::Both => Subscription::Both,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_one_user_or_none() {
        let status = |segment: &str| {
            let path = format!("/roster_admin/rosters/{segment}");
            username(segment, &path).map_err(|(status, _)| status.as_u16())
        };
        assert_eq!(username("", "/roster_admin/rosters"), Ok(None));
        assert_eq!(status("john"), Ok(Some("john".to_owned())));
        assert_eq!(status("j%C3%B6rg"), Ok(Some("jörg".to_owned())));
        for (segment, expected) in [
            ("", 404),
            ("john/", 404),
            ("a/b", 404),
            ("%", 400),
            ("%ff", 400),
            ("a%20b", 422),
            ("a%2fb", 422),
            ("john@example.test", 422),
            ("%00", 422),
        ] {
            assert_eq!(status(segment), Err(expected), "{segment}");
        }
    }
}
