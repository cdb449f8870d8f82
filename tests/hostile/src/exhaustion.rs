//! Time, memory and handles without measure.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::time::Duration;

use crate::bindings::muster::roster::types::{FetchError, Fetched};
use crate::bindings::wasi::cli::stdin as standard_input;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Trailers};
use crate::bindings::wasi::random::random as randomness;
use crate::bindings::wit_future;
use crate::{honest, said};

/// A text of so many bytes is never taken: the allocator computes without end
/// while the host hands it in.
const SPIN_BYTES: usize = 997;

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: the system's allocator, or no return.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() == SPIN_BYTES && layout.align() == 1 {
            spin();
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

pub(crate) fn trap() -> ! {
    std::process::abort()
}

pub(crate) fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Waits first, so that the host calls back.
pub(crate) async fn spin_later() -> ! {
    monotonic_clock::wait_for(1_000_000).await;
    spin()
}

pub(crate) fn grow() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Little on the stack in linear memory, so that the host's own ends first.
#[allow(unconditional_recursion, reason = "the deed")]
pub(crate) fn recurse(n: u64) -> u64 {
    black_box(recurse(n + 1)).wrapping_add(n)
}

/// Waits for a value that nobody writes. (A future without any event would be
/// a deadlock that the bindings notice and trap.)
pub(crate) async fn never<T>() -> T {
    let (writer, reader) = wit_future::new::<Result<Option<Trailers>, ErrorCode>>(|| Ok(None));
    std::mem::forget(writer);
    let _ = reader.await;
    unreachable!("nobody writes")
}

/// As long as 64 bits of nanoseconds say.
pub(crate) async fn sleep_for_years() -> Result<Fetched, FetchError> {
    monotonic_clock::wait_for(u64::MAX).await;
    said("centuries later".to_owned())
}

/// Holds up the whole store.
pub(crate) fn block(milliseconds: u64) -> Result<Fetched, FetchError> {
    std::thread::sleep(Duration::from_millis(milliseconds));
    honest()
}

pub(crate) fn handles() -> ! {
    loop {
        std::mem::forget(Fields::new());
    }
}

/// One header map with more fields than a map can hold.
pub(crate) fn fields() -> Result<Fetched, FetchError> {
    let fields = Fields::new();
    for n in 0..40_000 {
        if fields.append(&format!("x-{n}"), b"y").is_err() {
            return said("refused".to_owned());
        }
    }
    said("accepted".to_owned())
}

/// As many header maps as there may be, each as full as it may be. They are the
/// host's memory, not the guest's.
pub(crate) fn hoard_fields() -> ! {
    let value = vec![b'x'; 4 << 10];
    loop {
        let fields = Fields::new();
        while fields.append("x", &value).is_ok() {}
        std::mem::forget(fields);
    }
}

/// As many requests as there may be, with a method, an authority or a path that
/// has no measure.
pub(crate) fn hoard_requests(what: &str) -> Result<Fetched, FetchError> {
    let long = "x".repeat(4 << 20);
    loop {
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (request, sent) = Request::new(Fields::new(), None, trailers, None);
        let set = match what {
            "method" => request.set_method(&Method::Other(long.clone())),
            "authority" => request.set_authority(Some(&long)),
            // As much as the parser of URLs takes.
            _ => request.set_path_with_query(Some(&format!("/{}", &long[..60_000]))),
        };
        if set.is_err() {
            return said("refused".to_owned());
        }
        std::mem::forget((request, sent));
    }
}

/// As many waiting calls of the host as there may be.
pub(crate) async fn tasks() -> Result<Fetched, FetchError> {
    for _ in 0..200_000 {
        wit_bindgen::spawn_local(monotonic_clock::wait_for(u64::MAX));
    }
    never().await
}

/// More randomness than there is memory; how much came.
pub(crate) fn random() -> Result<Fetched, FetchError> {
    said(randomness::get_random_bytes(1 << 40).len().to_string())
}

/// What there is to read.
pub(crate) async fn stdin() -> Result<Fetched, FetchError> {
    let (stream, _end) = standard_input::read_via_stream();
    said(stream.collect().await.len().to_string())
}
