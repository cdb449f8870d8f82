//! What the operator decides about one virtual host's plugin.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::breaker::BreakerPolicy;
use crate::egress::EgressPolicy;
use crate::linker::Stubs;
use crate::outbound::Resolve;
use crate::swap::Verification;

/// Everything that loading a plugin for one virtual host needs.
#[derive(Clone)]
pub struct Settings {
    /// The virtual host's name: the label `vhost` of metrics and logs.
    pub name: String,
    /// What `wasi:config/store` and `spin:variables` answer. Readable by the
    /// plugin: no secrets but its own.
    pub config: Vec<(String, String)>,
    /// Where the plugin's requests may go.
    pub egress: EgressPolicy,
    /// Who knows the addresses of the names in it.
    pub resolver: Arc<dyn Resolve>,
    /// What of the file system and of sockets is there.
    pub stubs: Stubs,
    /// Which components are taken.
    pub verification: Verification,
    /// What the plugin may use.
    pub limits: Limits,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("egress", &self.egress)
            .field("stubs", &self.stubs)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The bounds of one plugin. Every field has a safe default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest component that is compiled, in bytes. Default 64 MiB.
    pub component_bytes: usize,
    /// Linear memory of one store, all memories together. Default 64 MiB.
    pub memory_bytes: usize,
    /// Elements of all tables of one store together. Default 100,000.
    pub table_elements: usize,
    /// Live handles (requests, bodies, streams, futures, …) of one store. What
    /// is behind them is the host's memory, up to some 24 KiB each.
    /// Default 2,000.
    pub handles: usize,
    /// Bytes that one call from the plugin into the host may carry.
    /// Default 8 MiB.
    pub host_call_bytes: usize,
    /// CPU time without yielding before the plugin is interrupted, rounded
    /// down to 10 ms. Default 100 ms.
    pub turn: Duration,
    /// Wall time of one `fetch`, a retry included. Default 5 s.
    pub call: Duration,
    /// Wall time of one request to the app, its response included. At most
    /// nine tenths of `call`, so that the plugin can still tell the reason.
    /// Default 4.5 s.
    pub request: Duration,
    /// Wall time of opening a connection to the app, TLS included. Default 3 s.
    pub connect: Duration,
    /// Requests to the app at once, and connections kept. Default 256.
    pub concurrent_requests: usize,
    /// How long an origin is left alone at most when it says `Retry-After`.
    /// Default 60 s.
    pub longest_rest: Duration,
    /// Requests that may be made once more after a failure, of 100. Default 20;
    /// 0 for none.
    pub retry_share: usize,
    /// Wall time of one `handle`, refreshes included. Default 60 s.
    pub handle_call: Duration,
    /// Worker stores for `fetch`. Default: one for each core.
    pub workers: usize,
    /// Calls of `fetch` at once in one worker store. Default 64.
    pub concurrent_calls: usize,
    /// Calls of `fetch` at once of a plugin that takes one a store (a handler
    /// of WASI 0.2). Default 32.
    pub lone_calls: usize,
    /// Calls of `fetch` that may wait for a worker. Default 10,000.
    pub waiting_calls: usize,
    /// Calls after which a worker store is replaced. Default 10,000.
    pub calls_per_store: usize,
    /// Calls of `fetch` that are tried again at once, each in a store of its
    /// own. Default 8.
    pub retry_calls: usize,
    /// Calls of `handle` at once, each in a store of its own. Default 32.
    pub handle_calls: usize,
    /// Entries of one `rosters.refresh`. Default 10,000.
    pub refresh_usernames: usize,
    /// Body of a response from the app, and of one to it. Default 4 MiB.
    pub response_bytes: usize,
    /// Body of a response about many users. Default 8 MiB.
    pub batch_bytes: usize,
    /// Headers of a response, names and values together. Default 64 KiB.
    pub response_header_bytes: usize,
    /// Body of a request to the app. Default 1 MiB.
    pub request_bytes: usize,
    /// What an HTTP/2 connection may send ahead of one response's reader.
    /// Default 256 KiB.
    pub http2_stream_bytes: usize,
    /// The same for all responses of a connection. Default 4 MiB.
    pub http2_connection_bytes: usize,
    /// Silence on an HTTP/2 connection, while a response is due, after which
    /// it is asked for a sign of life. Default 2 s.
    pub http2_ping: Duration,
    /// How long it may take to give one. Default 2 s.
    pub http2_ping_timeout: Duration,
    /// Contacts of one user. Default 10,000.
    pub contacts: usize,
    /// Groups of one contact. Default 100.
    pub groups: usize,
    /// Wall time of compiling a component. Default 60 s.
    pub compile: Duration,
    /// Memory of the process that compiles. Default 1 GiB.
    pub compile_memory_bytes: usize,
    /// How long the calls of a replaced generation may go on. Default 10 s.
    pub drain: Duration,
    /// How long a generation that was replaced stands by. Default 60 s; zero
    /// for not at all.
    pub probation: Duration,
    /// Fetches of the new generation after which it has proved itself, if
    /// there are so many in that time. Default 100; zero as above.
    pub probation_calls: usize,
    /// Answers that the generation before did better, after which it takes
    /// over again. Default 3. A fault of the new one is enough by itself.
    pub probation_regressions: usize,
    /// What the plugin may write to the log in a second, all its stores
    /// together. Default 64 KiB.
    pub log_bytes_per_second: usize,
    /// Longest line that is logged whole. Default 8 KiB.
    pub log_line_bytes: usize,
    /// When calls of the plugin are refused because it fails.
    pub plugin_breaker: BreakerPolicy,
    /// When requests to an origin are refused because the app fails.
    pub backend_breaker: BreakerPolicy,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 64 << 20,
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            handles: 2_000,
            host_call_bytes: 8 << 20,
            turn: Duration::from_millis(100),
            call: Duration::from_secs(5),
            request: Duration::from_millis(4_500),
            connect: Duration::from_secs(3),
            concurrent_requests: 256,
            longest_rest: Duration::from_secs(60),
            retry_share: 20,
            handle_call: Duration::from_secs(60),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            concurrent_calls: 64,
            lone_calls: 32,
            waiting_calls: 10_000,
            calls_per_store: 10_000,
            retry_calls: 8,
            handle_calls: 32,
            refresh_usernames: 10_000,
            response_bytes: 4 << 20,
            batch_bytes: 8 << 20,
            response_header_bytes: 64 << 10,
            request_bytes: 1 << 20,
            http2_stream_bytes: 256 << 10,
            http2_connection_bytes: 4 << 20,
            http2_ping: Duration::from_secs(2),
            http2_ping_timeout: Duration::from_secs(2),
            contacts: 10_000,
            groups: 100,
            compile: Duration::from_secs(60),
            compile_memory_bytes: 1 << 30,
            drain: Duration::from_secs(10),
            probation: Duration::from_secs(60),
            probation_calls: 100,
            probation_regressions: 3,
            log_bytes_per_second: 64 << 10,
            log_line_bytes: 8 << 10,
            plugin_breaker: BreakerPolicy::default(),
            backend_breaker: BreakerPolicy::default(),
        }
    }
}

impl Limits {
    /// The limits with those that depend on others brought into order.
    pub(crate) fn consistent(mut self) -> Self {
        self.request = self.request.min(self.call - self.call / 10);
        self.connect = self.connect.min(self.request);
        self.workers = self.workers.max(1);
        self.concurrent_calls = self.concurrent_calls.max(1);
        self.lone_calls = self.lone_calls.max(1);
        self.concurrent_requests = self.concurrent_requests.max(1);
        self.waiting_calls = self.waiting_calls.max(1);
        self.retry_calls = self.retry_calls.max(1);
        self.handle_calls = self.handle_calls.max(1);
        self
    }
}
