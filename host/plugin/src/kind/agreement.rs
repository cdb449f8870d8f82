//! What a handler of `wasi:http` is asked for a user's contacts, and what its
//! answer means: `GET /contacts/<user>`, the JSON roster, its `ETag`.
//!
//! The agreement is the one between the built-in plugin and an app
//! (`muster-contract`), one step nearer: a handler may pass on what the app
//! said. What comes of it is accepted like every other guest's answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use muster_contract::{DocumentError, ParsedRoster, Subscription, UrlTemplate, parse_roster};
use muster_plugin_bindings::v0_1::exports::muster::roster::roster::FetchError;
use muster_plugin_bindings::v0_1::muster::roster::types;
use wasmtime_wasi_http::Error;

use super::{Answer, Exchanged, NoResponse, Question};
use crate::limit::Limit;
use crate::rest::Rest;
use crate::settings::Limits;
use crate::store::StoreState;
use crate::telemetry::Meter;

/// What the questions of one store have in common.
pub(super) struct Terms {
    limits: Arc<Limits>,
    meter: Meter,
    rest: Arc<Rest>,
}

impl Terms {
    pub(super) fn of(state: &StoreState) -> Self {
        Self {
            limits: Arc::clone(&state.limits),
            meter: state.meter().clone(),
            rest: Arc::clone(&state.rest),
        }
    }

    /// The request; its authority is the virtual host.
    ///
    /// # Errors
    /// The username cannot be one segment of a path.
    pub(super) fn request(&self, question: &Question) -> Result<Request<Bytes>, FetchError> {
        let url = format!("http://{}/contacts/%s", self.meter.vhost());
        let template = UrlTemplate::parse(&url).map_err(|_| FetchError::Denied)?;
        let url = template.url(&question.username);
        let url = url.map_err(|_| FetchError::Denied)?.to_string();
        let mut request = Request::get(url).header(header::ACCEPT, "application/json");
        if let Some(known) = &question.known {
            let known = HeaderValue::from_str(known).map_err(|_| FetchError::Denied)?;
            request = request.header(header::IF_NONE_MATCH, known);
        }
        request.body(Bytes::new()).map_err(|_| FetchError::Denied)
    }

    /// The roster in the answer, or why there is none.
    pub(super) fn answer(&self, question: &Question, exchanged: Exchanged) -> Answer {
        let response = match exchanged {
            Ok(response) => response,
            Err(NoResponse::Error(error)) => return Err(failure(&error)),
            Err(NoResponse::TooLarge) => {
                self.meter.limit(Limit::ResponseBytes);
                return Err(FetchError::TooLarge);
            }
        };
        self.heed(&response);
        match response.status() {
            StatusCode::OK => self.roster(&response),
            StatusCode::NOT_MODIFIED if question.known.is_some() => Ok(types::Fetched::Unchanged),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(FetchError::NotFound),
            status => Err(FetchError::Status(status.as_u16())),
        }
    }

    /// A handler may ask to be left alone for a while, as an app may.
    fn heed(&self, response: &Response<Bytes>) {
        let status = response.status();
        let rest = self.rest.hear(status, response.headers());
        if let Some(rest) = rest
            && self.meter.rest()
        {
            let (vhost, status) = (self.meter.vhost(), status.as_u16());
            tracing::warn!(
                vhost,
                status,
                ?rest,
                "the plugin asks to be left alone for a while; told once a minute"
            );
        }
    }

    fn roster(&self, response: &Response<Bytes>) -> Answer {
        let parsed = parse_roster(response.body(), self.limits.contacts);
        match parsed {
            Ok(roster) => {
                let validator = only(response.headers(), &header::ETAG);
                let validator = validator.filter(|etag| is_entity_tag(etag));
                Ok(types::Fetched::Roster(contact_list(roster, validator)))
            }
            Err(DocumentError::TooManyContacts { .. }) => {
                self.meter.limit(Limit::Contacts);
                Err(FetchError::TooLarge)
            }
            Err(error) => Err(FetchError::Malformed(error.to_string())),
        }
    }
}

/// The only value of a header that must not be there twice.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => value.to_str().ok(),
        Some(_) => None,
    }
}

/// Whether it can come back in `If-None-Match` (RFC 9110, section 8.8.3).
fn is_entity_tag(etag: &str) -> bool {
    let opaque = etag.strip_prefix("W/").unwrap_or(etag);
    opaque.len() >= 2
        && opaque.starts_with('"')
        && opaque.ends_with('"')
        && etag.bytes().all(|b| b.is_ascii_graphic())
}

fn contact_list(roster: ParsedRoster<'_>, validator: Option<&str>) -> types::ContactList {
    let contacts = roster.contacts.into_iter().map(|contact| types::Contact {
        jid: contact.jid.into_owned(),
        name: contact.name.map(Into::into),
        groups: contact.groups.into_iter().map(Into::into).collect(),
        subscription: match contact.subscription {
            Subscription::None => types::Subscription::None,
            Subscription::To => types::Subscription::To,
            Subscription::From => types::Subscription::From,
            Subscription::Both => types::Subscription::Both,
        },
    });
    types::ContactList {
        contacts: contacts.collect(),
        validator: validator.map(str::to_owned),
        skipped: roster.skipped,
    }
}

