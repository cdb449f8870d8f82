//! The rosters that the app hands in by itself: an object whose keys are
//! usernames and whose values are the documents that the app would answer.
//!
//! Owns its syntax only. Whether a key is a username is for the host to say,
//! entry by entry; a body that is not an object of rosters is refused as a
//! whole, so that no app believes half of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::document::{self, Found, Text, Unreadable};
use crate::roster::{self, Entries, Overflow, ParsedRoster};

/// Why nothing is taken. Reach: the request.
#[derive(Debug, thiserror::Error)]
pub enum RostersError {
    /// Not a JSON document.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// JSON of another kind.
    #[error("the document must be an object of rosters, not {found}")]
    NotAnObject {
        /// What it is.
        found: Found,
    },
    /// A roster of another kind.
    #[error("entry {index} must be a roster (an object of contacts), not {found}")]
    NotARoster {
        /// Its place, from 0.
        index: usize,
        /// What it is.
        found: Found,
    },
    /// Too many at once.
    #[error("more than {limit} rosters in one request; send them in several")]
    TooManyRosters {
        /// The bound.
        limit: usize,
    },
    /// One that is too long.
    #[error("entry {index} has more than {limit} contacts")]
    TooManyContacts {
        /// Its place, from 0.
        index: usize,
        /// The bound.
        limit: usize,
    },
}

impl RostersError {
    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooManyRosters { .. } | Self::TooManyContacts { .. } => 413,
            Self::Unreadable(_) | Self::NotAnObject { .. } | Self::NotARoster { .. } => 400,
        }
    }
}

/// One entry: the key as it is written, and the contacts.
pub type HandedIn<'a> = (Cow<'a, str>, ParsedRoster<'a>);

/// The entries of the body, in order: none is left out, also not of those that
/// are there twice.
///
/// # Errors
///
/// Anything but one JSON object of at most `max_rosters` objects with at most
/// `max_contacts` entries each.
pub fn parse_rosters(
    body: &[u8],
    max_rosters: usize,
    max_contacts: usize,
) -> Result<Vec<HandedIn<'_>>, RostersError> {
    let (text, found) = document::open(body)?;
    match found {
        Found::Object | Found::Unknown => {}
        _ => return Err(RostersError::NotAnObject { found }),
    }
    let mut fault = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let rosters = deserializer
        .deserialize_map(Rosters {
            max_rosters,
            max_contacts,
            fault: &mut fault,
        })
        .and_then(|rosters| deserializer.end().map(|()| rosters));
    // A fault of the content ends the parser with an error of its own.
    match fault {
        Some(fault) => Err(fault),
        None => Ok(rosters.map_err(Unreadable::Syntax)?),
    }
}

struct Rosters<'f> {
    max_rosters: usize,
    max_contacts: usize,
    fault: &'f mut Option<RostersError>,
}

impl<'de> Visitor<'de> for Rosters<'_> {
    type Value = Vec<HandedIn<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of rosters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut rosters: Self::Value = Vec::new();
        while let Some(Text(username)) = map.next_key()? {
            let index = rosters.len();
            let mut too_many = false;
            let fault = if index == self.max_rosters {
                RostersError::TooManyRosters {
                    limit: self.max_rosters,
                }
            } else {
                let entries = Entries {
                    max_contacts: self.max_contacts,
                    overflow: Overflow::Ends,
                    too_many: &mut too_many,
                };
                match map.next_value_seed(Roster(entries)) {
                    Ok(Ok(roster)) => {
                        rosters.push((username, roster::agree(roster)));
                        continue;
                    }
                    Ok(Err(found)) => RostersError::NotARoster { index, found },
                    Err(_) if too_many => RostersError::TooManyContacts {
                        index,
                        limit: self.max_contacts,
                    },
                    Err(error) => return Err(error),
                }
            };
            *self.fault = Some(fault);
            return Err(A::Error::custom("refused"));
        }
        Ok(rosters)
    }
}

/// One roster, or the kind of what is there instead.
pub(crate) struct Roster<'f>(pub(crate) Entries<'f>);

