//! What follows from one policy: who is asked, and the pooled connections to
//! them. Replaced as a whole, so that a request never mixes an old policy with
//! a new connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::Connector;
use super::resolve::Resolve;
use crate::egress::EgressPolicy;
use crate::settings::Limits;
use crate::telemetry::Meter;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// What hyper needs at least for the header of a response.
const SMALLEST_HEADER_BUFFER: usize = 8 << 10;

/// A policy, and the client that keeps to it.
pub(super) struct Route {
    pub(super) policy: Arc<EgressPolicy>,
    pub(super) client: Client<Connector, Full<Bytes>>,
}

impl Route {
    pub(super) fn new(
        policy: EgressPolicy,
        resolver: Arc<dyn Resolve>,
        limits: &Limits,
        meter: Meter,
    ) -> Result<Self, rustls::Error> {
        let policy = Arc::new(policy);
        let timeout = limits.connect.min(limits.request);
        let connector = Connector::new(Arc::clone(&policy), resolver, timeout, meter)?;
        let client = builder(limits).build(connector);
        Ok(Self { policy, client })
    }
}

/// A client within `limits`, for HTTP/1.1 and for HTTP/2 where TLS has agreed
/// on it. hyper's client of HTTP/2 takes no pushed streams (RFC 9113, section
/// 8.4).
fn builder(limits: &Limits) -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(limits.concurrent_requests)
        .http1_max_buf_size(limits.response_header_bytes.max(SMALLEST_HEADER_BUFFER))
        // For the pings of HTTP/2.
        .timer(TokioTimer::new())
        .http2_max_header_list_size(window(limits.response_header_bytes))
        .http2_initial_stream_window_size(window(limits.http2_stream_bytes))
        .http2_initial_connection_window_size(window(limits.http2_connection_bytes))
        .http2_max_send_buf_size(limits.request_bytes)
        .http2_keep_alive_interval(limits.http2_ping)
        .http2_keep_alive_timeout(limits.http2_ping_timeout);
    builder
}

fn window(bytes: usize) -> u32 {
    // RFC 9113, section 6.9.1: 31 bits.
    u32::try_from(bytes).unwrap_or(u32::MAX).min((1 << 31) - 1)
}
