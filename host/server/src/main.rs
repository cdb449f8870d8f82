//! The binary `muster`: the commands of the library `muster_server`, nothing else.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    muster_server::cli::run(std::env::args_os())
}
