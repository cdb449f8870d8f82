//! What a handler of `wasi:http` asks of the host with its answer: a refresh.
//!
//! Such a plugin imports nothing of ours. It says whose rosters changed by
//! answering a request under `/roster_admin/` with a JSON array of usernames
//! under a content type of its own; the host refreshes them and writes the
//! summary. Every other answer is for whoever asked.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use muster_contract::{Reason, RefreshBodyError, Summary, error_body, parse_refresh};

use crate::refresh::{Failure, Refresher};
use crate::roster::{FetchError, HandleError};

/// The content type of an answer that asks for a refresh.
const REFRESH: &str = "application/vnd.muster.refresh+json";

/// An answer that asks for a refresh.
pub(crate) struct Wish {
    usernames: Bytes,
}

impl Wish {
    /// The wish in an answer of success, if there is one.
    pub(super) fn of(response: &Response<Bytes>) -> Option<Self> {
        let content_type = response.headers().get(header::CONTENT_TYPE)?;
        let content_type = content_type.to_str().ok()?;
        let essence = content_type.split(';').next().unwrap_or_default();
        let asks = response.status().is_success() && essence.trim().eq_ignore_ascii_case(REFRESH);
        asks.then(|| Self {
            usernames: response.body().clone(),
        })
    }

    /// Refreshes at most so many usernames, each as the plugin gave it, and
    /// answers as the built-in plugin would.
    ///
    /// # Errors
    /// [`HandleError::Wish`] for anything but an array of strings; nothing is
    /// refreshed then.
    pub(crate) async fn grant(
        self,
        refresher: &dyn Refresher,
        most: usize,
    ) -> Result<Response<Bytes>, HandleError> {
        let usernames = match parse_refresh(&self.usernames, most) {
            Ok(usernames) => usernames,
            // As many as the app has sent: it is for the app to hear.
            Err(error @ RefreshBodyError::TooManyNames { .. }) => {
                let body = error_body(&error.to_string());
                return Ok(json(StatusCode::PAYLOAD_TOO_LARGE, body));
            }
            Err(_) => return Err(HandleError::Wish),
        };
        let outcomes = match usernames.is_empty() {
            true => Vec::new(),
            false => refresher.refresh(usernames).await,
        };
        let failures = outcomes.iter().map(|outcome| outcome.result.as_ref().err());
        Ok(json(StatusCode::OK, summary_of(failures).to_json()))
    }
}

/// The summary that the built-in plugin would write of these entries: `None`
/// is one that succeeded.
pub fn summary_of<'a>(failures: impl IntoIterator<Item = Option<&'a Failure>>) -> Summary {
    let mut summary = Summary::new();
    for failure in failures {
        count_entry(&mut summary, failure);
    }
    summary
}

/// Counts one entry more in such a summary.
pub fn count_entry(summary: &mut Summary, failure: Option<&Failure>) {
    match failure {
        None => summary.count_updated(),
        Some(failure) => summary.count_failed(reason(failure)),
    }
}

fn reason(failure: &Failure) -> Reason {
    let error = match failure {
        Failure::InvalidUsername => return Reason::InvalidUsername,
        Failure::Overloaded => return Reason::Overloaded,
        // As a plugin that speaks the contract is told.
        Failure::Held => return Reason::Malformed,
        Failure::Fetch(error) => error,
    };
    match error {
        FetchError::NotFound => Reason::NotFound,
        FetchError::Unavailable => Reason::Unavailable,
        FetchError::Timeout => Reason::Timeout,
        FetchError::Status(_) => Reason::Status,
        FetchError::Malformed(_) => Reason::Malformed,
        FetchError::TooLarge => Reason::TooLarge,
        FetchError::Denied => Reason::Denied,
        FetchError::Plugin(_) => Reason::Plugin,
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::Outcome;

    fn response(status: u16, content_type: &str, body: &'static str) -> Response<Bytes> {
        let response = Response::builder().status(status);
        let response = response.header("content-type", content_type);
        response.body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn the_content_type_of_a_success_asks() {
        for (status, content_type, asks) in [
            (200, REFRESH, true),
            (
                202,
                "Application/VND.muster.refresh+json; charset=utf-8",
                true,
            ),
            (200, "application/json", false),
            (200, "application/vnd.muster.refresh+jsonx", false),
            (400, REFRESH, false),
            (302, REFRESH, false),
        ] {
            let response = response(status, content_type, "[]");
            assert_eq!(
                Wish::of(&response).is_some(),
                asks,
                "{status} {content_type}"
            );
        }
    }

    /// Has nothing to do.
    struct Names(std::sync::Mutex<Vec<String>>);

    impl Refresher for Names {
        fn refresh(
            &self,
            usernames: Vec<String>,
        ) -> std::pin::Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
            self.0.lock().unwrap().extend(usernames.iter().cloned());
            let outcomes = usernames.into_iter().map(Outcome::overloaded).collect();
            Box::pin(std::future::ready(outcomes))
        }
    }

    #[tokio::test]
    async fn a_list_is_taken_whole_or_not() {
        let malformed = Err(HandleError::Wish);
        for (body, expected, asked) in [
            ("[]", Ok(200), &[][..]),
            (r#"["john","john"]"#, Ok(200), &["john", "john"]),
            (r#"["a","b","c"]"#, Ok(413), &[]),
            ("", malformed, &[]),
            ("{}", malformed, &[]),
            ("[1]", malformed, &[]),
            ("[\"john\"", malformed, &[]),
            ("null", malformed, &[]),
        ] {
            let names = Names(std::sync::Mutex::default());
            let wish = Wish::of(&response(200, REFRESH, body)).unwrap();
            let answer = wish.grant(&names, 2).await;
            assert_eq!(answer.map(|it| it.status().as_u16()), expected, "{body}");
            assert_eq!(names.0.into_inner().unwrap(), asked, "{body}");
        }
    }
}
