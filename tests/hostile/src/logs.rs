//! Lines for the log, too many and forged.

use crate::bindings::muster::roster::types::{FetchError, Fetched};
use crate::honest;

/// More than a second's worth.
pub(crate) fn flood() -> Result<Fetched, FetchError> {
    for _ in 0..100 {
        eprintln!("{}", "\u{1b}[31mflood ".repeat(1_000));
    }
    Ok(Fetched::Unchanged)
}

/// Two lines in one, with the look of the host's.
pub(crate) fn forge() -> Result<Fetched, FetchError> {
    eprintln!("innocent\r2026-01-01T00:00:00.000000Z ERROR muster_server: forged by return");
    eprintln!("innocent\u{2028}ERROR muster_server: forged by separator\u{1b}[2K\u{202e}");
    println!("\u{1b}]0;title\u{7}");
    honest()
}
