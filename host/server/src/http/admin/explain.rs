//! What came of each user, written down for the caller: the member `users` of
//! the summary, whichever plugin wrote the summary.
//!
//! Owns the names in the JSON. What the plugin answered stays as it is, byte
//! for byte, up to its last brace; an answer that cannot take the member is
//! replaced by the summary of the built-in plugin.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use muster_contract::Summary;
use muster_plugin::{Failure, FetchError, Outcome, PluginFault, summary_of};
use serde::Serialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

use super::wishes::Wishes;
use super::{Answer, json};
use crate::rosters::{Entry, Mode, Preview, Provenance, Told, Verdict};

/// The response header (RFC 7240, section 3).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The members that an answer may get.
const OURS: [&str; 3] = ["users", "dry_run", "unlisted"];

/// The answer with what is wished beside it. A refused request says by itself
/// what is wrong with it, and stays as it is.
pub(super) fn explain(answer: Answer, told: &Told, wishes: &Wishes) -> Answer {
    if !wishes.details || !answer.status().is_success() {
        return answer;
    }
    let users: Vec<_> = told.entries.iter().map(User::of).collect();
    let users = serde_json::to_string(&users).unwrap_or_default();
    let mut extra = match wishes.mode {
        Mode::Real => format!("\"users\":{users}"),
        Mode::Dry => format!("\"dry_run\":true,\"users\":{users}"),
    };
    if told.unlisted > 0 {
        extra.push_str(&format!(",\"unlisted\":{}", told.unlisted));
    }
    let mut explained = match with_members(answer.body(), &extra) {
        Some(body) => answer.map(|_| body),
        None => {
            let body = with_members(&told.summary.to_json(), &extra).unwrap_or_default();
            json(StatusCode::OK, body)
        }
    };
    if wishes.details_preferred {
        applied(&mut explained, "return=representation");
    }
    explained
}

/// Says that a preference was honoured.
pub(super) fn applied(answer: &mut Answer, preference: &'static str) {
    let preference = HeaderValue::from_static(preference);
    answer.headers_mut().append(PREFERENCE_APPLIED, preference);
}

/// The summary that the built-in plugin would write.
pub(super) fn summary(outcomes: &[Outcome]) -> Summary {
    summary_of(outcomes.iter().map(|outcome| outcome.result.as_ref().err()))
}

/// `object` with further members at its end; `None` if it is no JSON object,
/// or has one of the names already.
fn with_members(object: &[u8], members: &str) -> Option<Bytes> {
    let known: HashMap<String, IgnoredAny> = serde_json::from_slice(object).ok()?;
    if OURS.iter().any(|name| known.contains_key(*name)) {
        return None;
    }
    let end = object.iter().rposition(|&byte| byte == b'}')?;
    let separator = if known.is_empty() { "" } else { "," };
    let mut body = object.get(..end)?.to_vec();
    body.extend_from_slice(separator.as_bytes());
    body.extend_from_slice(members.as_bytes());
    body.push(b'}');
    Some(body.into())
}

/// One entry, as it is told.
#[derive(Serialize, ToSchema)]
pub(super) struct User<'a> {
    username: &'a str,
    outcome: &'static str,
    added: u32,
    changed: u32,
    removed: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<Fault>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    contacts: Option<Contacts<'a>>,
}

/// Why there was no change.
#[derive(Serialize, ToSchema)]
struct Fault {
    class: &'static str,
    temporary: bool,
    message: String,
}

/// The contacts of a dry run.
#[derive(Serialize, ToSchema)]
struct Contacts<'a> {
    added: &'a [Box<str>],
    changed: &'a [Box<str>],
    removed: &'a [Box<str>],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl<'a> User<'a> {
    fn of(entry: &'a Entry) -> User<'a> {
        let changes = match &entry.verdict {
            Verdict::Updated(changes) => *changes,
            _ => muster_plugin::Changes::default(),
        };
        User {
            username: &entry.username,
            outcome: match &entry.verdict {
                Verdict::Updated(_) => "updated",
                Verdict::Unchanged => "unchanged",
                Verdict::Offline => "offline",
                Verdict::Failed(Failure::InvalidUsername) => "invalid",
                Verdict::Failed(Failure::Held) => "held",
                Verdict::Failed(Failure::Fetch(FetchError::NotFound)) => "not-found",
                Verdict::Failed(_) => "failed",
            },
            added: changes.added,
            changed: changes.changed,
            removed: changes.removed,
            source: entry.provenance.map(|provenance| match provenance {
                Provenance::App => "app",
                Provenance::Unchanged => "unchanged",
                Provenance::HandedIn => "pushed",
                Provenance::Kept => "stale",
            }),
            error: entry.failure().map(Fault::of),
            duration_ms: u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX),
            contacts: entry.preview.as_deref().map(Contacts::of),
        }
    }
}

