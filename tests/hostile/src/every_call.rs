//! What the plugin does on every call, whoever is asked for.
//!
//! The deed stands in the data segment, so that a test can write another one
//! into the finished component (`tests/plugins`).

use std::hint::black_box;

/// What `tests/plugins` looks for, and blank room behind it.
static DEED: [u8; 49] = *b"MUSTER-TEST-DEED>                                ";
const MARKER_BYTES: usize = 17;

/// The deed; empty where the username or the path of a request chooses.
pub(crate) fn deed() -> &'static str {
    // Nothing that the compiler knows: it was not there to see it.
    let room = &black_box(&DEED)[MARKER_BYTES..];
    std::str::from_utf8(room).unwrap_or_default().trim_end()
}

/// Runs when the component is instantiated.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    match deed() {
        "trap-start" => crate::exhaustion::trap(),
        "spin-start" => crate::exhaustion::spin(),
        _ => {}
    }
}
