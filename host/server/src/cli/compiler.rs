//! `muster compile-plugin`: this program as the compiler of plugins, started by a server and by
//! nobody else.

use std::path::PathBuf;
use std::process::ExitCode;

use muster_plugin::{CompileOrder, Compiler, CompilerCommand, compile_in_child};

use super::failure::USAGE;

/// The name of the command; not in the help.
pub(super) const COMMAND: &str = "compile-plugin";

/// This very program, also where its file was replaced meanwhile.
pub(super) fn child() -> Compiler {
    let running = PathBuf::from("/proc/self/exe");
    let program = match running.exists() {
        true => Ok(running),
        false => std::env::current_exe(),
    };
    match program {
        Ok(program) => Compiler::Child(CompilerCommand {
            program,
            arguments: vec![COMMAND.into()],
        }),
        Err(error) => {
            tracing::warn!(%error, "plugins are compiled in this process, without bounds");
            Compiler::InProcess
        }
    }
}

/// The child's side.
pub(super) fn run(order: &[String]) -> ExitCode {
    match CompileOrder::from_arguments(order) {
        Some(order) => compile_in_child(order),
        None => ExitCode::from(USAGE),
    }
}
