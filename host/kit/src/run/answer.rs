//! The host's side of a refresh, and comparing how the plugin answered.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::Response;
use muster_plugin::{HandleError, Outcome, Refresher};
use parking_lot::Mutex;

use crate::fixture::{ExpectedAnswer, GivenOutcome};

/// Answers refreshes as the fixture says, and keeps whom they were about.
#[derive(Default)]
pub(crate) struct Host {
    outcomes: BTreeMap<String, GivenOutcome>,
    asked: Mutex<Vec<String>>,
}

impl Host {
    pub(super) fn new(outcomes: BTreeMap<String, GivenOutcome>) -> Self {
        Self {
            outcomes,
            asked: Mutex::default(),
        }
    }

    /// Whom the plugin has had refreshed, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Refresher for Host {
    fn refresh(
        &self,
        usernames: Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
        self.asked.lock().extend(usernames.iter().cloned());
        let outcomes = usernames.into_iter().map(|username| {
            let given = self.outcomes.get(&username).cloned().unwrap_or_default();
            given.of(username)
        });
        Box::pin(std::future::ready(outcomes.collect()))
    }
}

/// Each difference in a line.
pub(super) fn differences(
    expect: &ExpectedAnswer,
    answered: Result<Response<Bytes>, HandleError>,
    asked: &[String],
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(usernames) = &expect.usernames
        && usernames != asked
    {
        lines.push(format!(
            "expected a refresh of {usernames:?}, got one of {asked:?}"
        ));
    }
    let response = match answered {
        Ok(response) => response,
        Err(error) => {
            lines.push(format!("expected an answer, got none: {error}"));
            return lines;
        }
    };
    let status = response.status().as_u16();
    if let Some(expected) = expect.status.filter(|it| *it != status) {
        lines.push(format!("expected the status {expected}, got {status}"));
    }
    for (name, value) in &expect.headers {
        let found = response.headers().get(name);
        if found != Some(value) {
            let found = found.map_or("none".to_owned(), |it| format!("{it:?}"));
            lines.push(format!("expected the header {name} {value:?}, got {found}"));
        }
    }
    if let Some(body) = &expect.body
        && !body.matches(response.body())
    {
        let found = String::from_utf8_lossy(response.body());
        lines.push(format!("expected the body {body}, got {found}"));
    }
    lines
}
