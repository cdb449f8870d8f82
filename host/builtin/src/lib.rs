//! The built-in plugin, compiled from `guest/component` and embedded.
//!
//! Owns the bytes and nothing else: who runs them, and in what sandbox, is the
//! plugin host's. `build.rs` makes them.
#![forbid(unsafe_code)]

/// The component: a plugin of the contract in `wit/` that speaks the protocol
/// of `mod_http_roster_admin` with the app.
///
/// It reads `http_roster_url` (required), `domain`, `max_contacts` and
/// `max_response_bytes` from `wasi:config/store`.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/component.wasm"));

#[cfg(test)]
mod tests;
