//! `roster.fetch`: ask the app for one user's contacts.
//!
//! Owns the request, the meaning of its status, and which failure the host
//! hears of. Deadlines, retries and the gate to the network are the host's.

use std::future::{Future as _, poll_fn};
use std::pin::pin;

use muster_contract::{ParsedRoster, Scheme, Subscription, UsernameError, parse_roster};

use crate::bindings::muster::roster::types as wit;
use crate::bindings::muster::roster::types::{FetchError, Fetched};
use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{
    self as http, ErrorCode, Fields, Request, Response, Trailers,
};
use crate::bindings::wit_future;
use crate::body::{self, BodyError};
use crate::settings::{Settings, settings};
use wit_bindgen::{FutureReader, FutureWriter};

/// The bound of a validator in the contract.
const MAX_VALIDATOR_BYTES: usize = 1_024;

pub(crate) async fn fetch(username: &str, known: Option<String>) -> Result<Fetched, FetchError> {
    let settings = settings().map_err(|error| {
        eprintln!("{error}");
        FetchError::Denied
    })?;
    let (unwritten, trailers) = wit_future::new(|| Ok(None));
    let request = request(settings, username, known.as_deref(), trailers)?;
    let response = send(request, Some(unwritten))
        .await
        .map_err(|code| failure(&code))?;
    match response.get_status_code() {
        200 => roster(settings, response).await,
        304 if known.is_some() => Ok(Fetched::Unchanged),
        404 | 410 => Err(FetchError::NotFound),
        status => Err(FetchError::Status(status)),
    }
}

/// The promise that a request has no trailers, not yet kept.
pub(crate) type Unwritten = FutureWriter<Result<Option<Trailers>, ErrorCode>>;

/// Sends the request and says then that it has no trailers: the host waits for
/// that already. Said before, it would take a task of its own that waits for
/// the host.
pub(crate) async fn send(
    request: Request,
    mut unwritten: Option<Unwritten>,
) -> Result<Response, ErrorCode> {
    let mut sending = pin!(client::send(request));
    poll_fn(|cx| {
        let sent = sending.as_mut().poll(cx);
        drop(unwritten.take());
        sent
    })
    .await
}

fn request(
    settings: &Settings,
    username: &str,
    known: Option<&str>,
    trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
) -> Result<Request, FetchError> {
    let template = &settings.template;
    let target = template.path_and_query(username).map_err(refused)?;
    let mut headers = vec![("accept".to_owned(), b"application/json".to_vec())];
    headers.extend(known.map(|known| ("if-none-match".to_owned(), known.as_bytes().to_vec())));
    let headers = Fields::from_list(&headers).map_err(|error| {
        eprintln!("the headers were refused: {error:?}");
        FetchError::Denied
    })?;
    let (request, _sent) = Request::new(headers, None, trailers, None);
    address(&request, template.scheme(), template.authority(), &target)?;
    Ok(request)
}

/// Says where the request goes.
pub(crate) fn address(
    request: &Request,
    scheme: Scheme,
    authority: &str,
    target: &str,
) -> Result<(), FetchError> {
    let denied = |()| FetchError::Denied;
    let scheme = match scheme {
        Scheme::Http => http::Scheme::Http,
        Scheme::Https => http::Scheme::Https,
    };
    request.set_scheme(Some(&scheme)).map_err(denied)?;
    request.set_authority(Some(authority)).map_err(denied)?;
    request.set_path_with_query(Some(target)).map_err(denied)
}

fn refused(error: UsernameError) -> FetchError {
    eprintln!("no request: {error}");
    FetchError::Denied
}

/// Reads the contacts out of an answer of 200.
async fn roster(settings: &Settings, response: Response) -> Result<Fetched, FetchError> {
    let headers = response.get_headers();
    let validator = header(&headers, "etag").filter(|etag| is_validator(etag));
    let length = announced(&response);
    let (unread, read) = wit_future::new(|| Ok(()));
    let (stream, end) = Response::consume_body(response, read);
    // As in `send`: the host listens now.
    drop(unread);
    let document = body::read(stream, end, length, settings.max_response_bytes).await;
    let document = document.map_err(read_failure)?;
    match parse_roster(&document, settings.max_contacts) {
        Ok(roster) => Ok(Fetched::Roster(contact_list(roster, validator))),
        Err(muster_contract::DocumentError::TooManyContacts { .. }) => Err(FetchError::TooLarge),
        Err(error) => Err(FetchError::Malformed(error.to_string())),
    }
}

/// The length that the answer says it has.
pub(crate) fn announced(response: &Response) -> Option<usize> {
    header(&response.get_headers(), "content-length").and_then(|text| text.parse().ok())
}

/// What a body that cannot be had means to the host.
pub(crate) fn read_failure(error: BodyError) -> FetchError {
    match error {
        BodyError::TooLarge => FetchError::TooLarge,
        BodyError::Broken(code) => failure(&code),
    }
}

/// The only value of a header that must not be there twice.
fn header(headers: &Fields, name: &str) -> Option<String> {
    let mut values = headers.get(name).into_iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    String::from_utf8(value).ok()
}

/// Whether an ETag can come back in If-None-Match: an entity tag, not too long
/// (RFC 9110, section 8.8.3).
fn is_validator(etag: &str) -> bool {
    let opaque = etag.strip_prefix("W/").unwrap_or(etag);
    etag.len() <= MAX_VALIDATOR_BYTES
        && opaque.len() >= 2
        && opaque.starts_with('"')
        && opaque.ends_with('"')
        && etag.bytes().all(|b| b.is_ascii_graphic())
}

pub(crate) fn contact_list(
    roster: ParsedRoster<'_>,
    validator: Option<String>,
) -> wit::ContactList {
    let contacts = roster.contacts.into_iter().map(|contact| wit::Contact {
        jid: contact.jid.into_owned(),
        name: contact.name.map(Into::into),
        groups: contact.groups.into_iter().map(Into::into).collect(),
        subscription: match contact.subscription {
            Subscription::None => wit::Subscription::None,
            Subscription::To => wit::Subscription::To,
            Subscription::From => wit::Subscription::From,
            Subscription::Both => wit::Subscription::Both,
        },
    });
    wit::ContactList {
        contacts: contacts.collect(),
        validator,
        skipped: roster.skipped,
    }
}

/// What a failure of the connection means to the host.
pub(crate) fn failure(code: &ErrorCode) -> FetchError {
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => FetchError::Timeout,
        ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::DestinationIpProhibited => FetchError::Denied,
        ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_) => FetchError::TooLarge,
        ErrorCode::HttpResponseContentCoding(_) | ErrorCode::HttpResponseTransferCoding(_) => {
            FetchError::Malformed("the answer has an unknown encoding".to_owned())
        }
        _ => FetchError::Unavailable,
    }
}