/// What an error of `wasi:http` means that a handler passes on instead of an
/// answer.
fn failure(error: &Error) -> FetchError {
    match error {
        Error::DnsTimeout
        | Error::ConnectionTimeout
        | Error::ConnectionReadTimeout
        | Error::ConnectionWriteTimeout
        | Error::HttpResponseTimeout => FetchError::Timeout,
        Error::HttpRequestDenied
        | Error::HttpRequestUriInvalid
        | Error::HttpRequestUriTooLong
        | Error::HttpRequestMethodInvalid
        | Error::DestinationIpProhibited => FetchError::Denied,
        Error::HttpResponseBodySize(_)
        | Error::HttpResponseHeaderSectionSize(_)
        | Error::HttpResponseHeaderSize { .. }
        | Error::HttpResponseTrailerSectionSize(_)
        | Error::HttpResponseTrailerSize { .. } => FetchError::TooLarge,
        _ => FetchError::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn terms() -> Terms {
        Terms {
            limits: Arc::new(Limits {
                contacts: 2,
                ..Limits::default()
            }),
            meter: Meter::new("example.test"),
            rest: Arc::new(Rest::new(Duration::from_secs(60))),
        }
    }

    fn question(username: &str, known: Option<&str>) -> Question {
        Question {
            username: username.to_owned(),
            known: known.map(str::to_owned),
        }
    }

    fn response(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Exchanged {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        Ok(response
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap())
    }

    #[test]
    fn a_username_is_one_segment_whatever_it_holds() {
        for (username, target) in [
            ("john", "/contacts/john"),
            ("a/../b?c#d", "/contacts/a%2F..%2Fb%3Fc%23d"),
            ("ä b", "/contacts/%C3%A4%20b"),
        ] {
            let request = terms()
                .request(&question(username, Some("\"v1\"")))
                .unwrap();
            assert_eq!(request.uri().path_and_query().unwrap(), target);
            assert_eq!(request.uri().host(), Some("example.test"));
            assert_eq!(request.headers()["if-none-match"], "\"v1\"");
        }
        for username in ["", ".", ".."] {
            let refused = terms().request(&question(username, None));
            assert!(matches!(refused, Err(FetchError::Denied)), "{username}");
        }
    }

    #[test]
    fn a_status_decides() {
        let terms = terms();
        let asked = question("john", None);
        let knowing = question("john", Some("\"v1\""));
        let answer = |question, status, body| {
            let answer = terms.answer(question, response(status, &[], body));
            match answer {
                Ok(types::Fetched::Unchanged) => "unchanged".to_owned(),
                Ok(types::Fetched::Roster(list)) => format!("{} contacts", list.contacts.len()),
                Err(FetchError::Malformed(_)) => "malformed".to_owned(),
                Err(error) => format!("{error:?}"),
            }
        };
        for (status, body, expected) in [
            (200, "{}", "0 contacts"),
            (200, r#"{"marie@example.test":{}}"#, "1 contacts"),
            (200, "<html>", "malformed"),
            (200, "", "malformed"),
            (
                200,
                r#"{"a@x":{},"b@x":{},"c@x":{}}"#,
                "FetchError::TooLarge",
            ),
            (204, "", "FetchError::Status(204)"),
            (302, "", "FetchError::Status(302)"),
            (304, "", "FetchError::Status(304)"),
            (404, "", "FetchError::NotFound"),
            (410, "{}", "FetchError::NotFound"),
            (503, "", "FetchError::Status(503)"),
        ] {
            assert_eq!(answer(&asked, status, body), expected, "{status} {body}");
        }
        assert_eq!(answer(&knowing, 304, ""), "unchanged");
    }

    #[test]
    fn a_pause_that_the_handler_asks_for_is_heard() {
        let field = [("retry-after", "7")];
        for (status, fields, heard) in [
            (429, &field[..], true),
            (503, &field, true),
            (503, &[], false),
            (500, &field, false),
            (200, &field, false),
        ] {
            let terms = terms();
            let answer = terms.answer(&question("john", None), response(status, fields, "{}"));
            assert_eq!(answer.is_ok(), status == 200);
            assert_eq!(terms.rest.left().is_some(), heard, "{status} {fields:?}");
        }
    }

    #[test]
    fn a_validator_is_one_entity_tag() {
        let terms = terms();
        for (fields, expected) in [
            (&[("etag", "\"v1\"")][..], Some("\"v1\"")),
            (&[("etag", "W/\"v1\"")], Some("W/\"v1\"")),
            (&[("etag", "v1")], None),
            (&[("etag", "\"a b\"")], None),
            (&[("etag", "\"v1\""), ("etag", "\"v2\"")], None),
            (&[], None),
        ] {
            let answer = terms.answer(&question("john", None), response(200, fields, "{}"));
            let Ok(types::Fetched::Roster(list)) = answer else {
                panic!("no roster");
            };
            assert_eq!(list.validator.as_deref(), expected, "{fields:?}");
        }
    }
}
