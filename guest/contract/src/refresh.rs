//! The body of `POST /roster_admin/refresh`: an array of usernames.
//!
//! Owns its syntax only. Whether an entry is a username is for the host to
//! say, entry by entry; a body that is not an array of strings is refused as a
//! whole, so that no app believes half of it.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};

use crate::document::{self, Found, Unreadable, Value};

/// How many usernames a request may have unless the operator says otherwise.
pub const DEFAULT_MAX_NAMES: usize = 10_000;

/// Why nothing is refreshed. Reach: the request.
#[derive(Debug, thiserror::Error)]
pub enum RefreshBodyError {
    /// Not a JSON document.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// JSON of another kind.
    #[error("the document must be an array of usernames, not {found}")]
    NotAnArray {
        /// What it is.
        found: Found,
    },
    /// An entry of another kind.
    #[error("entry {index} must be a username (a string), not {found}")]
    NotAString {
        /// Its place, from 0.
        index: usize,
        /// What it is.
        found: Found,
    },
    /// Too many at once.
    #[error("more than {limit} usernames in one request; send them in several")]
    TooManyNames {
        /// The bound.
        limit: usize,
    },
}

impl RefreshBodyError {
    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooManyNames { .. } => 413,
            Self::Unreadable(_) | Self::NotAnArray { .. } | Self::NotAString { .. } => 400,
        }
    }
}

/// The entries of the body, in order, as they are written: none is left out.
///
/// # Errors
///
/// Anything but one JSON array of at most `max_names` strings.
pub fn parse_refresh(body: &[u8], max_names: usize) -> Result<Vec<String>, RefreshBodyError> {
    let (text, found) = document::open(body)?;
    match found {
        Found::Array | Found::Unknown => {}
        _ => return Err(RefreshBodyError::NotAnArray { found }),
    }
    let mut fault = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let names = deserializer
        .deserialize_seq(Names {
            max_names,
            fault: &mut fault,
        })
        .and_then(|names| deserializer.end().map(|()| names));
    // A fault of the content ends the parser with an error of its own.
    match fault {
        Some(fault) => Err(fault),
        None => Ok(names.map_err(Unreadable::Syntax)?),
    }
}

struct Names<'f> {
    max_names: usize,
    fault: &'f mut Option<RefreshBodyError>,
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of usernames")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(entry) = seq.next_element()? {
            let fault = match entry {
                _ if names.len() == self.max_names => RefreshBodyError::TooManyNames {
                    limit: self.max_names,
                },
                Value::Text(name) => {
                    names.push(name.into_owned());
                    continue;
                }
                Value::Other(found) => RefreshBodyError::NotAString {
                    index: names.len(),
                    found,
                },
            };
            *self.fault = Some(fault);
            return Err(A::Error::custom("refused"));
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: impl AsRef<[u8]>, expected: Result<&[&str], (u16, &str)>) {
        let found = parse_refresh(body.as_ref(), 5);
        let found = found.map_err(|error| (error.status(), error.to_string()));
        let expected = expected.map(|names| names.iter().map(|&n| n.to_owned()).collect());
        assert_eq!(
            found,
            expected.map_err(|(status, text)| (status, text.to_owned()))
        );
    }

    #[test]
    fn an_array_of_strings_is_taken_as_it_is() {
        check("[]", Ok(&[]));
        check(r#"["john", "aaron"]"#, Ok(&["john", "aaron"]));
        check(
            r#" ["john","john","","..","\u0000","pa@example.test"] "#,
            Err((413, TOO_MANY)),
        );
        check(
            r#" ["john","john","","..","\u00e9"] "#,
            Ok(&["john", "john", "", "..", "é"]),
        );
    }

    const TOO_MANY: &str = "more than 5 usernames in one request; send them in several";

    /// The predecessor hung, or answered with a page of HTML.
    #[test]
    fn anything_but_an_array_of_strings_is_refused() {
        let not = |what| format!("the document must be an array of usernames, not {what}");
        check("{}", Err((400, &not("an object"))));
        check(r#"{"a":1}"#, Err((400, &not("an object"))));
        check("null", Err((400, &not("null"))));
        check(r#""john""#, Err((400, &not("a string"))));
        check("7", Err((400, &not("a number"))));
        check("<html>", Err((400, &not("HTML or XML"))));
        let entry =
            |index, what| format!("entry {index} must be a username (a string), not {what}");
        check(r#"["a",1]"#, Err((400, &entry(1, "a number"))));
        check("[null]", Err((400, &entry(0, "null"))));
        check("[{}]", Err((400, &entry(0, "an object"))));
        check(r#"["a",true]"#, Err((400, &entry(1, "a boolean"))));
        check(r#"[["a"]]"#, Err((400, &entry(0, "an array"))));
    }

    #[test]
    fn unreadable_bodies_are_refused() {
        check("", Err((400, "the document is empty")));
        check(" \n", Err((400, "the document is empty")));
        let not_json = |what| format!("the document is not JSON: {what}");
        check(
            r#"["a","#,
            Err((
                400,
                &not_json("EOF while parsing a value at line 1 column 5"),
            )),
        );
        check(
            r#"["a"] x"#,
            Err((400, &not_json("trailing characters at line 1 column 7"))),
        );
        check(
            r#"["a"]["b"]"#,
            Err((400, &not_json("trailing characters at line 1 column 6"))),
        );
        check(
            r#"["\ud800"]"#,
            Err((
                400,
                &not_json("unexpected end of hex escape at line 1 column 9"),
            )),
        );
        check(
            "john",
            Err((400, &not_json("expected value at line 1 column 1"))),
        );
        check(
            b"\xEF\xBB\xBF[]",
            Err((
                400,
                "the document starts with a byte order mark; send UTF-8 without one",
            )),
        );
        check(
            b"[\"\xFF\"]",
            Err((400, "the document is not UTF-8 (byte 2)")),
        );
    }

    #[test]
    fn depth_costs_nothing() {
        for depth in [100, 1_000_000] {
            let open = "[".repeat(depth);
            assert_eq!(
                parse_refresh(open.as_bytes(), 5).map_err(|e| e.status()),
                Err(400)
            );
            let closed = open + &"]".repeat(depth);
            assert_eq!(
                parse_refresh(closed.as_bytes(), 5).map_err(|e| e.status()),
                Err(400)
            );
        }
    }

    #[test]
    fn the_bound_is_on_entries() {
        let body = |n: usize| format!("[{}]", vec!["\"a\""; n].join(","));
        let parse = |n| parse_refresh(body(n).as_bytes(), DEFAULT_MAX_NAMES);
        assert_eq!(parse(10_000).map(|names| names.len()).ok(), Some(10_000));
        assert_eq!(parse(10_001).map_err(|e| e.status()), Err(413));
    }

    proptest! {
        #[test]
        fn every_array_of_strings_round_trips(names in prop::collection::vec("(?s).{0,20}", 0..20)) {
            let body = serde_json::to_vec(&names).expect("strings are JSON");
            prop_assert_eq!(parse_refresh(&body, 20).expect("an array of strings"), names);
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_refresh(&body, 5);
        }

        #[test]
        fn no_text_panics(body in r#"[\[\]{}",:0-9ntfeu\\ud8 ]{0,40}"#) {
            let _ = parse_refresh(body.as_bytes(), 5);
        }
    }
}
