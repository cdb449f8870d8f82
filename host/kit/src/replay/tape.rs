//! The app's answers from a recording, or from what just passed.
//!
//! Owns which answer belongs to a request: of those to the same question
//! (method, target unescaped, body, validator), the last one before the moment
//! to which the tape is wound.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use muster_plugin::Origin;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;

use crate::record::{Exchange, Settings};
use crate::stage::{Answer, Answering, App};

/// Answers of an app, by question and time.
#[derive(Default)]
pub struct Tape {
    settings: Settings,
    // Held for moments, never across await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    exchanges: VecDeque<Exchange>,
    bytes: usize,
    now: u64,
    missed: Option<String>,
}

impl Tape {
    /// One that has all of these, in order. `settings` are those that have their
    /// names in them.
    pub fn new(exchanges: Vec<Exchange>, settings: Settings) -> Arc<Self> {
        let state = State {
            exchanges: exchanges.into(),
            ..State::default()
        };
        let state = Mutex::new(state);
        Arc::new(Self { settings, state })
    }

    /// One answer more; the oldest go beyond so many bytes. Whether any did.
    pub fn add(&self, exchange: Exchange, most: usize) -> bool {
        let mut state = self.state.lock();
        state.bytes += exchange.bytes();
        state.exchanges.push_back(exchange);
        let full = state.bytes > most;
        while state.bytes > most {
            match state.exchanges.pop_front() {
                Some(oldest) => state.bytes = state.bytes.saturating_sub(oldest.bytes()),
                None => state.bytes = 0,
            }
        }
        full
    }

    /// Answers as it was at that moment.
    pub(crate) fn wind_to(&self, now: u64) {
        let mut state = self.state.lock();
        state.now = now;
        state.missed = None;
    }

    /// What was asked since then and is not on the tape.
    pub(crate) fn missed(&self) -> Option<String> {
        self.state.lock().missed.take()
    }
}

impl App for Tape {
    fn accepts(&self, _: &Origin) -> bool {
        true
    }

    fn answer(&self, request: Request<Bytes>) -> Answering {
        let mut asked = crate::record::exchange(&request, &Response::new(Bytes::new()));
        self.settings.mask(&mut asked);
        let mut state = self.state.lock();
        let answer = match state.find(&asked) {
            Some(response) => Answer::Response(response),
            None => {
                state.missed = Some(format!("{} {}", asked.method, asked.target));
                Answer::Reset
            }
        };
        Box::pin(std::future::ready(answer))
    }
}

impl State {
    fn find(&self, asked: &Exchange) -> Option<Response<Bytes>> {
        let alike = |it: &&Exchange| it.at <= self.now && is_same_question(it, asked);
        // Without the validator there may be an answer as well, unless it says
        // that nothing is new.
        let exact = |it: &&Exchange| alike(it) && it.known == asked.known;
        let whole = |it: &&Exchange| alike(it) && it.status != StatusCode::NOT_MODIFIED.as_u16();
        let newest = self.exchanges.iter().rev();
        let found = newest
            .clone()
            .find(exact)
            .or_else(|| newest.clone().find(whole));
        response(found?)
    }
}

fn is_same_question(one: &Exchange, other: &Exchange) -> bool {
    one.method == other.method
        && unescaped(&one.target) == unescaped(&other.target)
        && is_same_body(&one.asked, &other.asked)
}

fn unescaped(target: &str) -> String {
    percent_decode_str(target).decode_utf8_lossy().into_owned()
}

fn is_same_body(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || value(one).is_some_and(|one| Some(one) == value(other))
}

fn response(exchange: &Exchange) -> Option<Response<Bytes>> {
    let body = exchange.body.clone()?;
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(exchange.status).ok()?;
    for (name, value) in &exchange.headers {
        let name: HeaderName = name.parse().ok()?;
        let value: HeaderValue = value.parse().ok()?;
        response.headers_mut().append(name, value);
    }
    Some(response)
}
