//! The border between the guest's values and the host's.
//!
//! Everything that a plugin returns is bounded and cleaned here, whatever the
//! plugin promised: one function a type, no state.

use std::collections::HashSet;

use muster_plugin_bindings::v0_1::exports::muster::roster::roster as guest;
use muster_plugin_bindings::v0_1::muster::roster::types;

use crate::limit::Limit;
use crate::refresh::{Changes, Failure, Outcome};
use crate::roster::{Contact, FetchError, Fetched, Subscription};
use crate::settings::Limits;

/// A bare JID is a localpart and a domain of at most 1,023 bytes and an `@`
/// (RFC 7622, section 3.1), and the whole is at most 3,071 bytes.
const JID_BYTES: usize = 3071;
/// Names of contacts and groups.
const NAME_BYTES: usize = 1023;
const VALIDATOR_BYTES: usize = 1024;
/// What a plugin may say about a malformed document.
const REASON_BYTES: usize = 512;

/// A guest's answer to `fetch` in the host's types; `reached` hears of limits.
pub(crate) fn fetched(
    answer: Result<guest::Fetched, guest::FetchError>,
    limits: &Limits,
    reached: &dyn Fn(Limit),
) -> Result<Fetched, FetchError> {
    match answer {
        Ok(types::Fetched::Unchanged) => Ok(Fetched::Unchanged),
        Ok(types::Fetched::Roster(list)) => contact_list(list, limits, reached),
        Err(error) => Err(fetch_error(error)),
    }
}

/// The same for one of many users.
pub(crate) fn listed(
    list: Result<types::ContactList, types::FetchError>,
    limits: &Limits,
    reached: &dyn Fn(Limit),
) -> Result<Fetched, FetchError> {
    match list {
        Ok(list) => contact_list(list, limits, reached),
        Err(error) => Err(fetch_error(error)),
    }
}

fn contact_list(
    list: types::ContactList,
    limits: &Limits,
    reached: &dyn Fn(Limit),
) -> Result<Fetched, FetchError> {
    if list.contacts.len() > limits.contacts {
        reached(Limit::Contacts);
        return Err(FetchError::TooLarge);
    }
    let offered = list.contacts.len();
    let contacts: Vec<_> = list
        .contacts
        .into_iter()
        .filter_map(|each| contact(each, limits, reached))
        .collect();
    let dropped = u32::try_from(offered - contacts.len()).unwrap_or(u32::MAX);
    Ok(Fetched::Roster {
        contacts,
        validator: list.validator.filter(|text| is_validator(text)),
        // A number for the log and a metric: a guest that lies does not spoil them.
        skipped: list.skipped.min(most(limits)).saturating_add(dropped),
    })
}

/// As many entries as a list may have.
fn most(limits: &Limits) -> u32 {
    u32::try_from(limits.contacts).unwrap_or(u32::MAX)
}

/// `None` drops a contact that cannot be one.
fn contact(contact: types::Contact, limits: &Limits, reached: &dyn Fn(Limit)) -> Option<Contact> {
    let jid = contact.jid;
    if jid.is_empty() || jid.len() > JID_BYTES || !is_xml(&jid) {
        return None;
    }
    Some(Contact {
        jid,
        name: contact.name.map(|name| clean(name, NAME_BYTES)),
        groups: group_set(contact.groups, limits.groups, reached),
        subscription: match contact.subscription {
            types::Subscription::None => Subscription::None,
            types::Subscription::To => Subscription::To,
            types::Subscription::From => Subscription::From,
            types::Subscription::Both => Subscription::Both,
        },
    })
}

/// At most `limit` groups, each clean, none empty, each once.
fn group_set(mut groups: Vec<String>, limit: usize, reached: &dyn Fn(Limit)) -> Vec<String> {
    for group in &mut groups {
        *group = clean(std::mem::take(group), NAME_BYTES);
    }
    groups.retain(|group| !group.is_empty());
    // The built-in plugin sorts them; then no comparison of all with all.
    if !groups.is_sorted_by(|one, next| one < next) {
        let mut seen = HashSet::with_capacity(groups.len());
        let unique: Vec<bool> = groups.iter().map(|group| seen.insert(group)).collect();
        let mut unique = unique.into_iter();
        groups.retain(|_| unique.next().unwrap_or_default());
    }
    if groups.len() > limit {
        reached(Limit::Groups);
        groups.truncate(limit);
    }
    groups
}

pub(crate) fn fetch_error(error: types::FetchError) -> FetchError {
    match error {
        types::FetchError::NotFound => FetchError::NotFound,
        types::FetchError::Unavailable => FetchError::Unavailable,
        types::FetchError::Timeout => FetchError::Timeout,
        types::FetchError::Status(status) => FetchError::Status(status),
        types::FetchError::Malformed(reason) => {
            let mut reason = clean(reason, REASON_BYTES);
            reason.retain(|c| !c.is_control());
            FetchError::Malformed(reason)
        }
        types::FetchError::TooLarge => FetchError::TooLarge,
        types::FetchError::Denied => FetchError::Denied,
    }
}

/// The outcome of a refresh as the guest's type.
pub(crate) fn outcome_to_guest(outcome: Outcome) -> types::Outcome {
    types::Outcome {
        username: outcome.username,
        online: outcome.online,
        result: outcome
            .result
            .map(changes_to_guest)
            .map_err(failure_to_guest),
    }
}

fn changes_to_guest(changes: Changes) -> types::ChangeCounts {
    types::ChangeCounts {
        added: changes.added,
        changed: changes.changed,
        removed: changes.removed,
    }
}

fn failure_to_guest(failure: Failure) -> types::Failure {
    let error = match failure {
        Failure::InvalidUsername => return types::Failure::InvalidUsername,
        Failure::Overloaded => return types::Failure::Overloaded,
        Failure::Held => {
            let text = "held by the guard against mass removal".to_owned();
            return types::Failure::Fetch(types::FetchError::Malformed(text));
        }
        Failure::Fetch(error) => error,
    };
    types::Failure::Fetch(match error {
        FetchError::Plugin(_) => return types::Failure::Plugin,
        FetchError::NotFound => types::FetchError::NotFound,
        FetchError::Unavailable => types::FetchError::Unavailable,
        FetchError::Timeout => types::FetchError::Timeout,
        FetchError::Status(status) => types::FetchError::Status(status),
        FetchError::Malformed(reason) => types::FetchError::Malformed(reason),
        FetchError::TooLarge => types::FetchError::TooLarge,
        FetchError::Denied => types::FetchError::Denied,
    })
}

/// The text without what XML cannot carry, cut at a character to at most
/// `bytes` bytes.
fn clean(mut text: String, bytes: usize) -> String {
    if !is_xml(&text) {
        text.retain(is_xml_char);
    }
    text.truncate(text.floor_char_boundary(bytes));
    text
}

/// Whether XML can carry every character of the text. Most texts have no byte
/// of the few characters that it cannot: those are below U+0020, or U+FFFE and
/// U+FFFF, which begin with EF.
fn is_xml(text: &str) -> bool {
    text.bytes().all(|b| b >= 0x20 && b != 0xEF) || text.chars().all(is_xml_char)
}

/// XML 1.0, production 2.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

/// What may come back in an `If-None-Match`: visible ASCII and spaces.
fn is_validator(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= VALIDATOR_BYTES
        && text.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
