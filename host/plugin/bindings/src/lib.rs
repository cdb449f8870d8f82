//! Host bindings generated from the contract in `wit/`, and from the one interface
//! that components of the Spin SDK import; nothing else.
//!
//! `bindgen!` alone compiles for minutes, so it has a crate of its own:
//! a change in the sandbox does not pay for it. The types of `wasi:http` and
//! `wasi:clocks` are those of `wasmtime-wasi-http` and `wasmtime-wasi`
//! (their 0.3.0 serves the 0.3.2 of the contract: the same semver track).

// Generated code keeps neither documentation nor our lints.
#![allow(missing_docs)]

/// Version 0.1 of `muster:roster`. A later version gets a module beside it.
pub mod v0_1 {
    wasmtime::component::bindgen!({
        path: "../../../wit",
        world: "muster:roster/plugin",
        imports: { "muster:roster/rosters.refresh": async | store },
        exports: { default: async | store },
        with: {
            "wasi:http/types": wasmtime_wasi_http::p3::bindings::http::types,
            "wasi:http/client": wasmtime_wasi_http::p3::bindings::http::client,
            "wasi:clocks/types": wasmtime_wasi::p3::bindings::clocks::types,
        },
        require_store_data_send: true,
    });
}

/// `spin:variables` 3.0: how a component of the Spin SDK reads its settings.
pub mod spin {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "muster:spin/variables",
        imports: { "spin:variables/variables.get": async | store },
        require_store_data_send: true,
    });
}

/// The optional export `muster:roster/batch` of version 0.1, with the types of
/// [`v0_1`]: a plugin need not have it.
pub mod v0_1_batch {
    wasmtime::component::bindgen!({
        path: "../../../wit",
        inline: "
            package muster:host;
            world batching {
                export muster:roster/batch@0.1.0;
            }
        ",
        world: "muster:host/batching",
        exports: { default: async | store },
        with: { "muster:roster/types": super::v0_1::muster::roster::types },
        require_store_data_send: true,
    });
}