impl<'de> DeserializeSeed<'de> for Roster<'_> {
    type Value = Result<ParsedRoster<'de>, Found>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Roster<'_> {
    type Value = Result<ParsedRoster<'de>, Found>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of contacts")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.visit_map(map).map(Ok)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(Found::Array))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Err(Found::String))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Err(Found::Boolean))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Err(Found::Number))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Err(Found::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Err(Found::Number))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Err(Found::Null))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A user and the JIDs of the contacts.
    type Shown<'a> = (&'a str, &'a [&'a str]);

    /// Three rosters of two contacts at most.
    #[track_caller]
    fn check(body: &str, expected: Result<&[Shown<'_>], (u16, &str)>) {
        let found = parse_rosters(body.as_bytes(), 3, 2);
        let found = found.map_err(|error| (error.status(), error.to_string()));
        let jids = |roster: &ParsedRoster<'_>| -> Vec<String> {
            let jids = roster
                .contacts
                .iter()
                .map(|contact| contact.jid.to_string());
            jids.collect()
        };
        let found = found.map(|rosters| {
            let shown = rosters
                .iter()
                .map(|(user, list)| (user.to_string(), jids(list)));
            shown.collect::<Vec<_>>()
        });
        let expected = expected.map(|rosters| {
            let owned = |(user, list): &(&str, &[&str])| {
                let list = list.iter().map(|&jid| jid.to_owned()).collect();
                ((*user).to_owned(), list)
            };
            rosters.iter().map(owned).collect()
        });
        assert_eq!(
            found,
            expected.map_err(|(status, text)| (status, text.to_owned())),
            "{body}"
        );
    }

    #[test]
    fn an_object_of_rosters_is_taken_as_it_is() {
        check("{}", Ok(&[]));
        check(r#"{"john":{}}"#, Ok(&[("john", &[])]));
        check(
            r#"{"john":{"b@x.test":{},"A@x.test":{"name":"A"}},"a b":{"c@x.test":{}}}"#,
            Ok(&[("john", &["b@x.test", "A@x.test"]), ("a b", &["c@x.test"])]),
        );
        // Twice the same is for the host to put in order.
        check(
            r#"{"john":{"a@x.test":{}},"john":{"b@x.test":{}}}"#,
            Ok(&[("john", &["a@x.test"]), ("john", &["b@x.test"])]),
        );
        // A bad contact costs the user no other.
        check(
            r#"{"john":{"a@x.test":7,"b@x.test":{}}}"#,
            Ok(&[("john", &["b@x.test"])]),
        );
    }

    #[test]
    fn anything_else_is_refused_as_a_whole() {
        let document = |what| format!("the document must be an object of rosters, not {what}");
        check("[]", Err((400, &document("an array"))));
        check("null", Err((400, &document("null"))));
        check(r#"["john"]"#, Err((400, &document("an array"))));
        check("<html>", Err((400, &document("HTML or XML"))));
        let entry = |index, what| {
            format!("entry {index} must be a roster (an object of contacts), not {what}")
        };
        check(r#"{"john":[]}"#, Err((400, &entry(0, "an array"))));
        check(r#"{"john":null}"#, Err((400, &entry(0, "null"))));
        check(r#"{"a":{},"b":"x"}"#, Err((400, &entry(1, "a string"))));
        check(r#"{"a":true}"#, Err((400, &entry(0, "a boolean"))));
        check(r#"{"a":-1.5}"#, Err((400, &entry(0, "a number"))));
        check("", Err((400, "the document is empty")));
        let cut = "the document is not JSON: EOF while parsing an object at line 1 column 12";
        check(r#"{"john":{}  "#, Err((400, cut)));
    }

    #[test]
    fn the_bounds_are_on_rosters_and_on_contacts_of_each() {
        check(
            r#"{"a":{},"b":{},"c":{},"d":{}}"#,
            Err((
                413,
                "more than 3 rosters in one request; send them in several",
            )),
        );
        check(
            r#"{"a":{},"b":{"a@x.test":{},"b@x.test":{},"c@x.test":{}}}"#,
            Err((413, "entry 1 has more than 2 contacts")),
        );
    }

    #[test]
    fn depth_costs_nothing() {
        for body in [
            "{\"a\":".repeat(500_000),
            format!("{{\"a\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000)),
        ] {
            let status = parse_rosters(body.as_bytes(), 3, 2).map_err(|error| error.status());
            assert_eq!(status.map(|_| ()), Err(400));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(body in r#"[\[\]{}",:0-9ntfeu\\ud8 ]{0,40}"#) {
            let _ = parse_rosters(body.as_bytes(), 3, 2);
        }

        #[test]
        fn a_batch_holds_what_its_documents_hold(
            names in prop::collection::vec("[a-z]{1,5}", 0..3),
            contacts in prop::collection::vec("[a-zA-Z]{1,3}", 0..4),
        ) {
            let entries: Vec<_> = contacts.iter().map(|name| format!("\"{name}@x.test\":{{}}")).collect();
            let document = format!("{{{}}}", entries.join(","));
            let alone = crate::parse_roster(document.as_bytes(), 9).expect("a roster");
            let parts: Vec<_> = names.iter().map(|name| format!("\"{name}\":{document}")).collect();
            let body = format!("{{{}}}", parts.join(","));
            let batch = parse_rosters(body.as_bytes(), 3, 9).expect("rosters");
            prop_assert_eq!(batch.len(), names.len());
            for ((username, roster), name) in batch.iter().zip(&names) {
                prop_assert_eq!(username, name);
                prop_assert_eq!(roster, &alone);
            }
        }
    }
}
