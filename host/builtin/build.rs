//! Builds the component in `guest/component` and leaves it in `OUT_DIR`.
//!
//! Owns the nested cargo: its environment, its target directory and the one
//! message that tells what is missing. Packagers who build the component apart
//! name it in `MUSTER_BUILTIN_COMPONENT`, and no nested cargo runs.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "cargo reads a build script's stdout")]

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip2";
const OVERRIDE: &str = "MUSTER_BUILTIN_COMPONENT";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let out = PathBuf::from(var("OUT_DIR")?);
    let component = match env::var_os(OVERRIDE) {
        Some(path) => PathBuf::from(path),
        None => compile(&out)?,
    };
    println!("cargo::rerun-if-changed={}", component.display());
    let bytes = fs::read(&component)
        .map_err(|error| format!("cannot read the component {}: {error}", component.display()))?;
    let embedded = out.join("component.wasm");
    // Left alone if it is the same: its time decides whether dependents are built again.
    if fs::read(&embedded).ok().as_ref() != Some(&bytes) {
        fs::write(&embedded, bytes)?;
    }
    Ok(())
}

/// Runs the nested cargo and says where the component is.
fn compile(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?).join("../..");
    for input in [
        "wit",
        "guest/contract/src",
        "guest/contract/Cargo.toml",
        "guest/component",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    require_target()?;

    // Its own target directory: the outer cargo holds the lock of the other.
    let target_dir = out.join("target");
    let mut cargo = Command::new(var("CARGO")?);
    cargo
        .current_dir(&root)
        .args([
            "build",
            "--locked",
            "--package",
            "muster-guest",
            "--target",
            TARGET,
        ])
        .args(["--profile", "guest", "--target-dir"])
        .arg(&target_dir)
        .arg("--jobs")
        .arg(var("NUM_JOBS")?);
    for (name, _) in env::vars_os() {
        if leaks(&name) {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("the built-in plugin does not compile (cargo: {status})").into());
    }
    Ok(target_dir.join(TARGET).join("guest/muster_guest.wasm"))
}

/// Whether a variable of the outer build would change the nested one: flags
/// and wrappers meant for the host (clippy, coverage, a linker), this crate's
/// own description, and the target. Where packages come from stays.
fn leaks(name: &OsString) -> bool {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "CARGO_ALIAS_",
    ];
    const FLAGS: [&str; 12] = [
        "DEBUG",
        "HOST",
        "LLVM_PROFILE_FILE",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC_LINKER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "TARGET",
    ];
    let name = name.to_string_lossy();
    FLAGS.contains(&&*name)
        || (name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept)))
        || name.starts_with("MAKEFLAGS")
}

/// Says what to run if rustc has no standard library for the target.
fn require_target() -> Result<(), Box<dyn Error>> {
    let output = Command::new(var("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    let libdir = String::from_utf8(output.stdout)?;
    if output.status.success() && Path::new(libdir.trim()).is_dir() {
        return Ok(());
    }
    Err(format!(
        "the built-in plugin is a WebAssembly component, and this toolchain cannot build it yet; run\n\
         rustup target add {TARGET}"
    )
    .into())
}

fn var(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
