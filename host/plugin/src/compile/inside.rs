//! The process that compiles, from the inside.
//!
//! Owns its bounds and what it says. It lowers its limits before it reads
//! anything, so that whatever a component makes the compiler do ends with
//! this process alone. The component comes in by standard input, machine code
//! goes out by standard output, and one line of text by standard error.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use muster_plugin_artifact::Artifact;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::engine::{self, EngineConfig};

/// Exit codes by which the parent tells why there is no machine code.
pub(super) const REFUSED: u8 = 65;
pub(super) const NO_MEMORY: u8 = 71;
const BROKEN: u8 = 74;

/// How much more computing time than wall time the process may use: the
/// parent's clock is meant to be first.
const CPU_GRACE: Duration = Duration::from_secs(1);

/// The bounds of one compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileOrder {
    /// Address space of the process. All that it maps counts, its own program
    /// as well.
    pub memory_bytes: usize,
    /// How long it may take.
    pub time: Duration,
    /// [`EngineConfig::wasm_stack_bytes`] of the engine that will run the code.
    pub wasm_stack_bytes: usize,
}

impl CompileOrder {
    /// As arguments of a command, for [`CompileOrder::from_arguments`].
    pub(super) fn to_arguments(self) -> [String; 3] {
        [
            self.memory_bytes.to_string(),
            self.time.as_millis().to_string(),
            self.wasm_stack_bytes.to_string(),
        ]
    }

    /// Reads what the parent wrote; `None` if it is something else.
    #[must_use]
    pub fn from_arguments(arguments: &[String]) -> Option<Self> {
        let [memory, milliseconds, stack] = arguments else {
            return None;
        };
        Some(Self {
            memory_bytes: memory.parse().ok()?,
            time: Duration::from_millis(milliseconds.parse().ok()?),
            wasm_stack_bytes: stack.parse().ok()?,
        })
    }
}

/// Compiles the component at standard input to standard output, within the
/// bounds of the order. To be called in a process that does nothing else and
/// was started by [`crate::Compiler::Child`].
#[must_use]
pub fn compile_in_child(order: CompileOrder) -> ExitCode {
    let said = match compile(order) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(said) => said,
    };
    let (code, text) = match said {
        Said::Refused(error) if is_about_memory(&error) => (NO_MEMORY, format!("{error:#}")),
        Said::Refused(error) => (REFUSED, format!("{error:#}")),
        Said::Broken(error) => (BROKEN, error.to_string()),
    };
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(code)
}

/// Why there is no machine code.
enum Said {
    Refused(wasmtime::Error),
    Broken(io::Error),
}

fn compile(order: CompileOrder) -> Result<(), Said> {
    confine(order).map_err(Said::Broken)?;
    let mut component = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut component);
    read.map_err(Said::Broken)?;
    let mut config = engine::wasm_config(&EngineConfig {
        wasm_stack_bytes: order.wasm_stack_bytes,
        ..EngineConfig::default()
    });
    // Threads would each reserve address space, and take processors away from
    // the calls that run meanwhile.
    config.parallel_compilation(false);
    let engine = wasmtime::Engine::new(&config).map_err(Said::Refused)?;
    let artifact = Artifact::compile(&engine, &component).map_err(Said::Refused)?;
    let mut out = io::stdout().lock();
    let written = out.write_all(artifact.bytes()).and_then(|()| out.flush());
    written.map_err(Said::Broken)
}

/// No more memory, time, files or threads than it takes, and no core dump.
fn confine(order: CompileOrder) -> io::Result<()> {
    let memory = u64::try_from(order.memory_bytes).unwrap_or(u64::MAX);
    let cpu = (order.time + CPU_GRACE).as_secs().max(1);
    for (resource, limit) in [
        (Resource::As, memory),
        (Resource::Cpu, cpu),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ] {
        // A limit that is lower already stays.
        let maximum = rustix::process::getrlimit(resource).maximum;
        let limit = maximum.map_or(limit, |maximum| maximum.min(limit));
        let lowered = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, lowered)?;
    }
    Ok(())
}

fn is_about_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::OutOfMemory>()
        || error.chain().any(|cause| {
            let cause = cause.downcast_ref::<io::Error>();
            cause.is_some_and(|cause| cause.kind() == io::ErrorKind::OutOfMemory)
        })
}
