//! What of a plugin's HTTP response reaches whoever asked.
//!
//! The plugin answers the app; it does not speak for the server's origin, to
//! browsers and proxies that may be in between.

use http::header::{self, HeaderMap, HeaderName};
use http::response::Parts;

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

/// Whether the response can be sent on; takes out of it what cannot.
///
/// Informational ones are none, and a redirect would have the caller send its
/// token elsewhere, which the plugin must not see.
pub(crate) fn accept(parts: &mut Parts) -> bool {
    if parts.status.is_informational() || parts.status.is_redirection() {
        return false;
    }
    let mut kept = HeaderMap::new();
    for name in KEPT {
        for value in parts.headers.get_all(&name) {
            kept.append(name.clone(), value.clone());
        }
    }
    parts.headers = kept;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(status: u16, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut response = http::Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_fields_about_the_answer_are_kept() {
        let mut answer = parts(
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
        assert!(accept(&mut answer));
        let mut left: Vec<_> = answer.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "vary"]);
        assert_eq!(answer.headers.get_all("vary").iter().count(), 2);
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
            assert_eq!(accept(&mut parts(status, &[])), taken, "{status}");
        }
    }
}
