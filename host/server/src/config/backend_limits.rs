//! `[limits.backend]`: what one answer of the app, and asking for it, may cost.
//!
//! Owns the keys and the rules between them. `[virtual_host.backend.limits]` has the same keys for
//! one host; what it leaves out is as `[limits.backend]` says.

use std::time::Duration;

use super::breaker_limits::BreakerLimits;
use super::limits::{KIB, MIB};
use super::quantity::{Size, Written};
use super::reader::Section;

/// What one answer of the app may cost; per virtual host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendLimits {
    /// A whole fetch: waiting for a store, one request or two, and what the plugin makes of the
    /// answer. Default 5 s.
    pub timeout: Duration,
    /// One request of it: name, connection, TLS, answer and body. Default (no key): nine tenths
    /// of `timeout`.
    pub request_timeout: Option<Duration>,
    /// Name, connection and TLS. Default (no key): 3 s, or `request_timeout` if that is less.
    pub connect_timeout: Option<Duration>,
    /// Requests to the app at the same time, and connections that are kept. Default 256.
    pub concurrent_requests: usize,
    /// How long the app is left alone at most when it answers with `Retry-After`. Default 60 s.
    pub longest_rest: Duration,
    /// Requests that are made once more after a failure, of 100; at most 100. Default 20.
    pub retry_share: usize,
    /// Bytes of the body of a request to the app. Default 1 MiB.
    pub request_bytes: usize,
    /// Bytes of the answer's body. Default 4 MiB.
    pub response_bytes: usize,
    /// Users that are asked for in one request, where the app takes many. Default 100.
    pub batch: usize,
    /// Such requests at the same time. Default 4.
    pub batches: usize,
    /// Bytes of the body of an answer to one. Default 8 MiB.
    pub batch_bytes: usize,
    /// Bytes of the answer's header. Default 64 KiB.
    pub header_bytes: usize,
    /// What an HTTP/2 connection may send ahead of one answer's reader. Default 256 KiB.
    pub http2_stream_bytes: usize,
    /// The same for all answers of a connection. Default 4 MiB.
    pub http2_connection_bytes: usize,
    /// Silence on an HTTP/2 connection, while an answer is due, after which it is asked for a
    /// sign of life. Default 2 s.
    pub http2_ping: Duration,
    /// How long it may take to give one. Default 2 s.
    pub http2_ping_timeout: Duration,
    /// Contacts of one user. Default 10,000.
    pub contacts: usize,
    /// Groups of one contact. Default 100.
    pub groups: usize,
    /// `[limits.backend.breaker]`: when an app that fails is left alone; for each origin.
    pub breaker: BreakerLimits,
}

/// The longest time for a connection, unless the operator says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What the windows of HTTP/2 can be (RFC 9113 §6.9.1).
const LARGEST_WINDOW: Size = Size((1 << 31) - 1);
/// What a stream's window is before anybody says otherwise, and what a connection's cannot fall
/// below (RFC 9113 §6.9.2).
const FIRST_WINDOW: Size = Size((1 << 16) - 1);

impl BackendLimits {
    /// What the section says, and what `base` says of the keys that it leaves out.
    pub(super) fn read(section: &mut Section<'_>, base: &Self) -> Self {
        let window = |section: &mut Section<'_>, key, base| {
            let base = section.at_most(key, Size(base), LARGEST_WINDOW);
            section.at_least(key, base, FIRST_WINDOW).0
        };
        let http2_stream_bytes = window(section, "http2_stream_bytes", base.http2_stream_bytes);
        let http2_connection_bytes = window(
            section,
            "http2_connection_bytes",
            base.http2_connection_bytes,
        );
        let mut size = |key, base| section.value(key, Size(base)).0;
        let request_bytes = size("request_bytes", base.request_bytes);
        let response_bytes = size("response_bytes", base.response_bytes);
        let batch_bytes = size("batch_bytes", base.batch_bytes);
        let header_bytes = size("header_bytes", base.header_bytes);
        let limits = Self {
            timeout: section.value("timeout", base.timeout),
            request_timeout: section.optional("request_timeout").or(base.request_timeout),
            connect_timeout: section.optional("connect_timeout").or(base.connect_timeout),
            concurrent_requests: section.value("concurrent_requests", base.concurrent_requests),
            longest_rest: section.value("longest_rest", base.longest_rest),
            retry_share: section.at_most("retry_share", base.retry_share, 100),
            request_bytes,
            response_bytes,
            batch: section.value("batch", base.batch),
            batches: section.value("batches", base.batches),
            batch_bytes,
            header_bytes,
            http2_stream_bytes,
            http2_connection_bytes,
            http2_ping: section.value("http2_ping", base.http2_ping),
            http2_ping_timeout: section.value("http2_ping_timeout", base.http2_ping_timeout),
            contacts: section.value("contacts", base.contacts),
            groups: section.value("groups", base.groups),
            breaker: section.section("breaker", |it| BreakerLimits::read(it, base.breaker)),
        };
        // What is inherited has been told where it is written.
        if section.is_there() {
            limits.check(section);
        }
        limits
    }

    /// The rules between the keys.
    fn check(&self, section: &Section<'_>) {
        section.ordered(
            ("request_timeout", Written(self.request())),
            ("timeout", Written(nine_tenths(self.timeout))),
            "a tenth of timeout is for the plugin to tell the reason",
        );
        section.ordered(
            ("connect_timeout", Written(self.connect())),
            ("request_timeout", Written(self.request())),
            "a request begins with its connection",
        );
        section.ordered(
            ("http2_stream_bytes", Size(self.http2_stream_bytes)),
            ("http2_connection_bytes", Size(self.http2_connection_bytes)),
            "a stream cannot use more than its connection",
        );
    }

    /// Wall time of one request to the app, its answer included.
    #[must_use]
    pub fn request(&self) -> Duration {
        self.request_timeout.unwrap_or(nine_tenths(self.timeout))
    }

    /// Wall time of opening a connection to the app, TLS included.
    #[must_use]
    pub fn connect(&self) -> Duration {
        self.connect_timeout
            .unwrap_or(CONNECT_TIMEOUT.min(self.request()))
    }
}

fn nine_tenths(whole: Duration) -> Duration {
    whole - whole / 10
}

impl Default for BackendLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            request_timeout: None,
            connect_timeout: None,
            concurrent_requests: 256,
            longest_rest: Duration::from_secs(60),
            retry_share: 20,
            request_bytes: MIB,
            response_bytes: 4 * MIB,
            batch: 100,
            batches: 4,
            batch_bytes: 8 * MIB,
            header_bytes: 64 * KIB,
            http2_stream_bytes: 256 * KIB,
            http2_connection_bytes: 4 * MIB,
            http2_ping: Duration::from_secs(2),
            http2_ping_timeout: Duration::from_secs(2),
            contacts: 10_000,
            groups: 100,
            breaker: BreakerLimits::default(),
        }
    }
}
