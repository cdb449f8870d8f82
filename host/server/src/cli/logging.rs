//! The log of the process: lines on standard error, for people or as JSON. Beside it, where there is
//! one, the layer that notes spans for traces.
//!
//! Owns what becomes of a line that cannot be written (a full disk, a reader
//! that is gone): it is lost and counted, and whoever said it goes on.

use std::io::{self, IsTerminal as _, Write};

use muster_trace::TraceLayer;
use tracing::Subscriber;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};

use crate::config::{Log, LogFormat};

/// Sends events of the whole process to standard error from now on. A log that is set up already
/// (by an embedding program) stays.
pub(super) fn init(log: &Log, traces: Option<TraceLayer>) {
    // The configuration has parsed it before.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = match traces {
        None => registry().with(filter).with(lines(log.format)).try_init(),
        // What is logged and what is traced are chosen apart.
        Some(traces) => registry()
            .with(lines(log.format).with_filter(filter))
            .with(traces.with_filter(TraceLayer::filter()))
            .try_init(),
    };
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Line(io::stderr()))
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
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

/// For commands that run a plugin for its author: what the plugin writes, and warnings.
pub(super) fn init_for_authors() {
    let log = Log {
        level: "warn,muster::plugin=info".to_owned(),
        format: LogFormat::Text,
    };
    init(&log, None);
}
