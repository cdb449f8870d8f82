//! The value of one entry: what the app says about a contact.
//!
//! Owns the shapes that are understood. Every shape of JSON is read to its
//! end, so that the entries after a bad one are still found.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Subscription;
use crate::document::{Text, Value};
use crate::text;

/// An entry; `Bad` for one that makes no contact.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<'de> {
    Contact {
        name: Option<Cow<'de, str>>,
        groups: Vec<Cow<'de, str>>,
        subscription: Subscription,
    },
    Bad,
}

impl Entry<'_> {
    /// A contact of whom nothing is said.
    fn bare() -> Self {
        Self::Contact {
            name: None,
            groups: Vec::new(),
            subscription: Subscription::default(),
        }
    }
}

/// A field of an entry, as far as it can be used.
enum Field<'de> {
    Null,
    Text(Cow<'de, str>),
    /// The elements of an array of strings.
    Texts(Vec<Cow<'de, str>>),
    /// The keys of an object.
    Keys(Vec<Cow<'de, str>>),
    /// Numbers, booleans, arrays of anything but strings.
    Other,
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a contact")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // As everywhere in JSON: of a field that is there twice, the last counts.
        let (mut name, mut groups, mut subscription) = (Field::Null, Field::Null, Field::Null);
        while let Some(Text(field)) = map.next_key()? {
            match &*field {
                "name" => name = map.next_value()?,
                "groups" => groups = map.next_value()?,
                "subscription" => subscription = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(entry(name, groups, subscription).unwrap_or(Entry::Bad))
    }

    /// COMPAT: PHP writes an empty object as `[]`.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if seq.next_element::<IgnoredAny>()?.is_none() {
            return Ok(Entry::bare());
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Entry::Bad)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Entry::Bad)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Entry::Bad)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Entry::Bad)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Entry::Bad)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Entry::Bad)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Entry::Bad)
    }
}

/// `None` if a field is of the wrong kind.
fn entry<'de>(
    name: Field<'de>,
    groups: Field<'de>,
    subscription: Field<'de>,
) -> Option<Entry<'de>> {
    let name = match name {
        Field::Null => None,
        Field::Text(name) => Some(text::label(name)).filter(|name| !name.is_empty()),
        Field::Texts(_) | Field::Keys(_) | Field::Other => return None,
    };
    let groups = match groups {
        Field::Null => Vec::new(),
        // COMPAT: old apps send an object whose keys are the groups.
        Field::Texts(groups) | Field::Keys(groups) => groups,
        Field::Text(_) | Field::Other => return None,
    };
    let subscription = match subscription {
        Field::Null => Subscription::default(),
        Field::Text(text) => match &*text {
            "none" => Subscription::None,
            "to" => Subscription::To,
            "from" => Subscription::From,
            "both" => Subscription::Both,
            _ => return None,
        },
        Field::Texts(_) | Field::Keys(_) | Field::Other => return None,
    };
    Some(Entry::Contact {
        name,
        groups: set_of(groups),
        subscription,
    })
}

/// Groups are a set (RFC 6121, section 2.1.2.6): sorted, each once, none empty.
fn set_of(groups: Vec<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    let mut groups: Vec<_> = groups.into_iter().map(text::label).collect();
    groups.retain(|group| !group.is_empty());
    groups.sort_unstable();
    groups.dedup();
    groups
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        let mut all_texts = true;
        while let Some(element) = seq.next_element()? {
            match element {
                Value::Text(text) => texts.push(text),
                Value::Other(_) => all_texts = false,
            }
        }
        Ok(if all_texts {
            Field::Texts(texts)
        } else {
            Field::Other
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some((Text(key), IgnoredAny)) = map.next_entry()? {
            keys.push(key);
        }
        Ok(Field::Keys(keys))
    }
}
