//! The built-in plugin: glue between wasi:http and the contract with the app.
//!
//! Owns requests, responses and bodies. What they mean is decided in
//! `muster-contract`; how many fetches run, and what reaches an XMPP client,
//! is decided by the host. A call keeps nothing for the next one but the
//! settings, which are fixed for the life of a store.
#![deny(unsafe_code)]

mod allocator;
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "generated: the canonical ABI needs raw pointers"
)]
mod bindings;
mod body;
mod fetch;
mod fetch_many;
mod handle;
mod settings;

use bindings::exports::muster::roster::{batch, roster};
use bindings::exports::wasi::http::handler;
use bindings::muster::roster::types::{FetchError, Fetched};
use bindings::wasi::http::types::{ErrorCode, Request, Response};

/// What the exports are made of.
struct Plugin;

impl roster::Guest for Plugin {
    async fn fetch(username: String, known: Option<String>) -> Result<Fetched, FetchError> {
        fetch::fetch(&username, known).await
    }
}

impl batch::Guest for Plugin {
    async fn fetch_many(usernames: Vec<String>) -> Result<fetch_many::Many, FetchError> {
        fetch_many::fetch_many(usernames).await
    }
}

impl handler::Guest for Plugin {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        handle::handle(request).await
    }
}
