//! How long the parts of a guest's request line may be.
//!
//! The host keeps them for as long as the guest keeps the request, and
//! `wasi:http` itself takes whatever one call can carry: a method of megabytes
//! in each of thousands of requests would be the host's memory. (A scheme of
//! more than 64 bytes is none to `wasi:http` either.)

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest as OutgoingRequest;
use wasmtime_wasi_http::p3::Request;

use crate::store::StoreState;

/// Longer than any that is registered.
const METHOD_BYTES: usize = 64;
/// A host name of 253 bytes, a port, and room.
const AUTHORITY_BYTES: usize = 512;
/// RFC 9110, section 4.1 wants 8,000 at least; a username is at most 1,023
/// bytes, three times as much when it is encoded.
const TARGET_BYTES: usize = 8 << 10;

/// The names of the instances in the linker of `wasmtime-wasi-http`.
const TYPES_0_2: &str = "wasi:http/types@0.2.12";
const TYPES_0_3: &str = "wasi:http/types@0.3.0";

type Set = (Result<(), ()>,);
type Store<'a> = StoreContextMut<'a, StoreState>;

/// Puts the bounds before the setters that are in the linker.
pub(crate) fn bound(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    bound_0_2(linker)?;
    bound_0_3(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn bound_0_3(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    use wasmtime_wasi_http::p3::bindings::http::types::{HostRequest as _, Method};
    type Resource = wasmtime::component::Resource<Request>;
    let mut types = linker.instance(TYPES_0_3)?;
    types.func_wrap(
        "[method]request.set-method",
        |mut store: Store<'_>, (request, method): (Resource, Method)| {
            if matches!(&method, Method::Other(name) if name.len() > METHOD_BYTES) {
                return Ok((Err(()),) as Set);
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-authority",
        |mut store: Store<'_>, (request, authority): (Resource, Option<String>)| {
            if is_longer(authority.as_deref(), AUTHORITY_BYTES) {
                return Ok((Err(()),) as Set);
            }
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-path-with-query",
        |mut store: Store<'_>, (request, target): (Resource, Option<String>)| {
            if is_longer(target.as_deref(), TARGET_BYTES) {
                return Ok((Err(()),) as Set);
            }
            let mut http = store.data_mut().http();
            Ok((http.set_path_with_query(request, target)?,))
        },
    )
}

fn bound_0_2(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method};
    type Resource = wasmtime::component::Resource<OutgoingRequest>;
    let mut types = linker.instance(TYPES_0_2)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Store<'_>, (request, method): (Resource, Method)| {
            if matches!(&method, Method::Other(name) if name.len() > METHOD_BYTES) {
                return Ok((Err(()),) as Set);
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Store<'_>, (request, authority): (Resource, Option<String>)| {
            if is_longer(authority.as_deref(), AUTHORITY_BYTES) {
                return Ok((Err(()),) as Set);
            }
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Store<'_>, (request, target): (Resource, Option<String>)| {
            if is_longer(target.as_deref(), TARGET_BYTES) {
                return Ok((Err(()),) as Set);
            }
            let mut http = store.data_mut().http();
            Ok((http.set_path_with_query(request, target)?,))
        },
    )
}

fn is_longer(text: Option<&str>, bytes: usize) -> bool {
    text.is_some_and(|text| text.len() > bytes)
}
