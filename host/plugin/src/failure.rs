//! What the log says of a plugin that failed.
//!
//! An error of WebAssembly carries the names of the guest's functions, which
//! are whatever the guest's author wrote.

use crate::guest_log;
use crate::telemetry::Meter;

/// Longer ones are cut.
const TEXT_BYTES: usize = 2 << 10;

/// The error in one line that nobody can have forged.
pub(crate) fn text(error: &wasmtime::Error) -> String {
    let whole = format!("{error:#}");
    let bytes = whole.as_bytes();
    guest_log::escape(bytes.get(..TEXT_BYTES).unwrap_or(bytes))
}

/// No instance could be made for a call.
pub(crate) fn not_instantiated(meter: &Meter, error: &wasmtime::Error) {
    tracing::warn!(
        vhost = meter.vhost(),
        fault = "instantiate",
        "the plugin cannot be instantiated: {}",
        text(error)
    );
}

/// A worker has no store; `None` where the instance took too long. Told once
/// until it works again.
pub(crate) fn not_started(meter: &Meter, error: Option<wasmtime::Error>) {
    match error {
        Some(error) => not_instantiated(meter, &error),
        None => tracing::warn!(
            vhost = meter.vhost(),
            fault = "instantiate",
            "the plugin cannot be instantiated in time"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_functions_forge_no_line() {
        let error = wasmtime::Error::msg("wasm backtrace:\n 0: evil\x1b[31m\nERROR muster: forged");
        let text = text(&error);
        assert!(!text.contains(['\n', '\x1b']), "{text}");
        assert!(text.contains("\\u{a}ERROR"), "{text}");
    }

    #[test]
    fn a_long_one_is_cut() {
        let error = wasmtime::Error::msg("é".repeat(1 << 20));
        assert!(text(&error).len() <= TEXT_BYTES + 3);
    }
}
