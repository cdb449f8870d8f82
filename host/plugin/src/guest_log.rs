//! What a guest writes to its standard output and error, as log events.
//!
//! A line is cut at [`LINE_BYTES`]; control characters and the ones that
//! reorder text are escaped, so that a guest can neither forge a line nor
//! paint a terminal; a plugin that writes more than [`BYTES_A_SECOND`] is
//! silenced until the second is over, and the log says how much was lost.

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

/// Longest line that is logged whole.
const LINE_BYTES: usize = 8 << 10;
/// What one plugin may log in a second, all its stores together.
const BYTES_A_SECOND: usize = 64 << 10;

/// The log of one plugin: its name and what it has left of this second.
#[derive(Debug)]
pub(crate) struct GuestLog {
    plugin: String,
    // Held for arithmetic only, never across await.
    budget: Mutex<Budget>,
}

#[derive(Debug)]
struct Budget {
    since: Instant,
    bytes: usize,
    suppressed: u64,
}

/// What the budget says about a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Log it, after saying how many lines the last second lost.
    Log {
        suppressed: u64,
    },
    Suppress,
}

impl Budget {
    fn admit(&mut self, bytes: usize, now: Instant) -> Verdict {
        let mut lost = 0;
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.bytes = 0;
            lost = std::mem::take(&mut self.suppressed);
        }
        // An empty line costs too.
        self.bytes = self.bytes.saturating_add(bytes.max(16));
        if self.bytes > BYTES_A_SECOND {
            self.suppressed += lost + 1;
            return Verdict::Suppress;
        }
        Verdict::Log { suppressed: lost }
    }
}

impl GuestLog {
    pub(crate) fn new(plugin: &str) -> Arc<Self> {
        Arc::new(Self {
            plugin: plugin.to_owned(),
            budget: Mutex::new(Budget {
                since: Instant::now(),
                bytes: 0,
                suppressed: 0,
            }),
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
        let Verdict::Log { suppressed } = verdict else {
            return;
        };
        if suppressed > 0 {
            tracing::warn!(target: "muster::plugin", plugin = self.plugin, suppressed, "the plugin wrote too much");
        }
        tracing::info!(target: "muster::plugin", plugin = self.plugin, stream, "{}", escape(line));
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
            let room = LINE_BYTES.saturating_sub(line.len());
            line.extend(text.iter().take(room));
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
        Ok(LINE_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

/// Text that is safe in a log and on a terminal.
fn escape(line: &[u8]) -> String {
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
        let mut budget = Budget {
            since: start,
            bytes: 0,
            suppressed: 0,
        };
        for _ in 0..8 {
            assert_eq!(
                budget.admit(LINE_BYTES, start),
                Verdict::Log { suppressed: 0 }
            );
        }
        assert_eq!(budget.admit(LINE_BYTES, start), Verdict::Suppress);
        assert_eq!(budget.admit(1, start), Verdict::Suppress);
        let later = start + Duration::from_secs(1);
        assert_eq!(budget.admit(1, later), Verdict::Log { suppressed: 2 });
        assert_eq!(budget.admit(1, later), Verdict::Log { suppressed: 0 });
    }

    #[test]
    fn a_long_line_is_cut_not_wrapped() {
        let stream = GuestLog::new("example.test").stream("stderr");
        stream.feed(&vec![b'a'; 3 * LINE_BYTES]);
        assert_eq!(stream.line.lock().unwrap().len(), LINE_BYTES);
        stream.feed(b"\n");
        assert_eq!(stream.line.lock().unwrap().len(), 0);
    }
}
