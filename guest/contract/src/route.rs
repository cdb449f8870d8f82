//! What a request under `/roster_admin/` asks for.
//!
//! Owns paths, methods and content types; reads no body. The reference takes
//! `GET /roster_admin/refresh/<user>` as well; a GET that changes something
//! can be triggered from any web page, so that is refused here.

use percent_encoding::percent_decode_str;

const REFRESH: &str = "/roster_admin/refresh";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /roster_admin/refresh`: the body names the users.
    RefreshBatch,
    /// `POST /roster_admin/refresh/<user>`: this one; the body is ignored.
    RefreshOne(String),
}

/// Why nothing is done. Reach: the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 404.
    #[error("there is nothing here; POST /roster_admin/refresh refreshes rosters")]
    NotFound,
    /// 400: bytes that are no UTF-8.
    #[error("the username in the path is not percent-encoded UTF-8")]
    BadUsername,
    /// 405, with `Allow`.
    #[error("a refresh changes rosters: use POST")]
    MethodNotAllowed,
    /// 415.
    #[error("send the usernames as a JSON array, with Content-Type: application/json")]
    UnsupportedMediaType,
}

impl Refusal {
    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadUsername => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::UnsupportedMediaType => 415,
        }
    }

    /// The value of the answer's `Allow` header, for 405 (RFC 9110, section 15.5.6).
    #[must_use]
    pub fn allow(self) -> Option<&'static str> {
        (self == Self::MethodNotAllowed).then_some("POST")
    }
}

/// Finds out what a request asks for.
///
/// `target` is path and query as in the request line; the query is ignored.
/// `content_type` is the header's value, if there is one: the reference does
/// not look at it, so a request without it is taken for JSON, but one that
/// says it is something else (as HTTP libraries do for forms) is refused.
///
/// # Errors
///
/// Whatever is neither of the two requests.
pub fn route(method: &str, target: &str, content_type: Option<&[u8]>) -> Result<Route, Refusal> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let rest = path.strip_prefix(REFRESH).ok_or(Refusal::NotFound)?;
    let route = match rest.strip_prefix('/') {
        None if rest.is_empty() => Route::RefreshBatch,
        Some(segment) if !segment.is_empty() && !segment.contains('/') => {
            Route::RefreshOne(decode_username(segment)?)
        }
        _ => return Err(Refusal::NotFound),
    };
    if method != "POST" {
        return Err(Refusal::MethodNotAllowed);
    }
    if route == Route::RefreshBatch && !content_type.is_none_or(is_json) {
        return Err(Refusal::UnsupportedMediaType);
    }
    Ok(route)
}

/// The username that a segment of a path is.
///
/// # Errors
///
/// [`Refusal::BadUsername`]: a `%` without two digits, or bytes that are no UTF-8.
pub fn decode_username(segment: &str) -> Result<String, Refusal> {
    let bytes = segment.as_bytes();
    let escaped = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    // The decoder leaves a lone % as it is; two spellings of one user are one too many.
    if bytes
        .iter()
        .enumerate()
        .any(|(at, &b)| b == b'%' && !escaped(at))
    {
        return Err(Refusal::BadUsername);
    }
    let username = percent_decode_str(segment).decode_utf8();
    Ok(username.map_err(|_| Refusal::BadUsername)?.into_owned())
}

/// Whether a `Content-Type` is `application/json`, with no charset or that of
/// JSON (RFC 8259, section 11).
#[must_use]
pub fn is_json(content_type: &[u8]) -> bool {
    let Ok(content_type) = std::str::from_utf8(content_type) else {
        return false;
    };
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    media_type.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(method: &str, target: &str, content_type: &str, expected: Result<Route, Refusal>) {
        let content_type = Some(content_type.as_bytes()).filter(|value| !value.is_empty());
        assert_eq!(
            route(method, target, content_type),
            expected,
            "{method} {target}"
        );
    }

    fn one(username: &str) -> Result<Route, Refusal> {
        Ok(Route::RefreshOne(username.to_owned()))
    }

    #[test]
    fn batches() {
        for content_type in [
            "",
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            check(
                "POST",
                "/roster_admin/refresh",
                content_type,
                Ok(Route::RefreshBatch),
            );
        }
        check(
            "POST",
            "/roster_admin/refresh?x=1",
            "",
            Ok(Route::RefreshBatch),
        );
    }

    #[test]
    fn single_users() {
        check("POST", "/roster_admin/refresh/john", "", one("john"));
        check(
            "POST",
            "/roster_admin/refresh/john?x=/",
            "text/plain",
            one("john"),
        );
        check("POST", "/roster_admin/refresh/a%2Fb%c3%a9", "", one("a/bé"));
        check("POST", "/roster_admin/refresh/..", "", one(".."));
    }

    #[test]
    fn nothing_else_is_there() {
        for target in [
            "",
            "/",
            "/roster_admin",
            "/roster_admin/",
            "/roster_admin/refresh/",
            "/roster_admin/refresh/john/",
            "/roster_admin/refresh/john/mary",
            "/roster_admin/refreshed",
            "/roster_admin//refresh",
            "/x/roster_admin/refresh",
            "http://app.example.com/roster_admin/refresh",
        ] {
            check("POST", target, "", Err(Refusal::NotFound));
            check("GET", target, "", Err(Refusal::NotFound));
        }
    }

    #[test]
    fn broken_escapes_are_refused() {
        for segment in ["%", "%2", "%zz", "%ff", "a%c3"] {
            let target = format!("/roster_admin/refresh/{segment}");
            check("POST", &target, "", Err(Refusal::BadUsername));
        }
    }

    #[test]
    fn only_post_changes_anything() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "post"] {
            for target in ["/roster_admin/refresh", "/roster_admin/refresh/john"] {
                check(
                    method,
                    target,
                    "application/json",
                    Err(Refusal::MethodNotAllowed),
                );
            }
        }
        assert_eq!(Refusal::MethodNotAllowed.allow(), Some("POST"));
        assert_eq!(Refusal::NotFound.allow(), None);
    }

    #[test]
    fn other_content_types_are_refused() {
        for content_type in [
            "application/x-www-form-urlencoded",
            "text/plain",
            "application/json; charset=utf-16",
            "application/jsonp",
            ";",
        ] {
            check(
                "POST",
                "/roster_admin/refresh",
                content_type,
                Err(Refusal::UnsupportedMediaType),
            );
        }
        assert_eq!(
            route("POST", "/roster_admin/refresh", Some(b"\xFF")),
            Err(Refusal::UnsupportedMediaType)
        );
    }

    #[test]
    fn statuses() {
        assert_eq!(Refusal::BadUsername.status(), 400);
        assert_eq!(Refusal::NotFound.status(), 404);
        assert_eq!(Refusal::MethodNotAllowed.status(), 405);
        assert_eq!(Refusal::UnsupportedMediaType.status(), 415);
    }

    proptest! {
        #[test]
        fn every_username_fits_into_the_path(username in "(?s).{1,30}") {
            let encoded = utf8_percent_encode(&username, NON_ALPHANUMERIC);
            let target = format!("/roster_admin/refresh/{encoded}");
            prop_assert_eq!(route("POST", &target, None), Ok(Route::RefreshOne(username)));
        }

        #[test]
        fn no_request_panics(target in "(/roster_admin/refresh/)?(?s).{0,30}", kind in "(?s).{0,30}") {
            let _ = route("POST", &target, Some(kind.as_bytes()));
        }
    }
}
