//! The Muster server: listeners, connections, sessions, rosters, HTTP, configuration.

#![forbid(unsafe_code)]

pub mod config;
