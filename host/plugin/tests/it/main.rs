//! The sandbox with real components: the built-in one, and one that does what
//! a plugin must not do, against an app that fails in every way.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails fails the test"
)]

mod app;
mod backend;
mod counted;
mod egress;
mod every_call;
mod fetch;
mod handle;
mod host;
mod hostile;
mod hunger;
mod kinds;
mod load;
mod log;
mod many;
mod patience;
mod probation;
mod stubs;
mod swap;
mod tls;
