//! The harness of the end-to-end tests: an app that misbehaves on command, a
//! scripted XMPP client, a raw HTTP client, and a host between them.
//!
//! It owns everything that a test needs around the host, and no test. Nothing
//! here is part of the product; the host is only ever reached over its sockets
//! and through its two public doors, the configuration and `Server::start`.
//!
//! The parts, from the outside in:
//! - [`stage`]: what most tests use: an app, a host, users of one's own.
//! - [`app`]: the backend that answers, stalls, lies and counts.
//! - [`busy`]: one that has so many places and answers after so long.
//! - [`client`]: one XMPP stream, scripted, byte by byte if need be.
//! - [`web`]: the same over WebSocket and BOSH.
//! - [`managed`]: one session over many streams; [`wire`]: a connection that breaks.
//! - [`http`]: requests and replies as bytes, for the refresh route.
//! - [`muster`]: the host in this process; [`process`]: the built binary.
//! - [`metrics`]: what the host counts; [`otlp`]: the spans that it tells. [`dice`]: chance that can be repeated.
//! - [`tls`]: certificates, and clients that trust them; [`front`]: TLS in front of an app.
//! - [`bystanders`]: two hundred sessions that must not notice anything.
//!
//! Every wait is for an event and has one deadline, [`PATIENCE`]; a test that
//! would have to sleep proves absence with a sentinel instead
//! ([`client::Client::settle`]).
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness reports a broken expectation by panicking"
)]

use std::time::Duration;

pub mod app;
pub mod busy;
pub mod bystanders;
pub mod client;
pub mod dice;
pub mod front;
pub mod http;
pub mod managed;
pub mod metrics;
pub mod muster;
pub mod otlp;
pub mod people;
pub mod process;
mod socket;
pub mod stage;
pub mod tls;
pub mod web;
pub mod wire;

/// How long a test waits for something that must happen. Nothing takes this
/// long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The result of `future`, which must come within [`PATIENCE`].
///
/// # Panics
/// Says what was awaited if it did not come.
pub fn within<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    // Not one more future around it.
    within_time(PATIENCE, what, future)
}

/// The same with a patience of the caller's.
async fn within_time<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> T {
    // Boxed: a test is one future with room for all that it ever waits for, on a
    // stack of two mebibytes.
    match tokio::time::timeout(patience, Box::pin(future)).await {
        Ok(value) => value,
        Err(_) => panic!("waited {patience:?} in vain for {what}"),
    }
}
