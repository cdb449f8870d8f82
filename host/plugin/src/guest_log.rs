//! What a guest writes to its standard output and error, as log events.
//!
//! A line is cut at [`crate::Limits::log_line_bytes`]; control characters and the ones that
//! reorder text are escaped, so that a guest can neither forge a line nor
//! paint a terminal; a plugin that writes more than
//! [`crate::Limits::log_bytes_per_second`] is silenced until the second is over,
//! and the log says how much was lost.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::limit::Limit;
use crate::settings::Limits;
use crate::telemetry::Meter;

/// The log of one plugin: what it has left of this second.
#[derive(Debug)]
pub(crate) struct GuestLog {
    meter: Meter,
    line_bytes: usize,
    // Held for arithmetic only, never across await.
    budget: Mutex<Budget>,
}

#[derive(Debug)]
struct Budget {
    bytes_per_second: usize,
    since: Instant,
    bytes: usize,
    suppressed: u64,
}

/// What the budget says about a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Log it, after saying how many lines the last second lost.
    Log { suppressed: u64 },
    /// Do not; `first` in this second.
    Suppress { first: bool },
}

impl Budget {
    fn new(bytes_per_second: usize, now: Instant) -> Self {
        Self {
            bytes_per_second,
            since: now,
            bytes: 0,
            suppressed: 0,
        }
    }

    fn admit(&mut self, bytes: usize, now: Instant) -> Verdict {
        let mut lost = 0;
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.bytes = 0;
            lost = std::mem::take(&mut self.suppressed);
        }
        // An empty line costs too.
        self.bytes = self.bytes.saturating_add(bytes.max(16));
        if self.bytes > self.bytes_per_second {
            let first = self.suppressed == 0;
            self.suppressed += lost + 1;
            return Verdict::Suppress { first };
        }
        Verdict::Log { suppressed: lost }
    }
}

impl GuestLog {
    pub(crate) fn new(limits: &Limits, meter: Meter) -> Arc<Self> {
        Arc::new(Self {
            meter,
            line_bytes: limits.log_line_bytes,
            budget: Mutex::new(Budget::new(limits.log_bytes_per_second, Instant::now())),
        })
    }

    /// One of the two streams of a new store.
    pub(crate) fn stream(self: &Arc<Self>, name: &'static str) -> GuestStream {
        GuestStream {
            log: Arc::clone(self),
            name,
            line: Arc::new(Mutex::new(Vec::new())),
        }
    }

    fn line(&self, stream: &'static str, line: &[u8]) {
        let verdict = self
            .budget
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(line.len(), Instant::now());
        let suppressed = match verdict {
            Verdict::Log { suppressed } => suppressed,
            Verdict::Suppress { first } => {
                if first {
                    self.meter.limit(Limit::LogBytesPerSecond);
                }
                return;
            }
        };
        let plugin = self.meter.vhost();
        if suppressed > 0 {
            tracing::warn!(target: "muster::plugin", plugin, suppressed, "the plugin wrote too much");
        }
        tracing::info!(target: "muster::plugin", plugin, stream, "{}", escape(line));
    }
}

/// One stream of one store. Its unfinished line is shared by all handles that
/// the guest asks for.
#[derive(Debug, Clone)]
pub(crate) struct GuestStream {
    log: Arc<GuestLog>,
    name: &'static str,
    // Held for copying only, never across await.
    line: Arc<Mutex<Vec<u8>>>,
}

impl GuestStream {
    fn feed(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            // What exceeds the line is dropped, not wrapped: a wrapped rest
            // would look like a line of its own.
            let room = self.log.line_bytes.saturating_sub(line.len());
            line.extend(text.iter().take(room));
            // Once a line: no further byte of it finds room.
            if room > 0 && text.len() > room {
                self.log.meter.limit(Limit::LogLineBytes);
            }
            if piece.len() != text.len() {
                self.log.line(self.name, &line);
                line.clear();
            }
        }
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.feed(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.feed(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.log.line_bytes)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

/// Text that is safe in a log and on a terminal.
pub(crate) fn escape(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_layout(c) {
            // Writing into a String cannot fail.
            let _ = write!(safe, "{}", c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Line separators and the marks that change the direction of text.
fn is_layout(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_forge_a_line_or_paint_a_terminal() {
        assert_eq!(escape(b"plain \xc3\xa9"), "plain é");
        assert_eq!(escape(b"a\x1b[31mb\rc\x00"), "a\\u{1b}[31mb\\u{d}c\\u{0}");
        assert_eq!(
            escape("x\u{202e}y\u{2028}".as_bytes()),
            "x\\u{202e}y\\u{2028}"
        );
        assert_eq!(escape(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn a_second_has_a_budget_and_the_loss_is_told_once() {
        let start = Instant::now();
        let mut budget = Budget::new(8_000, start);
        for _ in 0..8 {
            assert_eq!(budget.admit(1_000, start), Verdict::Log { suppressed: 0 });
        }
        let suppressed = [true, false].map(|first| Verdict::Suppress { first });
        assert_eq!(
            [1_000, 1].map(|bytes| budget.admit(bytes, start)),
            suppressed
        );
        let later = start + Duration::from_secs(1);
        assert_eq!(budget.admit(1, later), Verdict::Log { suppressed: 2 });
        assert_eq!(budget.admit(1, later), Verdict::Log { suppressed: 0 });
    }

    #[test]
    fn a_long_line_is_cut_not_wrapped() {
        let limits = Limits {
            log_line_bytes: 100,
            ..Limits::default()
        };
        let stream = GuestLog::new(&limits, Meter::new("example.test")).stream("stderr");
        stream.feed(&[b'a'; 300]);
        assert_eq!(stream.line.lock().unwrap().len(), 100);
        stream.feed(b"\n");
        assert_eq!(stream.line.lock().unwrap().len(), 0);
    }
}
