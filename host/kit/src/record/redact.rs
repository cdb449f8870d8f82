//! Pseudonyms for all names in a recording, the same in all of it.
//!
//! The unit is the word, a run of letters and digits, so that what a plugin
//! does with names (putting a JID together, taking a name apart, writing it
//! into a URL) leads to the same pseudonyms as doing it with the names and
//! replacing them afterwards: `marie@example.test` and `Marie Curie` become
//! `p1@example.test` and `P1 P2`. A word that begins with a capital has a
//! pseudonym that does.
//!
//! In the app's documents every string is replaced, but for those under keys
//! that say what something is ([`KINDS`], and those that the operator names):
//! who is left out of a roster has a name as well. Numbers stay. Of requests
//! those words are replaced that are in a username, a JID, a name or one of the
//! documents, because the rest is the plugin's own text. A body that is no JSON
//! is left out.

use std::collections::{HashMap, HashSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use super::recording::{Exchange, Found, Listed, MALFORMED, Recording, Refresh, Together};

/// Keys whose values are words of the app and no names, if they look so.
const KINDS: [&str; 12] = [
    "__typename",
    "ask",
    "code",
    "error",
    "event",
    "kind",
    "role",
    "state",
    "status",
    "subscription",
    "type",
    "version",
];

/// What the protocol itself says.
const WORDS: [&str; 8] = [
    "both", "false", "from", "none", "null", "remove", "to", "true",
];

/// What may stand in a path as it is (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same recording for anybody's eyes. `asked` are users whose names may be
/// in requests.
pub(super) fn redacted(mut recording: Recording, asked: &[String], keep: &[String]) -> Recording {
    let mut names = Pseudonyms::of(&recording, keep);
    for username in asked {
        names.person(username);
    }
    for exchange in &mut recording.exchanges {
        exchange.body = exchange.body.take().and_then(|body| names.document(&body));
    }
    for exchange in &mut recording.exchanges {
        names.request(exchange);
    }
    for fetch in &mut recording.fetches {
        fetch.username = names.text(&fetch.username);
        names.found(&mut fetch.result);
    }
    for batch in &mut recording.batches {
        for username in &mut batch.usernames {
            *username = names.text(username);
        }
        match &mut batch.result {
            Together::Each(found) => found.iter_mut().for_each(|found| names.found(found)),
            Together::Error(error) => without_words(error),
        }
    }
    for refresh in &mut recording.refreshes {
        names.refresh(refresh);
    }
    recording.redacted = true;
    recording
}

/// Who is called how.
struct Pseudonyms {
    numbers: HashMap<String, usize>,
    /// Words that stay everywhere.
    open: HashSet<String>,
    /// Words of usernames and JIDs, by which documents may be keyed.
    people: HashSet<String>,
    kinds: HashSet<String>,
}

impl Pseudonyms {
    fn of(recording: &Recording, keep: &[String]) -> Self {
        let kinds = KINDS.iter().map(|key| (*key).to_owned());
        let mut names = Self {
            numbers: HashMap::new(),
            people: HashSet::new(),
            open: WORDS.iter().map(|word| (*word).to_owned()).collect(),
            kinds: kinds.chain(keep.iter().cloned()).collect(),
        };
        let about = &recording.about;
        names.open.extend(words(&about.domain));
        names.open.extend(words(&about.url));
        names
            .open
            .extend(words(about.rosters_url.as_deref().unwrap_or_default()));
        for (origin, _) in &about.origins {
            names.open.extend(words(origin));
        }
        names.open_kinds(recording);
        // Names go first: a user may be called like a word of the URL.
        for fetch in &recording.fetches {
            names.person(&fetch.username);
            names.people_of(&fetch.result);
        }
        for batch in &recording.batches {
            for username in &batch.usernames {
                names.person(username);
            }
            if let Together::Each(found) = &batch.result {
                found.iter().for_each(|found| names.people_of(found));
            }
        }
        for refresh in &recording.refreshes {
            for username in &refresh.usernames {
                names.person(username);
            }
        }
        names
    }

    /// What stays in documents has to stay in what was made of them.
    fn open_kinds(&mut self, recording: &Recording) {
        for exchange in &recording.exchanges {
            let document = exchange.body.as_deref().map(serde_json::from_str::<Value>);
            if let Some(Ok(document)) = document {
                self.open_kinds_in(&document, None);
            }
        }
    }

    fn open_kinds_in(&mut self, value: &Value, key: Option<&str>) {
        match value {
            Value::String(text)
                if key.is_some_and(|key| self.kinds.contains(key)) && is_kind(text) =>
            {
                self.open.extend(words(text));
            }
            Value::Array(values) => {
                for value in values {
                    self.open_kinds_in(value, key);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    self.open_kinds_in(value, Some(key));
                }
            }
            _ => {}
        }
    }

    /// The words of a name are never open.
    fn close(&mut self, name: &str) {
        for word in words(name) {
            self.open.remove(&word);
            self.number(word);
        }
    }

    fn person(&mut self, name: &str) {
        self.people.extend(words(name));
        self.close(name);
    }

    /// Who is in a list.
    fn people_of(&mut self, found: &Found) {
        let Found::List(list) = found else {
            return;
        };
        for contact in list {
            let local = contact.jid.split_once('@').map(|(local, _)| local);
            self.person(local.unwrap_or_default());
            self.close(contact.name.as_deref().unwrap_or_default());
        }
    }

    /// All names of a list replaced.
    fn found(&mut self, found: &mut Found) {
        match found {
            Found::List(list) => list.iter_mut().for_each(|it| self.listed(it)),
            Found::Error(error) => without_words(error),
            Found::Unchanged => {}
        }
    }

    fn number(&mut self, word: String) -> usize {
        let next = self.numbers.len() + 1;
        *self.numbers.entry(word).or_insert(next)
    }

    /// Every word replaced.
    fn text(&mut self, text: &str) -> String {
        self.replaced(text, |names, word| {
            let known = names.numbers.get(word).copied();
            // Digits are replaced only where they are somebody's name.
            let is_number = word.chars().all(|c| c.is_ascii_digit());
            known.or_else(|| (!is_number).then(|| names.number(word.to_owned())))
        })
    }

    /// The words that are known by now replaced.
    fn known_in(&mut self, text: &str) -> String {
        self.replaced(text, |names, word| names.numbers.get(word).copied())
    }

    /// The words of usernames and JIDs replaced.
    fn people_in(&mut self, text: &str) -> String {
        self.replaced(text, |names, word| {
            let number = names.numbers.get(word).copied();
            number.filter(|_| names.people.contains(word))
        })
    }

    fn replaced(
        &mut self,
        text: &str,
        mut number: impl FnMut(&mut Self, &str) -> Option<usize>,
    ) -> String {
        let mut replaced = String::with_capacity(text.len());
        for (is_word, piece) in pieces(text) {
            let small = piece.to_lowercase();
            let number = match is_word && !self.open.contains(&small) {
                true => number(self, &small),
                false => None,
            };
            match number {
                Some(number) if piece.starts_with(char::is_uppercase) => {
                    replaced.push_str(&format!("P{number}"));
                }
                Some(number) => replaced.push_str(&format!("p{number}")),
                None => replaced.push_str(piece),
            }
        }
        replaced
    }

    fn listed(&mut self, contact: &mut Listed) {
        contact.jid = self.text(&contact.jid);
        contact.name = contact.name.as_ref().map(|name| self.text(name));
        for group in &mut contact.groups {
            *group = self.text(group);
        }
    }

    /// A document of the app; `None` if it is none.
    fn document(&mut self, text: &str) -> Option<String> {
        if text.is_empty() {
            return Some(String::new());
        }
        let value: Value = serde_json::from_str(text).ok()?;
        Some(self.value(value, None).to_string())
    }

    fn value(&mut self, value: Value, key: Option<&str>) -> Value {
        match value {
            Value::String(text) => Value::String(match key {
                Some(key) if self.kinds.contains(key) && is_kind(&text) => text,
                _ => self.text(&text),
            }),
            Value::Array(values) => {
                Value::Array(values.into_iter().map(|it| self.value(it, key)).collect())
            }
            Value::Object(map) => Value::Object(self.object(map)),
            other => other,
        }
    }

    fn object(&mut self, map: Map<String, Value>) -> Map<String, Value> {
        let by_name = is_by_name(&map);
        let mut replaced = Map::new();
        for (key, value) in map {
            let value = self.value(value, Some(&key));
            let is_name = by_name || key.contains('@') || self.people.contains(&key.to_lowercase());
            let key = if is_name { self.text(&key) } else { key };
            replaced.insert(key, value);
        }
        replaced
    }

    fn request(&mut self, exchange: &mut Exchange) {
        exchange.target = self.target(&exchange.target);
        exchange.asked = match serde_json::from_str(&exchange.asked) {
            Ok(value) => self.asked(value).to_string(),
            Err(_) => self.known_in(&exchange.asked),
        };
        for (name, value) in &mut exchange.headers {
            if name == "location" {
                *value = self.target(value);
            }
        }
    }

    /// A document of the plugin's own: only what is known to be a name.
    fn asked(&mut self, value: Value) -> Value {
        match value {
            // The text of a query has words of the app's that are in documents too.
            Value::String(text) if text.contains('{') => Value::String(self.people_in(&text)),
            Value::String(text) => Value::String(self.known_in(&text)),
            Value::Array(values) => {
                Value::Array(values.into_iter().map(|it| self.asked(it)).collect())
            }
            Value::Object(map) => {
                let fields = map.into_iter();
                let fields = fields.map(|(key, value)| (key, self.asked(value)));
                Value::Object(fields.collect())
            }
            other => other,
        }
    }

    /// Whatever was escaped is compared unescaped, and escaped again.
    fn target(&mut self, target: &str) -> String {
        let mut replaced = String::with_capacity(target.len());
        for piece in target.split_inclusive(['/', '?', '&', '=', ':']) {
            let (piece, end) = match piece.strip_suffix(['/', '?', '&', '=', ':']) {
                Some(text) => piece.split_at(text.len()),
                None => (piece, ""),
            };
            let text = percent_decode_str(piece).decode_utf8_lossy();
            let text = self.known_in(&text);
            replaced.push_str(&utf8_percent_encode(&text, RESERVED).to_string());
            replaced.push_str(end);
        }
        replaced
    }

    fn refresh(&mut self, refresh: &mut Refresh) {
        refresh.target = self.target(&refresh.target);
        // Whatever else is there may be a signature, or somebody's address.
        refresh.headers.retain(|(name, _)| name == "content-type");
        refresh.body = refresh.body.take().and_then(|body| self.document(&body));
        for username in &mut refresh.usernames {
            *username = self.text(username);
        }
    }
}

/// What a plugin says beside an error may quote the app's document.
fn without_words(error: &mut String) {
    if error.starts_with(MALFORMED) {
        MALFORMED.clone_into(error);
    }
}

/// One word that an app would choose for a kind of something.
fn is_kind(text: &str) -> bool {
    text.len() <= 32
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Whether the keys of an object are names of things that are all alike.
fn is_by_name(map: &Map<String, Value>) -> bool {
    let mut shapes = map.values().map(|value| {
        let fields = value.as_object()?;
        Some(fields.keys().collect::<Vec<_>>())
    });
    match shapes.next() {
        Some(Some(first)) => map.len() > 1 && shapes.all(|shape| shape.as_ref() == Some(&first)),
        _ => false,
    }
}

/// The words of a text, in small letters.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = pieces(text).filter(|(is_word, _)| *is_word);
    words.map(|(_, word)| word.to_lowercase())
}

/// Runs of letters and digits, and what is between them.
fn pieces(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_word = rest.chars().next()?.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some((is_word, piece))
    })
}
