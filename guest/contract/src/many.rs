//! The app's answer for many users at once: an object whose keys are the
//! usernames that were asked for and whose values are their rosters.
//!
//! Owns its syntax, and that one user's fault costs no other: a document that
//! cannot be read is everybody's error, a roster that is none, or too long, is
//! its user's. Who is not in the document is not known to the app; `null` says
//! that the app cannot tell that user's roster now.

use std::collections::HashMap;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::document::{self, Found, Text, Unreadable};
use crate::roster::{self, Entries, Overflow, ParsedRoster};
use crate::rosters::Roster;

/// What the document says of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// The whole list.
    Roster(ParsedRoster<'a>),
    /// The app cannot tell it now (`null`).
    Unavailable,
    /// What is there is no roster.
    NotARoster(Found),
    /// More contacts than allowed.
    TooManyContacts,
    /// Nothing: the app does not know this user.
    Unknown,
}

/// Why the document says nothing of anybody. Reach: the request.
#[derive(Debug, thiserror::Error)]
pub enum ManyError {
    /// Not a JSON document.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// JSON of another kind.
    #[error("the document must be an object of rosters, not {found}")]
    NotAnObject {
        /// What it is.
        found: Found,
    },
}

/// The question: a JSON array of the usernames.
#[must_use]
pub fn ask_for_many(usernames: &[String]) -> Vec<u8> {
    // Strings cannot fail to be written.
    serde_json::to_vec(usernames).unwrap_or_default()
}

/// Reads the app's answer: what it says of each of `usernames`, in their order.
/// Keys are compared as they are written; others than those that were asked for
/// are passed over, and for a key that is there twice the last value counts.
///
/// # Errors
///
/// Anything but one JSON object.
pub fn parse_many<'a>(
    document: &'a [u8],
    usernames: &[String],
    max_contacts: usize,
) -> Result<Vec<Told<'a>>, ManyError> {
    let (text, found) = document::open(document)?;
    match found {
        Found::Object | Found::Unknown => {}
        _ => return Err(ManyError::NotAnObject { found }),
    }
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(usernames.len());
    for (place, username) in usernames.iter().enumerate() {
        places.entry(username).or_insert(place);
    }
    let mut told = vec![Told::Unknown; usernames.len()];
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let many = Many {
        places: &places,
        max_contacts,
        told: &mut told,
    };
    let read = deserializer.deserialize_map(many);
    read.and_then(|()| deserializer.end())
        .map_err(Unreadable::Syntax)?;
    for (place, username) in usernames.iter().enumerate() {
        let first = places.get(username.as_str()).copied().unwrap_or(place);
        if first != place
            && let Some(same) = told.get(first).cloned()
            && let Some(entry) = told.get_mut(place)
        {
            *entry = same;
        }
    }
    Ok(told)
}

struct Many<'de, 'u> {
    places: &'u HashMap<&'u str, usize>,
    max_contacts: usize,
    told: &'u mut [Told<'de>],
}

