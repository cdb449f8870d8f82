//! Which web pages may open streams: the policy on `Origin`, and the CORS
//! headers that follow from it.
//!
//! A stream takes credentials of its own, never cookies, so that a foreign page
//! gains nothing that it could not have by other means; yet it could have its
//! visitors guess passwords.

use http::{HeaderMap, HeaderValue, header, uri::Authority};

/// Which web pages may open streams.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    /// Pages of everywhere.
    Any,
    /// Pages of these origins (RFC 6454, section 6.2), and of the site itself.
    Listed(Vec<String>),
}

impl Origins {
    /// Whether the page that a request comes from may open a stream. Without
    /// `Origin` it is no page of a browser.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        match (self, origin.to_str()) {
            (Origins::Any, _) => true,
            (Origins::Listed(_), Err(_)) => false,
            (Origins::Listed(listed), Ok(origin)) => {
                let mut listed = listed.iter();
                listed.any(|other| other.eq_ignore_ascii_case(origin)) || is_own(origin, headers)
            }
        }
    }
}

/// Whether `origin` is where the request goes to. The scheme is left out of
/// account: behind a proxy it need not be known.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return false,
    };
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let (Some(host), Ok(origin)) = (
        host.and_then(|host| host.parse::<Authority>().ok()),
        authority.parse::<Authority>(),
    ) else {
        return false;
    };
    let same_port = origin.port_u16().unwrap_or(port) == host.port_u16().unwrap_or(port);
    same_port && origin.host().eq_ignore_ascii_case(host.host())
}

/// Lets the page that asked read the answer (Fetch standard, section 3.2), if
/// it was admitted.
pub(crate) fn allow(origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn pages_of_the_site_and_of_the_list_are_admitted() {
        let listed = Origins::Listed(vec!["https://app.example.com".to_owned()]);
        for (host, origin, admitted) in [
            ("chat.example.com", None, true),
            ("chat.example.com", Some("https://app.example.com"), true),
            ("chat.example.com", Some("https://APP.example.com"), true),
            ("chat.example.com", Some("http://app.example.com"), false),
            (
                "chat.example.com",
                Some("https://app.example.com:8443"),
                false,
            ),
            (
                "chat.example.com",
                Some("https://app.example.com.evil.test"),
                false,
            ),
            ("chat.example.com", Some("https://chat.example.com"), true),
            (
                "chat.example.com:443",
                Some("https://chat.example.com"),
                true,
            ),
            (
                "chat.example.com:8443",
                Some("https://chat.example.com:8443"),
                true,
            ),
            (
                "chat.example.com:8443",
                Some("https://chat.example.com"),
                false,
            ),
            ("127.0.0.1:5280", Some("http://127.0.0.1:5280"), true),
            ("chat.example.com", Some("https://evil.test"), false),
            ("chat.example.com", Some("file://chat.example.com"), false),
            ("chat.example.com", Some("null"), false),
            ("chat.example.com", Some(""), false),
        ] {
            let headers = headers(host, origin);
            assert_eq!(listed.admit(&headers), admitted, "{host} {origin:?}");
            assert!(Origins::Any.admit(&headers));
        }
    }
}
