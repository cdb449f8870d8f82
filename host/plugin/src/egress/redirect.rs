//! Which redirects are followed, without any I/O. Where one may lead is the
//! policy's affair, as for every request.

use http::{HeaderMap, Method, StatusCode, Uri, header};
use url::Url;

/// Where a response sends a `GET` on to, if it does (RFC 9110, section 15.4).
/// `None` for every other method: a request with a body is not sent twice.
pub(crate) fn target(
    method: &Method,
    asked: &Uri,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Uri> {
    let redirects = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if *method != Method::GET || !redirects {
        return None;
    }
    let mut locations = headers.get_all(header::LOCATION).iter();
    let location = locations.next()?;
    if locations.next().is_some() {
        return None;
    }
    let asked = Url::parse(&asked.to_string()).ok()?;
    let mut target = asked.join(location.to_str().ok()?).ok()?;
    // A fragment is never sent.
    target.set_fragment(None);
    target.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(method: &str, status: u16, locations: &[&str]) -> Option<String> {
        let asked = "http://app.example.test:8080/a/b?c".parse().unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut headers = HeaderMap::new();
        for location in locations {
            headers.append(header::LOCATION, location.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        target(&method, &asked, status, &headers).map(|uri| uri.to_string())
    }

    #[test]
    fn a_get_is_sent_on() {
        let table = [
            ("/d", Some("http://app.example.test:8080/d")),
            ("d?e", Some("http://app.example.test:8080/a/d?e")),
            ("?e", Some("http://app.example.test:8080/a/b?e")),
            ("//other.example.test/", Some("http://other.example.test/")),
            (
                "https://other.example.test/x#y",
                Some("https://other.example.test/x"),
            ),
            (
                "\\\\other.example.test\\",
                Some("http://other.example.test/"),
            ),
            (
                "http://x@other.example.test/",
                Some("http://x@other.example.test/"),
            ),
            (
                "ftp://other.example.test/",
                Some("ftp://other.example.test/"),
            ),
            ("data:text/html,x", None),
            ("http://", None),
        ];
        for (location, expected) in table {
            for status in [301, 302, 303, 307, 308] {
                let to = to("GET", status, &[location]);
                assert_eq!(to.as_deref(), expected, "{status} {location}");
            }
        }
    }

    #[test]
    fn nothing_else_is() {
        for status in [200, 300, 304, 305, 306, 400] {
            assert_eq!(to("GET", status, &["/d"]), None, "{status}");
        }
        assert_eq!(to("POST", 307, &["/d"]), None);
        assert_eq!(to("HEAD", 302, &["/d"]), None);
        assert_eq!(to("GET", 302, &[]), None);
        assert_eq!(to("GET", 302, &["/d", "/e"]), None);
    }
}
