//! The last fetches of a running host, in memory.
//!
//! A listener of the plugin ([`Tap`]) that changes nothing of what it hears and
//! keeps it within its bounds ([`ring`]); it
//! never writes to a disk, and ends with the process. It hears no credentials,
//! and keeps no header of a request that could be one. What of it an operator
//! gets is redacted unless they want it raw.

mod call;
mod recording;
mod redact;
mod ring;
mod settings;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use muster_plugin::{FetchError, Fetched, Many, ManyError, Tap};
use parking_lot::Mutex;

pub(crate) use self::call::Call;
pub(crate) use self::recording::VERSION;
pub use self::recording::{
    About, Batch, Exchange, Fetch, Found, Listed, Recording, Refresh, Together,
};
use self::ring::Ring;
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
    ring: Mutex<Ring>,
    /// What happens when it is full.
    full: Box<dyn Fn() + Send + Sync>,
}

impl Recorder {
    /// An empty one; `full` is called whenever the bound of bytes makes it
    /// forget something.
    pub fn new(bounds: Bounds, full: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            bounds,
            ring: Mutex::default(),
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
            let ring = self.ring.lock();
            let (fetches, batches) = apart(&ring);
            let recording = Recording {
                version: VERSION,
                about,
                sha256,
                redacted: false,
                left_out: ring.left_out,
                exchanges: ring.exchanges.iter().cloned().collect(),
                fetches,
                batches,
                refreshes: ring.refreshes.iter().cloned().collect(),
            };
            (recording, ring.asked())
        };
        for exchange in &mut recording.exchanges {
            settings.mask(exchange);
        }
        match eyes {
            Eyes::Operator => recording,
            Eyes::Anybody { keep } => redact::redacted(recording, &asked, keep),
        }
    }

    /// Fetches that are kept, and bytes of everything, by and large.
    pub fn load(&self) -> (usize, usize) {
        self.ring.lock().load()
    }

    /// Forgets all that was heard.
    pub fn forget(&self) {
        self.ring.lock().clear();
    }

    /// Keeps one thing more, and forgets the oldest ones beyond the bounds.
    fn keep(&self, add: impl FnOnce(&mut Ring, u64)) {
        let mut ring = self.ring.lock();
        let at = ring.tick();
        add(&mut ring, at);
        if ring.trim(self.bounds) {
            drop(ring);
            (self.full)();
        }
    }
}

/// Fetches of one user, and those of many.
fn apart(ring: &Ring) -> (Vec<Fetch>, Vec<Batch>) {
    let (mut fetches, mut batches) = (Vec::new(), Vec::new());
    for call in &ring.calls {
        match call {
            Call::One(fetch) => fetches.push(fetch.clone()),
            Call::Many(batch) => batches.push(batch.clone()),
        }
    }
    (fetches, batches)
}

impl Tap for Recorder {
    fn begins(&self, usernames: &[&str]) -> u64 {
        let most = self.bounds.fetches.saturating_add(ASKED);
        self.ring.lock().begin(usernames, most)
    }

    fn fetched(
        &self,
        begun: u64,
        username: &str,
        known: Option<&str>,
        result: &Result<Fetched, FetchError>,
    ) {
        let call = Call::one(begun, username, known, result);
        self.keep(|ring, ended| ring.keep_call(call.ended_at(ended)));
    }

    fn fetched_many(&self, begun: u64, usernames: &[String], result: &Result<Many, ManyError>) {
        if let Some(call) = Call::many(begun, usernames, result) {
            self.keep(|ring, ended| ring.keep_call(call.ended_at(ended)));
        }
    }

    fn answered(&self, request: Request<Bytes>, response: Response<Bytes>) {
        let exchange = exchange(&request, &response);
        self.keep(|ring, at| ring.keep_exchange(Exchange { at, ..exchange }));
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
        self.keep(|ring, _| ring.keep_refresh(refresh));
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
