//! What a guest of WASI 0.2 is told of a body that broke off.
//!
//! `wasi:http` 0.2 has a function for it, `http-error-code`, which finds an
//! `error-code` in the error of a stream. The streams of `wasmtime-wasi-http`
//! carry another type of error, in which its own function finds nothing, and a
//! guest could not tell an app that is too slow from one that says too much.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::io::error::Error as IoError;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiHttpView as _};

use crate::store::StoreState;

/// The name of the instance in the linker of `wasmtime-wasi-http`.
const TYPES: &str = "wasi:http/types@0.2.12";

/// Puts a function that finds it before the one that is in the linker.
pub(crate) fn explain(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(TYPES)?.func_wrap(
        "http-error-code",
        |mut store: StoreContextMut<'_, StoreState>, (error,): (Resource<IoError>,)| {
            let error = store.data_mut().http().table.get(&error)?;
            Ok((error.downcast_ref().map(code),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The kind, no detail of the network.
fn code(error: &Error) -> ErrorCode {
    match error {
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        _ => ErrorCode::HttpProtocolError,
    }
}
