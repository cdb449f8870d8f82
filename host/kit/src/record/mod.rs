//! The last fetches of a running host, in memory.
//!
//! Owns the bounds of a recording: so many fetches, so many bytes. It is a
//! listener of the plugin ([`Tap`]) and changes nothing of what it hears; it
//! never writes to a disk, and ends with the process. It hears no credentials,
//! and keeps no header of a request that could be one. What of it an operator
//! gets is redacted unless they want it raw.

mod recording;
mod redact;
mod settings;

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use muster_plugin::{FetchError, Fetched, Tap};
use parking_lot::Mutex;

pub(crate) use self::recording::VERSION;
pub use self::recording::{About, Exchange, Fetch, Found, Listed, Recording, Refresh};
pub use self::settings::Settings;

/// Which headers of an answer may decide what becomes of it.
const ANSWER_HEADERS: [header::HeaderName; 3] =
    [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// Users of fetches that need not be in the recording: of those under way, and
/// of those that were given up. More than there may be of either.
const ASKED: usize = 20_000;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fetches, and as many requests of the app.
    pub fetches: usize,
    /// Bytes of all that is kept together, by and large.
    pub bytes: usize,
}

/// For whose eyes a recording is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eyes {
    /// Anybody's: names are pseudonyms, all alike in all of it.
    Anybody {
        /// Keys of the app's documents whose values are no names.
        keep: Vec<String>,
    },
    /// Those of whoever may know the contacts of all users.
    Operator,
}

/// Listens to a plugin and keeps what it hears last.
pub struct Recorder {
    bounds: Bounds,
    // Held for moments, never across await.
    state: Mutex<State>,
    /// What happens when it is full.
    full: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    clock: u64,
    bytes: usize,
    left_out: u64,
    exchanges: VecDeque<Exchange>,
    fetches: VecDeque<Fetch>,
    refreshes: VecDeque<Refresh>,
    /// Who was asked for last, and when that began. Requests have their names in
    /// them, also where the fetch has not ended or is not kept any more.
    asked: VecDeque<(u64, String)>,
}

impl Recorder {
    /// An empty one; `full` is called whenever the bound of bytes makes it
    /// forget something.
    pub fn new(bounds: Bounds, full: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
            full: Box::new(full),
        }
    }

    /// What is kept now. Redacting takes time in proportion to it. `settings` are
    /// those of the plugin, which may be secrets: where a request has one of them
    /// in it, its name stands there.
    pub fn recording(
        &self,
        about: About,
        sha256: String,
        settings: &Settings,
        eyes: &Eyes,
    ) -> Recording {
        let (mut recording, asked) = {
            let state = self.state.lock();
            let asked = state.asked.iter().map(|(_, username)| username.clone());
            let asked: Vec<_> = asked.collect();
            let recording = Recording {
                version: VERSION,
                about,
                sha256,
                redacted: false,
                left_out: state.left_out,
                exchanges: state.exchanges.iter().cloned().collect(),
                fetches: state.fetches.iter().cloned().collect(),
                refreshes: state.refreshes.iter().cloned().collect(),
            };
            (recording, asked)
        };
        for exchange in &mut recording.exchanges {
            settings.mask(exchange);
        }
        match eyes {
            Eyes::Operator => recording,
            Eyes::Anybody { keep } => redact::redacted(recording, &asked, keep),
        }
    }

    /// Keeps one thing more, and forgets the oldest ones beyond the bounds.
    fn keep(&self, bytes: usize, add: impl FnOnce(&mut State, u64)) {
        let mut state = self.state.lock();
        let at = state.tick();
        state.bytes += bytes;
        add(&mut state, at);
        if state.trim(self.bounds) {
            drop(state);
            (self.full)();
        }
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Whether it was for the bound of bytes.
    fn trim(&mut self, bounds: Bounds) -> bool {
        while self.fetches.len() > bounds.fetches {
            self.forget_fetch();
        }
        while self.refreshes.len() > bounds.fetches {
            self.forget_refresh();
        }
        let full = self.bytes > bounds.bytes;
        while self.bytes > bounds.bytes {
            // What is oldest goes, and with a fetch what it was made of.
            if self.forget_fetch() || self.forget_exchange() || self.forget_refresh() {
                continue;
            }
            self.bytes = 0;
        }
        full
    }

    /// Exchanges of before the oldest fetch that is left are of no use.
    fn forget_fetch(&mut self) -> bool {
        let Some(fetch) = self.fetches.pop_front() else {
            return false;
        };
        self.left_out += 1;
        self.bytes = self.bytes.saturating_sub(fetch.result.bytes());
        let oldest = self.fetches.iter().map(|fetch| fetch.begun).min();
        let oldest = oldest.unwrap_or(fetch.ended);
        while self.exchanges.front().is_some_and(|it| it.at < oldest) {
            self.forget_exchange();
        }
        true
    }

    /// With the requests that may have been made for that one.
    fn forget_asked(&mut self) {
        self.asked.pop_front();
        let oldest = self.asked.front().map_or(self.clock, |(begun, _)| *begun);
        while self.exchanges.front().is_some_and(|it| it.at < oldest) {
            self.forget_exchange();
        }
    }

    fn forget_exchange(&mut self) -> bool {
        let Some(exchange) = self.exchanges.pop_front() else {
            return false;
        };
        self.left_out += 1;
        self.bytes = self.bytes.saturating_sub(exchange.bytes());
        true
    }

    fn forget_refresh(&mut self) -> bool {
        let Some(refresh) = self.refreshes.pop_front() else {
            return false;
        };
        self.left_out += 1;
        self.bytes = self.bytes.saturating_sub(refresh.bytes());
        true
    }
}

