//! Reading a TOML document key by key while collecting everything that is wrong with it.
//!
//! Owns the walk over tables, the places of values and the bookkeeping of known keys; knows
//! nothing of what the keys mean. A section asks for its keys by name; a value that is wrong is
//! noted and its default taken, so that the walk goes on to the next fault. A key that nobody
//! asked for is unknown.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place, Position, Problem, Severity, nearest};
use super::quantity::Value;

/// A parsed file and what was found wrong with it so far.
pub(super) struct Document<'t> {
    text: &'t str,
    origin: &'t Path,
    root: Spanned<DeTable<'t>>,
    notes: RefCell<Notes>,
}

#[derive(Default)]
struct Notes {
    errors: Vec<Fault>,
    warnings: Vec<Fault>,
    /// Every key that was asked for, as a path without indices: `virtual_host.auth.kind`.
    known: BTreeSet<String>,
    /// Keys that nobody asked for; told at the end, when all of `known` is known.
    unknown: Vec<UnknownKey>,
}

struct UnknownKey {
    place: Place,
    name: String,
    siblings: Vec<&'static str>,
}

impl<'t> Document<'t> {
    pub(super) fn parse(text: &'t str, origin: &'t Path) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self {
            text,
            origin,
            root,
            notes: RefCell::default(),
        };
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().to_owned();
            let key = String::new();
            document.note(
                &Place { key, span },
                Problem::Syntax { message },
                Severity::Error,
            );
        }
        document
    }

    /// Whether the text is TOML.
    pub(super) fn is_sound(&self) -> bool {
        self.notes.borrow().errors.is_empty()
    }

    /// Reads the whole document with `read`.
    pub(super) fn root<T>(&self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let place = Place {
            key: String::new(),
            span: 0..0,
        };
        Section::new(self, place, String::new(), Some(self.root.get_ref())).read(read)
    }

    /// The errors and the warnings.
    pub(super) fn finish(self) -> (Vec<Fault>, Vec<Fault>) {
        let notes = self.notes.take();
        let mut errors = notes.errors;
        for UnknownKey {
            place,
            name,
            siblings,
        } in notes.unknown
        {
            let leaf = |path: &String| path.rsplit('.').next().unwrap_or_default().to_owned();
            let leaves: Vec<_> = notes.known.iter().map(leaf).collect();
            let similar = nearest(&name, leaves.iter().map(String::as_str));
            let elsewhere = notes.known.iter().zip(&leaves);
            let elsewhere = elsewhere.filter(|(_, leaf)| Some(leaf.as_str()) == similar);
            let problem = Problem::UnknownKey {
                nearest: nearest(&name, siblings.iter().copied()).map(str::to_owned),
                elsewhere: elsewhere.map(|(path, _)| path.clone()).next(),
                known: siblings.into_iter().map(str::to_owned).collect(),
            };
            errors.push(place.fault(self.text, self.origin, problem, Severity::Error));
        }
        (errors, notes.warnings)
    }

    /// The same of the keys that were asked for; the others are no matter.
    pub(super) fn finish_asked(self) -> (Vec<Fault>, Vec<Fault>) {
        let notes = self.notes.take();
        (notes.errors, notes.warnings)
    }

    /// The keys that were asked for, without indices.
    #[cfg(test)]
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.notes.borrow().known.clone()
    }

    fn note(&self, place: &Place, problem: Problem, severity: Severity) {
        let fault = place.fault(self.text, self.origin, problem, severity);
        let mut notes = self.notes.borrow_mut();
        match severity {
            Severity::Error => notes.errors.push(fault),
            Severity::Warning => notes.warnings.push(fault),
        }
    }
}

/// A value with its place, for rules that look at more than the value.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// One table while it is read. An absent table reads like an empty one.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    place: Place,
    /// The path without indices, as in `Notes::known`.
    path: String,
    table: Option<&'d DeTable<'d>>,
    asked: Vec<&'static str>,
}

impl<'d> Section<'d> {
    fn new(
        document: &'d Document<'d>,
        place: Place,
        path: String,
        table: Option<&'d DeTable<'d>>,
    ) -> Self {
        let asked = Vec::new();
        Self {
            document,
            place,
            path,
            table,
            asked,
        }
    }

