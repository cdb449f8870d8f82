//! The end-to-end tests: one binary, a module a subject.
//!
//! Rows are those of `docs/hostile-input.md`. Each test drives the host over its
//! sockets alone. Names say what must hold;
//! the tests of `predecessor` are named after the fault that they keep away.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test reports a broken expectation by panicking"
)]

mod admin;
mod audit;
mod backend;
mod batches;
mod bind;
mod blocking;
mod bosh;
mod breaker;
mod carbons;
mod chaos;
mod client_tokio_xmpp;
mod clock;
mod compliance;
mod control;
mod document;
mod egress;
mod faults;
mod freshness;
mod guard;
mod health;
mod host_meta;
mod hostile;
mod jwt;
mod kinds;
mod limits;
mod logs;
mod metrics;
mod offline;
mod openapi;
mod plugin_commands;
mod plugin_languages;
mod plugin_settings;
mod predecessor;
mod presence;
mod presence_privacy;
mod process;
mod process_faults;
mod recording;
mod refresh;
mod refresh_details;
mod refresh_idempotency;
mod refresh_jobs;
mod refresh_queue;
mod reliability;
mod reload;
mod resumption;
mod roster;
mod roster_push;
mod routing;
mod sandbox;
mod sasl;
mod sasl_plus;
mod server_iq;
mod services;
mod slow_callers;
mod stale;
mod stamping;
mod storm;
mod stream;
mod tidy;
mod tls;
mod together;
mod traces;
mod unauthenticated;
mod url;
mod vcard;
mod web;
mod websocket;
mod wit;
mod xml;