impl Tap for Recorder {
    fn begins(&self, username: &str) -> u64 {
        let mut state = self.state.lock();
        let begun = state.tick();
        state.asked.push_back((begun, username.to_owned()));
        let most = self.bounds.fetches.saturating_add(ASKED);
        while state.asked.len() > most {
            state.forget_asked();
        }
        begun
    }

    fn fetched(
        &self,
        begun: u64,
        username: &str,
        known: Option<&str>,
        result: &Result<Fetched, FetchError>,
    ) {
        let result = Found::of(result);
        self.keep(result.bytes(), |state, ended| {
            state.fetches.push_back(Fetch {
                begun,
                ended,
                username: username.to_owned(),
                known: known.map(str::to_owned),
                result,
            });
        });
    }

    fn answered(&self, request: Request<Bytes>, response: Response<Bytes>) {
        let exchange = exchange(&request, &response);
        self.keep(exchange.bytes(), |state, at| {
            state.exchanges.push_back(Exchange { at, ..exchange });
        });
    }

    fn handled(
        &self,
        request: &Request<Bytes>,
        usernames: Vec<String>,
        response: Option<&Response<Bytes>>,
    ) {
        let refresh = Refresh {
            method: request.method().to_string(),
            target: target(request),
            headers: without_credentials(request.headers()),
            body: Some(text(request.body())),
            usernames,
            status: response.map(|response| response.status().as_u16()),
        };
        self.keep(refresh.bytes(), |state, _| {
            state.refreshes.push_back(refresh);
        });
    }
}

/// Without its time.
pub(crate) fn exchange(request: &Request<Bytes>, response: &Response<Bytes>) -> Exchange {
    let scheme = request.uri().scheme_str().unwrap_or("http");
    let authority = request.uri().authority().map_or("", |it| it.as_str());
    let known = request.headers().get(header::IF_NONE_MATCH);
    let headers = ANSWER_HEADERS.iter().filter_map(|name| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    Exchange {
        at: 0,
        method: request.method().to_string(),
        origin: format!("{scheme}://{authority}"),
        target: target(request),
        known: known.and_then(|it| it.to_str().ok()).map(str::to_owned),
        asked: text(request.body()),
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: Some(text(response.body())),
    }
}

fn target(request: &Request<Bytes>) -> String {
    let target = request.uri().path_and_query();
    target.map_or_else(String::new, ToString::to_string)
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The token of the app was for the host.
fn without_credentials(headers: &HeaderMap) -> Vec<(String, String)> {
    let secret = [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
    ];
    let open = headers.iter().filter(|(name, _)| !secret.contains(name));
    open.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests;
