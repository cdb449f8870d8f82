//! SIGTERM and SIGINT, which stop the process, and SIGHUP, which has it read files again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

/// What asks the process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals from now on; must run inside a runtime.
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next one that asks the process to stop, by its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What asks the process to read its files again. Without one of these SIGHUP ends the process, as
/// it should when the terminal of a program in the foreground is closed.
pub(super) struct Hangups(Signal);

impl Hangups {
    /// Takes the signal from now on; must run inside a runtime.
    pub(super) fn new() -> Result<Self, Failure> {
        let hangup = signal(SignalKind::hangup()).map_err(Failure::Signals)?;
        Ok(Self(hangup))
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}