    /// Runs `read` and then notes the keys that it did not ask for.
    fn read<T>(mut self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let result = read(&mut self);
        for key in self.table.iter().flat_map(|table| table.keys()) {
            if !self.asked.contains(&key.get_ref().as_ref()) {
                let unknown = UnknownKey {
                    place: self.place_of(key.get_ref(), key.span()),
                    name: key.get_ref().to_string(),
                    siblings: self.asked.clone(),
                };
                self.document.notes.borrow_mut().unknown.push(unknown);
            }
        }
        result
    }

    /// The value of `key`, or `default` if there is none or it is wrong.
    pub(super) fn value<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// As [`Self::value`], for values with an upper bound.
    pub(super) fn at_most<T>(&mut self, key: &'static str, default: T, maximum: T) -> T
    where
        T: Value + PartialOrd + Display,
    {
        match self.located::<T>(key) {
            Some(found) if found.value > maximum => {
                let maximum = maximum.to_string();
                self.error(&found.place, Problem::TooLarge { maximum });
                default
            }
            Some(found) => found.value,
            None => default,
        }
    }

    /// As [`Self::value`], for values with a lower bound.
    pub(super) fn at_least<T>(&mut self, key: &'static str, default: T, minimum: T) -> T
    where
        T: Value + PartialOrd + Display,
    {
        match self.located::<T>(key) {
            Some(found) if found.value < minimum => {
                let minimum = minimum.to_string();
                self.error(&found.place, Problem::TooSmall { minimum });
                default
            }
            Some(found) => found.value,
            None => default,
        }
    }

    /// Notes it if the first of two values, both with their keys, is more than the second: at the
    /// first key, or at the second where only that is in the file.
    pub(super) fn ordered<T>(
        &self,
        (key, value): (&'static str, T),
        (bound_key, bound): (&'static str, T),
        reason: &'static str,
    ) where
        T: PartialOrd + Display,
    {
        if value <= bound {
            return;
        }
        let (value, maximum) = (value.to_string(), bound.to_string());
        if self.has(key) || !self.has(bound_key) {
            self.error(
                &self.place(key),
                Problem::MoreThanAllowed {
                    bound_key,
                    maximum,
                    reason,
                },
            );
        } else {
            self.error(
                &self.place(bound_key),
                Problem::LessThanNeeded {
                    key,
                    value,
                    maximum,
                    reason,
                },
            );
        }
    }

    /// The value of `key` if there is a usable one.
    pub(super) fn optional<T: Value>(&mut self, key: &'static str) -> Option<T> {
        self.located(key).map(|found| found.value)
    }

    /// The value of `key`; that there is none is a fault, told with an `example`.
    pub(super) fn required<T: Value>(
        &mut self,
        key: &'static str,
        example: &'static str,
    ) -> Option<Located<T>> {
        if !self.has(key) {
            self.missing(key, example);
        }
        self.located(key)
    }

    /// Notes that `key` is missing.
    pub(super) fn missing(&self, key: &'static str, example: &'static str) {
        self.error(&self.place(key), Problem::Missing { example });
    }

    /// The value of `key`, if there is a usable one, with its place.
    pub(super) fn located<T: Value>(&mut self, key: &'static str) -> Option<Located<T>> {
        let value = self.ask(key)?;
        self.take(value, self.place(key))
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        accepted: &'static [&'static str],
        meanings: &[T],
    ) -> Option<T> {
        let Located { value: text, place } = self.located::<String>(key)?;
        let index = accepted.iter().position(|word| *word == text);
        let meaning = index.and_then(|index| meanings.get(index)).copied();
        if meaning.is_none() {
            self.error(&place, Problem::NotOneOf { text, accepted });
        }
        meaning
    }

    /// The elements of a list; `None` if there is none or an element of it is wrong.
    pub(super) fn list<T: Value>(&mut self, key: &'static str) -> Option<Vec<Located<T>>> {
        let value = self.ask(key)?;
        let place = self.place(key);
        let Some(array) = value.get_ref().as_array() else {
            let expected = "a list in brackets";
            let found = value.get_ref().type_str();
            self.error(&place, Problem::WrongType { expected, found });
            return None;
        };
        let element = |(index, element): (usize, &'d Spanned<DeValue<'d>>)| {
            let key = format!("{}[{index}]", place.key);
            self.take(
                element,
                Place {
                    key,
                    span: element.span(),
                },
            )
        };
        let elements: Vec<_> = array.iter().enumerate().map(element).collect();
        elements.into_iter().collect()
    }

    /// The pairs of a table whose keys are the operator's own words; `None` if there is no table
    /// or a value of it is wrong.
    pub(super) fn pairs<T: Value>(
        &mut self,
        key: &'static str,
    ) -> Option<Vec<(Located<String>, T)>> {
        let table = self.table_of(key)?;
        let place = self.place(key);
        let pair = |(name, value): (&'d Spanned<_>, &'d Spanned<DeValue<'d>>)| {
            let name: &Spanned<std::borrow::Cow<'d, str>> = name;
            let key = format!("{}.{}", place.key, name.get_ref());
            let found = self.take(
                value,
                Place {
                    key: key.clone(),
                    span: value.span(),
                },
            )?;
            let place = Place {
                key,
                span: name.span(),
            };
            let value = name.get_ref().to_string();
            Some((Located { value, place }, found.value))
        };
        let pairs: Vec<_> = table.iter().map(pair).collect();
        pairs.into_iter().collect()
    }

    /// The table at `key`, read with `read`.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let table = self.table_of(key);
        let path = self.path_of(key);
        Section::new(self.document, self.place(key), path, table).read(read)
    }

    /// The tables of the list at `key`, each read with `read`.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.ask(key) else {
            return Vec::new();
        };
        let place = self.place(key);
        let wrong = |place: &Place, found| {
            let expected = "a section in double brackets, such as [[virtual_host]]";
            self.error(place, Problem::WrongType { expected, found });
        };
        let Some(array) = value.get_ref().as_array() else {
            wrong(&place, value.get_ref().type_str());
            return Vec::new();
        };
        let mut results = Vec::with_capacity(array.len());
        for (index, element) in array.iter().enumerate() {
            let key_path = format!("{}[{index}]", place.key);
            let place = Place {
                key: key_path,
                span: element.span(),
            };
            match element.get_ref().as_table() {
                Some(table) => {
                    let section =
                        Section::new(self.document, place, self.path_of(key), Some(table));
                    results.push(section.read(&mut read));
                }
                None => wrong(&place, element.get_ref().type_str()),
            }
        }
        results
    }

