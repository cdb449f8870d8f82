//! The Muster server: listeners, connections, sessions, rosters, HTTP, configuration.
//!
//! The way of the data: [`listener`] accepts, [`connection`] drives one client
//! stream, [`router`] and [`presence`] carry what it sends to other bound
//! resources in [`sessions`], [`rosters`] asks the plugin for contacts and
//! pushes what changed; [`http`] hands the app's requests to the plugin, which
//! calls back into [`rosters`]. Messages that nobody is there to take wait in
//! the [`store`] ([`offline`]); what a client asks of the server itself is in
//! [`requests`] and [`blocking`]. Arrows go down only: news comes up as return
//! values or as mail ([`mailbox`]).

#![forbid(unsafe_code)]

mod admission;
mod attempts;
mod auth;
mod blocking;
pub mod cli;
mod clients;
pub mod config;
mod connection;
mod descriptors;
mod hosts;
mod http;
mod http_client;
mod limit;
mod listener;
mod mailbox;
mod offline;
mod panics;
mod plugin_file;
mod presence;
mod recording;
mod registration;
mod requests;
mod resumption;
mod rosters;
mod router;
mod server;
mod services;
mod sessions;
mod settings_in_use;
mod shadow;
pub mod store;
mod telemetry;
mod tls;
mod transport;
mod undelivered;
mod watch;

/// The sandbox, whose types are in the public face of [`Server`].
pub use muster_plugin;

pub use self::server::{ReloadError, Server, StartError};
pub use self::tls::{CertificateConcern, CertificateError, CertificateFiles, ContextError};
