//! The WebAssembly engine of the process and the clock of its epochs.
//!
//! Owns the compiler's and the runtime's configuration, shared by all virtual
//! hosts. What one store may use is decided in [`crate::store`].

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::candidate::Candidate;
use crate::compile::{CacheConfig, Compilation, Compiler};

/// How far apart the ticks of the epoch are. A guest is looked at once in a
/// tick while it computes; a turn limit is a number of ticks.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// What the operator may decide about the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Stack of WebAssembly code, in bytes; deeper recursion traps.
    /// Default 512 KiB.
    pub wasm_stack_bytes: usize,
    /// Who compiles components. Default: this process.
    pub compiler: Compiler,
    /// Where machine code is kept for the next start. Default: nowhere.
    pub cache: Option<CacheConfig>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            wasm_stack_bytes: 512 << 10,
            compiler: Compiler::default(),
            cache: None,
        }
    }
}

/// Why there is no engine. Reach: the process.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This machine or this configuration cannot run the engine.
    #[error("the WebAssembly engine cannot be configured: {0:#}")]
    Config(#[source] wasmtime::Error),
    /// The thread that ticks the epoch did not start.
    #[error("the epoch thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// The engine of the process. Cheap to clone; the last clone ends the epoch
/// thread.
#[derive(Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    compilation: Arc<Compilation>,
    _ticker: Arc<Ticker>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Makes the engine, starts its epoch thread and opens the cache. Blocks
    /// for a moment.
    ///
    /// # Errors
    /// [`EngineError`]; nothing about it changes by trying again.
    pub fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        let wasm = wasmtime::Engine::new(&wasm_config(config)).map_err(EngineError::Config)?;
        let ticker = Ticker::start(wasm.clone()).map_err(EngineError::Thread)?;
        Ok(Self {
            compilation: Arc::new(Compilation::new(config.clone(), &wasm)),
            wasm,
            _ticker: Arc::new(ticker),
        })
    }

    /// Whether its cache has machine code of these bytes. Blocks for a moment.
    #[must_use]
    pub fn has_compiled(&self, candidate: &Candidate) -> bool {
        self.compilation.holds(candidate)
    }

    pub(crate) fn compilation(&self) -> &Compilation {
        &self.compilation
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }
}

/// Also of the process that compiles: code is for one configuration.
pub(crate) fn wasm_config(config: &EngineConfig) -> wasmtime::Config {
    let mut wasm = wasmtime::Config::new();
    wasm.wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .max_wasm_stack(config.wasm_stack_bytes)
        // The host's part of a call runs on the same stack.
        .async_stack_size(config.wasm_stack_bytes + (512 << 10))
        // Addresses for all that a 32-bit memory can be, so that it never moves:
        // while one moves it is there twice, and a guest at its limit would cost
        // twice the limit. Addresses alone cost nothing; what a store starts
        // with is shared copy-on-write.
        .memory_reservation(4 << 30)
        .memory_guard_size(64 << 10)
        .memory_init_cow(true)
        // Nothing that a contact list needs. Threads are not compiled in.
        .wasm_memory64(false);
    wasm
}

/// A plain thread, because a busy executor must not stop the clock that
/// bounds it.
struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(EPOCH_TICK) == Err(RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // Closing the channel wakes the thread at once.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