    /// Whether the file has this table.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the file has `key`, usable or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where `key` is, or would have to be.
    pub(super) fn place(&self, key: &str) -> Place {
        let entry = self.table.and_then(|table| table.get(key));
        let span = entry.map_or_else(|| self.place.span.clone(), Spanned::span);
        self.place_of(key, span)
    }

    /// The line of `place`, to refer to it in another fault.
    pub(super) fn line(&self, place: &Place) -> usize {
        Position::of(place.span.start, self.document.text).line
    }

    /// `path` as the file means it: relative to the directory of the file.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        let directory = self.document.origin.parent().unwrap_or(Path::new(""));
        directory.join(path)
    }

    /// Notes an error.
    pub(super) fn error(&self, place: &Place, problem: Problem) {
        self.document.note(place, problem, Severity::Error);
    }

    /// Notes a warning.
    pub(super) fn warn(&self, place: &Place, problem: Problem) {
        self.document.note(place, problem, Severity::Warning);
    }

    fn ask(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
            let path = self.path_of(key);
            self.document.notes.borrow_mut().known.insert(path);
        }
        self.table?.get(key)
    }

    fn table_of(&mut self, key: &'static str) -> Option<&'d DeTable<'d>> {
        let value = self.ask(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            let expected = "a table";
            let found = value.get_ref().type_str();
            self.error(&self.place(key), Problem::WrongType { expected, found });
        }
        table
    }

    fn take<T: Value>(&self, value: &Spanned<DeValue<'_>>, place: Place) -> Option<Located<T>> {
        match T::read(value.get_ref()) {
            Ok(value) => Some(Located { value, place }),
            Err(problem) => {
                self.error(&place, problem);
                None
            }
        }
    }

    fn place_of(&self, key: &str, span: Range<usize>) -> Place {
        let key = joined(&self.place.key, key);
        Place { key, span }
    }

    fn path_of(&self, key: &str) -> String {
        joined(&self.path, key)
    }
}

fn joined(parent: &str, key: &str) -> String {
    match parent {
        "" => key.to_owned(),
        parent => format!("{parent}.{key}"),
    }
}
