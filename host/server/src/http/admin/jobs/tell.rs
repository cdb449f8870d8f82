//! What is told of a job: the four keys of the summary, and how it stands.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use muster_xmpp::datetime;
use serde::Serialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

use super::id::Id;
use super::table::State;
use crate::http::admin::{Answer, json};
use crate::rosters::Progress;

/// How a job stands at a moment.
pub(super) struct Told {
    pub(super) id: Id,
    pub(super) state: State,
    pub(super) progress: Progress,
    pub(super) created: SystemTime,
    pub(super) started: Option<SystemTime>,
    pub(super) finished: Option<SystemTime>,
    pub(super) answer: Option<Answer>,
}

/// A job: how it stands, and once it is done its `answer`, with `code` and `body`.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(in crate::http::admin) struct Document {
    status: &'static str,
    message: &'static str,
    updated: usize,
    errors: usize,
    job: String,
    state: &'static str,
    total: Option<usize>,
    done: usize,
    created: String,
    started: Option<String>,
    finished: Option<String>,
}

impl Told {
    /// 202, for the one who asked.
    pub(super) fn accepted(&self) -> Answer {
        let mut answer = json(StatusCode::ACCEPTED, self.document());
        let location = format!("/roster_admin/jobs/{}", self.id);
        if let Ok(location) = HeaderValue::try_from(location) {
            answer.headers_mut().insert(header::LOCATION, location);
        }
        answer
    }

    /// 200, for who wants to know.
    pub(super) fn answer(&self) -> Answer {
        let mut answer = json(StatusCode::OK, self.document());
        let no_store = HeaderValue::from_static("no-store");
        answer.headers_mut().insert(header::CACHE_CONTROL, no_store);
        answer
    }

    /// The JSON; with the whole answer if there is one.
    pub(super) fn document(&self) -> Bytes {
        let failed = self
            .answer
            .as_ref()
            .is_some_and(|answer| !answer.status().is_success());
        let document = Document {
            status: match self.state {
                State::Cut => "error",
                _ if failed => "error",
                _ => "ok",
            },
            message: match self.state {
                State::Queued => "the job waits for its turn",
                State::Running => "the job is under way",
                State::Done => "the job is done",
                State::Cancelled => "the job was cancelled; what was done before stays done",
                State::Cut => "the server stopped before the job was done",
            },
            updated: self.progress.updated,
            errors: self.progress.errors,
            job: self.id.to_string(),
            state: self.state.name(),
            total: self.progress.total,
            done: self.progress.done(),
            created: utc(self.created),
            started: self.started.map(utc),
            finished: self.finished.map(utc),
        };
        let mut text = serde_json::to_vec(&document).unwrap_or_default();
        if let Some(answer) = &self.answer {
            text.pop();
            text.extend_from_slice(b",\"answer\":{\"code\":");
            text.extend_from_slice(answer.status().as_str().as_bytes());
            text.extend_from_slice(b",\"body\":");
            text.extend_from_slice(&body(answer));
            text.extend_from_slice(b"}}");
        }
        text.into()
    }
}

/// The body as JSON: as it is, or as a string if it is something else.
fn body(answer: &Answer) -> Vec<u8> {
    let body = answer.body();
    match serde_json::from_slice::<IgnoredAny>(body) {
        // Line breaks would end a line of an event.
        Ok(_) => body
            .iter()
            .map(|&byte| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    byte
                }
            })
            .collect(),
        Err(_) => serde_json::to_vec(&String::from_utf8_lossy(body)).unwrap_or_default(),
    }
}

fn utc(moment: SystemTime) -> String {
    datetime::utc(moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::super::id::Boot;
    use super::*;

    fn told(state: State, body: Option<&'static str>) -> (Id, String) {
        let id = Id::new(Boot::new().unwrap()).unwrap();
        let told = Told {
            id,
            state,
            progress: Progress {
                total: Some(5),
                updated: 2,
                errors: 1,
            },
            created: UNIX_EPOCH,
            started: Some(UNIX_EPOCH + Duration::from_secs(1)),
            finished: None,
            answer: body.map(|body| json(StatusCode::OK, Bytes::from_static(body.as_bytes()))),
        };
        (id, String::from_utf8(told.document().to_vec()).unwrap())
    }

    #[test]
    fn the_four_keys_come_first() {
        let (id, text) = told(State::Running, None);
        let expected = format!(
            r#"{{"status":"ok","message":"the job is under way","updated":2,"errors":1,"job":"{id}","state":"running","total":5,"done":3,"created":"1970-01-01T00:00:00Z","started":"1970-01-01T00:00:01Z","finished":null}}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn the_answer_is_told_as_it_was() {
        for (body, expected) in [
            (
                "{\"b\":1,\n\"a\":2}",
                r#","answer":{"code":200,"body":{"b":1, "a":2}}}"#,
            ),
            (
                "so \"it\" is",
                r#","answer":{"code":200,"body":"so \"it\" is"}}"#,
            ),
            ("", r#","answer":{"code":200,"body":""}}"#),
        ] {
            let (_, text) = told(State::Done, Some(body));
            assert!(text.ends_with(expected), "{text}");
            assert!(
                serde_json::from_str::<serde_json::Value>(&text).is_ok(),
                "{text}"
            );
        }
    }
}
