//! `batch.fetch-many`: ask the app for many users at once.
//!
//! Owns the request, the meaning of its status for all of them, and which
//! failure the host hears of for each. An app that has no such address answers
//! 404, 405 or 501, which the host is told as it is.

use muster_contract::{RosterUrl, Told, ask_for_many, parse_many};

use crate::bindings::muster::roster::types::{ContactList, FetchError};
use crate::bindings::wasi::http::types::{Fields, Method, Request, Response};
use crate::bindings::{wit_future, wit_stream};
use crate::body;
use crate::fetch::{address, announced, contact_list, failure, read_failure, send};
use crate::settings::{Settings, settings};

/// What is told of each user, in order.
pub(crate) type Many = Vec<Result<ContactList, FetchError>>;

pub(crate) async fn fetch_many(usernames: Vec<String>) -> Result<Many, FetchError> {
    let settings = settings().map_err(|error| {
        eprintln!("{error}");
        FetchError::Denied
    })?;
    let Some(url) = &settings.rosters_url else {
        eprintln!("http_rosters_url is not configured");
        return Err(FetchError::Denied);
    };
    let response = ask(url, &usernames).await?;
    match response.get_status_code() {
        200 => rosters(settings, &usernames, response).await,
        status => Err(FetchError::Status(status)),
    }
}

async fn ask(url: &RosterUrl, usernames: &[String]) -> Result<Response, FetchError> {
    let body = ask_for_many(usernames);
    let length = body.len().to_string().into_bytes();
    let json = || b"application/json".to_vec();
    let headers = vec![
        ("accept".to_owned(), json()),
        ("content-type".to_owned(), json()),
        ("content-length".to_owned(), length),
    ];
    let headers = Fields::from_list(&headers).map_err(|error| {
        eprintln!("the headers were refused: {error:?}");
        FetchError::Denied
    })?;
    let (unwritten, trailers) = wit_future::new(|| Ok(None));
    let (mut writer, contents) = wit_stream::new();
    let (request, _sent) = Request::new(headers, Some(contents), trailers, None);
    request
        .set_method(&Method::Post)
        .map_err(|()| FetchError::Denied)?;
    address(&request, url.scheme, &url.authority, &url.path_and_query)?;
    wit_bindgen::spawn_local(async move {
        // What the host does not take, nobody waits for.
        let _ = writer.write_all(body).await;
        drop(writer);
        // Only now: before, the body would seem to be whole.
        drop(unwritten);
    });
    send(request, None).await.map_err(|code| failure(&code))
}

/// Reads the rosters out of an answer of 200.
async fn rosters(
    settings: &Settings,
    usernames: &[String],
    response: Response,
) -> Result<Many, FetchError> {
    let length = announced(&response);
    let (unread, read) = wit_future::new(|| Ok(()));
    let (stream, end) = Response::consume_body(response, read);
    // The host listens now.
    drop(unread);
    let document = body::read(stream, end, length, settings.max_batch_bytes).await;
    let document = document.map_err(read_failure)?;
    let told = parse_many(&document, usernames, settings.max_contacts);
    let told = told.map_err(|error| FetchError::Malformed(error.to_string()))?;
    Ok(told.into_iter().map(of_one).collect())
}

fn of_one(told: Told<'_>) -> Result<ContactList, FetchError> {
    match told {
        Told::Roster(roster) => Ok(contact_list(roster, None)),
        Told::Unknown => Err(FetchError::NotFound),
        Told::Unavailable => Err(FetchError::Unavailable),
        Told::TooManyContacts => Err(FetchError::TooLarge),
        Told::NotARoster(found) => Err(FetchError::Malformed(format!(
            "a roster must be an object of contacts, not {found}"
        ))),
    }
}
