//! Panics. None is meant to happen; one ends the task in which it happens, and
//! nothing else.
//!
//! Owns the word in the log and the count. That what a task held is given back
//! is the doing of its values, whose drops run while it unwinds
//! ([`crate::registration`], [`crate::admission`]); locks of `parking_lot` do
//! not become poisoned.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::sync::Once;

/// Counts and tells every panic of this process from now on. Whoever was to
/// hear of them before still does unless the log does.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // Made beforehand: a panic may come while the recorder is at work.
        let count = metrics::counter!("muster_panics_total");
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            count.increment(1);
            if tracing::enabled!(tracing::Level::ERROR) {
                tell(panic);
            } else {
                before(panic);
            }
        }));
    });
}

/// Where it was, and not what it says: that may quote what somebody sent.
fn tell(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured)
        .then(|| tracing::field::display(&backtrace));
    tracing::error!(
        place,
        thread,
        backtrace,
        "panicked, which is a fault of Muster; what was being done there is ended, and nothing else"
    );
}