impl<'a> Contacts<'a> {
    fn of(preview: &'a Preview) -> Contacts<'a> {
        Contacts {
            added: &preview.added,
            changed: &preview.changed,
            removed: &preview.removed,
            truncated: preview.truncated,
        }
    }
}

impl Fault {
    fn of(failure: &Failure) -> Fault {
        let (class, temporary) = class(failure);
        Fault {
            class,
            temporary,
            message: match failure {
                Failure::InvalidUsername => "the entry is not a username".to_owned(),
                Failure::Overloaded => "the server is overloaded or stops".to_owned(),
                Failure::Held => "held by the guard against mass removal".to_owned(),
                Failure::Fetch(error) => error.to_string(),
            },
        }
    }
}

/// The class of a failure, and whether the same request may succeed later
/// without anybody changing anything.
fn class(failure: &Failure) -> (&'static str, bool) {
    let error = match failure {
        Failure::InvalidUsername => return ("invalid-username", false),
        Failure::Overloaded => return ("overloaded", true),
        Failure::Held => return ("held", true),
        Failure::Fetch(error) => error,
    };
    match error {
        FetchError::NotFound => ("not-found", false),
        FetchError::Unavailable => ("unavailable", true),
        FetchError::Timeout => ("timeout", true),
        FetchError::Status(status) => ("status", matches!(status, 408 | 425 | 429 | 500..)),
        FetchError::Malformed(_) => ("malformed", false),
        FetchError::TooLarge => ("too-large", false),
        FetchError::Denied => ("denied", false),
        FetchError::Plugin(PluginFault::Overloaded | PluginFault::Stopped) => ("overloaded", true),
        FetchError::Plugin(_) => ("plugin", true),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use muster_plugin::Changes;

    fn entry(verdict: Verdict) -> Entry {
        Entry {
            username: "john".to_owned(),
            verdict,
            provenance: None,
            took: Duration::from_millis(7),
            preview: None,
        }
    }

    fn told(entries: &[Entry]) -> Told {
        Told {
            entries: entries.to_vec(),
            unlisted: 0,
            summary: summary_of(entries.iter().map(Entry::failure)),
        }
    }

    fn wishes(mode: Mode) -> Wishes {
        Wishes {
            details: true,
            details_preferred: true,
            mode,
            ..Wishes::default()
        }
    }

    fn explained(body: &'static str, entries: &[Entry], mode: Mode) -> String {
        let answer = json(StatusCode::OK, Bytes::from_static(body.as_bytes()));
        let answer = explain(answer, &told(entries), &wishes(mode));
        let applied = answer.headers().get(PREFERENCE_APPLIED);
        assert_eq!(applied.unwrap(), "return=representation");
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    }

    #[test]
    fn the_plugins_words_stay_as_they_are() {
        for (body, expected) in [
            ("{}", "{\"users\":[]}"),
            (
                " {\"b\" : 1, \"a\":{}} \n",
                " {\"b\" : 1, \"a\":{},\"users\":[]}",
            ),
            (
                "{\"status\":\"ok\",\"message\":\"}\",\"updated\":0,\"errors\":0}",
                "{\"status\":\"ok\",\"message\":\"}\",\"updated\":0,\"errors\":0,\"users\":[]}",
            ),
        ] {
            assert_eq!(explained(body, &[], Mode::Real), expected);
        }
        let dry = explained("{\"a\":1}", &[], Mode::Dry);
        assert_eq!(dry, "{\"a\":1,\"dry_run\":true,\"users\":[]}");
    }

    #[test]
    fn an_answer_that_cannot_take_it_is_replaced() {
        let entries = [
            entry(Verdict::Offline),
            entry(Verdict::Failed(Failure::Overloaded)),
        ];
        for body in ["", "done", "[]", "{\"users\":7}", "{", "null"] {
            let body = explained(body, &entries, Mode::Real);
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!((&body["updated"], &body["errors"]), (&1.into(), &1.into()));
            assert_eq!(body["users"].as_array().unwrap().len(), 2);
        }
    }

    #[test]
    fn how_many_are_not_listed_is_told() {
        let answer = json(StatusCode::OK, Bytes::from_static(b"{}"));
        let told = Told {
            unlisted: 7,
            ..told(&[])
        };
        let answer = explain(answer, &told, &wishes(Mode::Real));
        assert_eq!(*answer.body(), "{\"users\":[],\"unlisted\":7}");
    }

    #[test]
    fn nobody_is_told_what_was_not_asked_for() {
        let plain = || json(StatusCode::OK, Bytes::from_static(b"{}"));
        let same = explain(
            plain(),
            &told(&[entry(Verdict::Offline)]),
            &Wishes::default(),
        );
        assert_eq!(
            (same.body(), same.headers()),
            (plain().body(), plain().headers())
        );
        let refused = super::super::error(StatusCode::BAD_REQUEST, "no");
        let body = refused.body().clone();
        let same = explain(refused, &told(&[]), &wishes(Mode::Dry));
        assert_eq!(*same.body(), body);
    }

    #[test]
    fn every_outcome_has_its_word() {
        let changes = Changes {
            added: 1,
            changed: 2,
            removed: 3,
        };
        let failed = |error| entry(Verdict::Failed(Failure::Fetch(error)));
        for (entry, expected) in [
            (
                Entry {
                    provenance: Some(Provenance::App),
                    ..entry(Verdict::Updated(changes))
                },
                r#"{"username":"john","outcome":"updated","added":1,"changed":2,"removed":3,"source":"app","duration_ms":7}"#,
            ),
            (
                Entry {
                    provenance: Some(Provenance::Unchanged),
                    preview: Some(Arc::new(Preview {
                        added: vec!["a@x".into()],
                        truncated: true,
                        ..Preview::default()
                    })),
                    ..entry(Verdict::Unchanged)
                },
                r#"{"username":"john","outcome":"unchanged","added":0,"changed":0,"removed":0,"source":"unchanged","duration_ms":7,"contacts":{"added":["a@x"],"changed":[],"removed":[],"truncated":true}}"#,
            ),
            (
                entry(Verdict::Offline),
                r#"{"username":"john","outcome":"offline","added":0,"changed":0,"removed":0,"duration_ms":7}"#,
            ),
            (
                failed(FetchError::NotFound),
                r#"{"username":"john","outcome":"not-found","added":0,"changed":0,"removed":0,"error":{"class":"not-found","temporary":false,"message":"the app does not know this user"},"duration_ms":7}"#,
            ),
            (
                entry(Verdict::Failed(Failure::InvalidUsername)),
                r#"{"username":"john","outcome":"invalid","added":0,"changed":0,"removed":0,"error":{"class":"invalid-username","temporary":false,"message":"the entry is not a username"},"duration_ms":7}"#,
            ),
            (
                failed(FetchError::Status(503)),
                r#"{"username":"john","outcome":"failed","added":0,"changed":0,"removed":0,"error":{"class":"status","temporary":true,"message":"the app answered with status 503"},"duration_ms":7}"#,
            ),
        ] {
            let told = serde_json::to_string(&User::of(&entry)).unwrap();
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn what_may_pass_by_itself_is_temporary() {
        let fetch = Failure::Fetch;
        for (failure, class_, temporary) in [
            (fetch(FetchError::Unavailable), "unavailable", true),
            (fetch(FetchError::Timeout), "timeout", true),
            (fetch(FetchError::Status(429)), "status", true),
            (fetch(FetchError::Status(403)), "status", false),
            (
                fetch(FetchError::Malformed(String::new())),
                "malformed",
                false,
            ),
            (fetch(FetchError::TooLarge), "too-large", false),
            (fetch(FetchError::Denied), "denied", false),
            (fetch(FetchError::Plugin(PluginFault::Trap)), "plugin", true),
            (
                fetch(FetchError::Plugin(PluginFault::Stopped)),
                "overloaded",
                true,
            ),
            (Failure::Overloaded, "overloaded", true),
        ] {
            assert_eq!(class(&failure), (class_, temporary));
        }
    }
}
