//! What of a plugin's HTTP response reaches whoever asked.
//!
//! The plugin answers the app; it does not speak for the server's origin, to
//! browsers and proxies that may be in between.

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderMap, HeaderName};

/// Fields about the answer itself. All others are left out: cookies and the
/// permissions of other origins speak for the whole server, `X-Accel-Redirect`
/// and its like command a proxy, and the framing is the server's.
const KEPT: [HeaderName; 9] = [
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
    header::VARY,
];

/// The response without what cannot be sent on, if it can be sent on at all.
///
/// Informational ones are none, and a redirect would have the caller send its
/// token elsewhere, which the plugin must not see.
pub(crate) fn accept(mut response: Response<Bytes>) -> Option<Response<Bytes>> {
    let status = response.status();
    if status.is_informational() || status.is_redirection() {
        return None;
    }
    let mut kept = HeaderMap::new();
    for name in KEPT {
        for value in response.headers().get_all(&name) {
            kept.append(name.clone(), value.clone());
        }
    }
    *response.headers_mut() = kept;
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, fields: &[(&'static str, &'static str)]) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(Bytes::new()).unwrap()
    }

    #[test]
    fn only_fields_about_the_answer_are_kept() {
        let answer = response(
            200,
            &[
                ("content-type", "application/json"),
                ("vary", "accept"),
                ("vary", "cookie"),
                ("content-length", "5"),
                ("transfer-encoding", "chunked"),
                ("set-cookie", "a=b"),
                ("access-control-allow-origin", "*"),
                ("x-accel-redirect", "/internal"),
                ("location", "https://evil.example.com/"),
            ],
        );
        let answer = accept(answer).unwrap();
        let mut left: Vec<_> = answer.headers().keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "vary"]);
        assert_eq!(answer.headers().get_all("vary").iter().count(), 2);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (status, taken) in [
            (100, false),
            (101, false),
            (200, true),
            (204, true),
            (301, false),
            (307, false),
            (413, true),
            (599, true),
        ] {
            assert_eq!(accept(response(status, &[])).is_some(), taken, "{status}");
        }
    }
}