impl<'de> Visitor<'de> for Many<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of rosters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(username)) = map.next_key()? {
            let place = self.places.get(&*username);
            let Some(entry) = place.and_then(|&place| self.told.get_mut(place)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let mut too_many = false;
            let entries = Entries {
                max_contacts: self.max_contacts,
                overflow: Overflow::IsSkipped,
                too_many: &mut too_many,
            };
            let found = map.next_value_seed(Roster(entries))?;
            *entry = match found {
                _ if too_many => Told::TooManyContacts,
                Ok(roster) => Told::Roster(roster::agree(roster)),
                Err(Found::Null) => Told::Unavailable,
                Err(found) => Told::NotARoster(found),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(usernames: &[&str]) -> Vec<String> {
        usernames.iter().map(|&name| name.to_owned()).collect()
    }

    /// What is told of john, marie and `a b`, in a word each; two contacts at
    /// most.
    #[track_caller]
    fn check(document: &str, expected: Result<[&str; 3], &str>) {
        let usernames = names(&["john", "marie", "a b"]);
        let told = parse_many(document.as_bytes(), &usernames, 2);
        let told = told.map_err(|error| error.to_string());
        let words = told.map(|told| told.iter().map(word).collect::<Vec<_>>());
        let expected = expected.map(|words| words.map(str::to_owned).to_vec());
        assert_eq!(words, expected.map_err(str::to_owned), "{document}");
    }

    fn word(told: &Told<'_>) -> String {
        match told {
            Told::Roster(roster) => {
                let jids = roster.contacts.iter().map(|contact| &*contact.jid);
                jids.collect::<Vec<_>>().join(" ")
            }
            Told::Unavailable => "unavailable".to_owned(),
            Told::NotARoster(found) => found.to_string(),
            Told::TooManyContacts => "too many".to_owned(),
            Told::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn each_user_is_told_apart() {
        check("{}", Ok(["unknown", "unknown", "unknown"]));
        check(
            r#"{"marie":{"b@x.test":{},"A@x.test":{}},"a b":{},"john":null}"#,
            Ok(["unavailable", "b@x.test A@x.test", ""]),
        );
        check(
            r#"{"john":[],"marie":"x","a b":7}"#,
            Ok(["an array", "a string", "a number"]),
        );
        check(
            r#"{"john":{"a@x.test":{},"b@x.test":{},"c@x.test":{}},"marie":{"a@x.test":{}}}"#,
            Ok(["too many", "a@x.test", "unknown"]),
        );
        // Others, those of another spelling, and what nobody has asked for.
        check(
            r#"{"John":{"a@x.test":{}},"john@x.test":{},"peter":[[{}]],"marie":{}}"#,
            Ok(["unknown", "", "unknown"]),
        );
        // An escape is the same name; the last value counts.
        check(
            r#"{"\u006aohn":{"a@x.test":{}},"marie":null,"marie":{"b@x.test":{}}}"#,
            Ok(["a@x.test", "b@x.test", "unknown"]),
        );
        // A bad contact costs no other.
        check(
            r#"{"john":{"b@x.test":{},"a@x.test":7}}"#,
            Ok(["b@x.test", "unknown", "unknown"]),
        );
    }

    #[test]
    fn a_document_that_cannot_be_read_tells_of_nobody() {
        let not = |what| format!("the document must be an object of rosters, not {what}");
        check("[]", Err(&not("an array")));
        check("null", Err(&not("null")));
        check("<html>", Err(&not("HTML or XML")));
        check("", Err("the document is empty"));
        let cut = "the document is not JSON: EOF while parsing an object at line 1 column 10";
        check(r#"{"john":{}"#, Err(cut));
        let more = "the document is not JSON: trailing characters at line 1 column 13";
        check(r#"{"john":{}} {}"#, Err(more));
    }

    #[test]
    fn who_is_asked_for_twice_is_told_twice() {
        let usernames = names(&["john", "marie", "john"]);
        let told = parse_many(br#"{"john":null}"#, &usernames, 9).expect("told");
        assert_eq!(told, [Told::Unavailable, Told::Unknown, Told::Unavailable]);
    }

    #[test]
    fn the_question_is_an_array() {
        assert_eq!(ask_for_many(&[]), b"[]");
        let body = ask_for_many(&names(&["john", "a\"b\n", "ä"]));
        assert_eq!(
            body,
            br#"["john","a\"b\n","#.iter().copied().chain("\"ä\"]".bytes()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn depth_costs_nothing() {
        for document in [
            "{\"john\":".repeat(500_000),
            format!(
                "{{\"john\":{}{}}}",
                "[".repeat(500_000),
                "]".repeat(500_000)
            ),
            format!(
                "{{\"else\":{}{}}}",
                "[".repeat(500_000),
                "]".repeat(500_000)
            ),
        ] {
            let _ = parse_many(document.as_bytes(), &names(&["john"]), 9);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(document in r#"[\[\]{}",:0-9a-cntfeu\\ud8 ]{0,40}"#) {
            let _ = parse_many(document.as_bytes(), &names(&["a", "b"]), 1);
        }

        #[test]
        fn each_is_told_what_a_document_alone_would_tell(
            users in prop::collection::btree_set("[a-z]{1,5}", 0..5),
            contacts in prop::collection::vec("[a-zA-Z]{1,3}", 0..6),
        ) {
            let entries: Vec<_> = contacts.iter().map(|name| format!("\"{name}@x.test\":{{}}")).collect();
            let document = format!("{{{}}}", entries.join(","));
            let parts: Vec<_> = users.iter().map(|user| format!("\"{user}\":{document}")).collect();
            let many = format!("{{{}}}", parts.join(","));
            let users: Vec<String> = users.into_iter().collect();
            let told = parse_many(many.as_bytes(), &users, 4).expect("told");
            prop_assert_eq!(told.len(), users.len());
            for told in told {
                match crate::parse_roster(document.as_bytes(), 4) {
                    Ok(roster) => prop_assert_eq!(told, Told::Roster(roster)),
                    Err(_) => prop_assert_eq!(told, Told::TooManyContacts),
                }
            }
        }
    }
}
