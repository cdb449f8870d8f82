//! The Rust side of `wit/`, generated; the only place of this crate with
//! `unsafe` code, none of it written by hand.
//!
//! `generate_all` makes the types of wasi:http here as well, so that nothing
//! but `wit/` decides which version of WASI the component speaks.

wit_bindgen::generate!({
    path: "../../wit",
    world: "batching-plugin",
    generate_all,
});

use super::Plugin;

export!(Plugin);
