//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header),
//! and what tells two requests with one key apart.

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use sha2::{Digest, Sha256};

use crate::http::admin::wishes::Wishes;

/// The request header.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A caller's name for a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::admin) struct Key(Box<str>);

/// What a request asks for, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::admin) struct Fingerprint([u8; 32]);

/// Why a header is no key. Reach: the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http::admin) enum KeyFault {
    /// There are two.
    #[error("send one Idempotency-Key")]
    Several,
    /// Empty, a quotation mark too few, or characters that cannot be in one.
    #[error("an Idempotency-Key is a string in quotation marks, or visible ASCII without them")]
    Malformed,
    /// More than the operator allows.
    #[error("the Idempotency-Key is longer than {limit} bytes")]
    TooLong {
        /// The bound, without the quotation marks.
        limit: usize,
    },
}

impl Key {
    /// The key of a request, if it has one. `"a"` as the draft wants it and the
    /// `a` of many a client are the same.
    pub(super) fn of(headers: &HeaderMap, limit: usize) -> Result<Option<Key>, KeyFault> {
        let mut lines = headers.get_all(IDEMPOTENCY_KEY).into_iter();
        let Some(line) = lines.next() else {
            return Ok(None);
        };
        if lines.next().is_some() {
            return Err(KeyFault::Several);
        }
        let text = line.to_str().map_err(|_| KeyFault::Malformed)?.trim();
        let key = match text.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').and_then(unescaped),
            None => Some(text.to_owned()).filter(|text| is_bare(text)),
        };
        let key = key.filter(|key| !key.is_empty());
        let key = key.ok_or(KeyFault::Malformed)?;
        match key.len() > limit {
            true => Err(KeyFault::TooLong { limit }),
            false => Ok(Some(Key(key.into()))),
        }
    }
}

/// What is between the quotation marks (RFC 8941, section 3.3.3).
fn unescaped(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => text.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            ' '..='~' => text.push(c),
            _ => return None,
        }
    }
    Some(text)
}

fn is_bare(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b','))
}

impl Fingerprint {
    /// Of method, target, type and body, and of what is preferred.
    pub(in crate::http::admin) fn of(head: &Parts, wishes: &Wishes, body: &[u8]) -> Fingerprint {
        let target = head.uri.path_and_query().map_or("", |it| it.as_str());
        let kind = head.headers.get(header::CONTENT_TYPE);
        let kind = kind.map_or(&[] as &[u8], |kind| kind.as_bytes());
        let mut digest = Sha256::new();
        for part in [head.method.as_str().as_bytes(), target.as_bytes(), kind] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update(wishes.to_bytes());
        digest.update(body);
        Fingerprint(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(lines: &[&str]) -> Result<Option<Key>, KeyFault> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IDEMPOTENCY_KEY, line.parse().unwrap());
        }
        Key::of(&headers, 10)
    }

    #[test]
    fn a_key_is_a_string_of_bounded_length() {
        assert_eq!(key(&[]), Ok(None));
        let some = |text: &str| Ok(Some(Key(text.into())));
        for (line, expected) in [
            ("\"abc\"", "abc"),
            ("abc", "abc"),
            (" \"a b\" ", "a b"),
            ("\"a\\\"\\\\\"", "a\"\\"),
            ("0123456789", "0123456789"),
            ("\"0123456789\"", "0123456789"),
        ] {
            assert_eq!(key(&[line]), some(expected), "{line}");
        }
        for line in [
            "", "\"\"", "\"", "\"abc", "a b", "a,b", "\"a\"b\"", "\"\\x\"", "\u{e9}",
        ] {
            assert_eq!(key(&[line]), Err(KeyFault::Malformed), "{line}");
        }
        assert_eq!(key(&["a", "a"]), Err(KeyFault::Several));
        assert_eq!(key(&["01234567890"]), Err(KeyFault::TooLong { limit: 10 }));
    }

    #[test]
    fn whatever_changes_the_answer_changes_the_fingerprint() {
        let print = |method: &str, target: &str, kind: &str, prefer: &str, body: &str| {
            let request = http::Request::builder()
                .method(method)
                .uri(target)
                .header("content-type", kind)
                .header("prefer", prefer)
                .header("date", body);
            let (head, ()) = request.body(()).unwrap().into_parts();
            Fingerprint::of(&head, &Wishes::of(&head).unwrap(), body.as_bytes()).0
        };
        let prints = [
            print("POST", "/a", "x", "", "[]"),
            print("PUT", "/a", "x", "", "[]"),
            print("POST", "/ax", "", "", "[]"),
            print("POST", "/a?dry_run", "x", "", "[]"),
            print("POST", "/a", "x", "return=representation", "[]"),
            print("POST", "/a", "x", "respond-async", "[]"),
            print("POST", "/a", "x", "", "[] "),
        ];
        let distinct: std::collections::HashSet<_> = prints.iter().collect();
        assert_eq!(distinct.len(), prints.len());
        assert_eq!(prints[0], print("POST", "/a", "x", "wait=3", "[]"));
    }
}
