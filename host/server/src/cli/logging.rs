//! The log of the process: lines on standard error, for people or as JSON.
//!
//! Owns what becomes of a line that cannot be written (a full disk, a reader
//! that is gone): it is lost and counted, and whoever said it goes on.

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Sends events of the whole process to standard error from now on. A log that is set up already
/// (by an embedding program) stays.
pub(super) fn init(log: &Log) {
    // The configuration has parsed it before.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Line(io::stderr()))
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false);
    let _ = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Takes one line, which comes in one piece.
struct Line<W>(W);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.write_all(line).is_err() {
            metrics::counter!("muster_log_lines_lost_total").increment(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
