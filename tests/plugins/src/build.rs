//! Compiling a component at the time of the test.
//!
//! Not in a build script: `cargo build` has no use for it. Owns the target
//! directory of such components and the lock on it: two test binaries that run
//! at the same time must not take each other's half-written files.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

/// The bytes of a package of this workspace, compiled as the built-in plugin is.
pub(crate) fn component(package: &str) -> Vec<u8> {
    let root = root();
    let target_dir = target_dir(&root);
    let arguments = ["--package", package, "--profile", "guest"];
    build(package, &root, &target_dir, &arguments);
    read(package, &target_dir.join(TARGET).join("guest"))
}

/// The bytes of a package that is a workspace of its own.
pub(crate) fn apart(folder: &str, package: &str) -> Vec<u8> {
    let root = root();
    let target_dir = target_dir(&root).join(package);
    build(package, &root.join(folder), &target_dir, &["--release"]);
    read(package, &target_dir.join(TARGET).join("release"))
}

fn build(package: &str, folder: &Path, target_dir: &Path, arguments: &[&str]) {
    fs::create_dir_all(target_dir).expect("a target directory");
    let lock = File::create(target_dir.join("lock")).expect("a lock file");
    // Given back when it is closed, also by the end of a process.
    lock.lock().expect("the lock");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(folder)
        .args(["build", "--quiet", "--locked", "--target", TARGET])
        .args(arguments)
        .arg("--target-dir")
        .arg(target_dir);
    for (name, _) in env::vars_os() {
        if leaks(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status().expect("cargo runs");
    if !status.success() {
        require_target(folder);
        panic!("{package} does not compile (cargo: {status})");
    }
}

fn read(package: &str, folder: &Path) -> Vec<u8> {
    let file = folder.join(format!("{}.wasm", package.replace('-', "_")));
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Beside what the tests themselves were built into: that directory's lock may
/// be held by the outer cargo.
fn target_dir(root: &Path) -> PathBuf {
    let outer = env::var_os("CARGO_TARGET_DIR").map(|path| root.join(path));
    outer.unwrap_or_else(|| root.join("target")).join("hostile")
}

/// Whether a variable of the outer build would change the nested one: flags and
/// wrappers meant for the host, profiles, and where it puts its files.
fn leaks(name: &str) -> bool {
    const FLAGS: [&str; 8] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_TARGET_DIR",
        "LLVM_PROFILE_FILE",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
    ];
    FLAGS.contains(&name)
        || name.starts_with("CARGO_BUILD_")
        || name.starts_with("CARGO_PROFILE_")
        || name.starts_with("CARGO_TARGET_")
        || name.starts_with("MAKEFLAGS")
}

/// Says what to run if rustc has no standard library for the target.
fn require_target(root: &Path) {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .current_dir(root)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let libdir = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if !libdir.is_ok_and(|libdir| Path::new(&libdir).is_dir()) {
        panic!(
            "the hostile plugin is a WebAssembly component, and this toolchain cannot build it yet; run\n\
             rustup target add {TARGET}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::leaks;

    #[test]
    fn the_flags_of_the_host_do_not_reach_the_guest() {
        for name in ["RUSTFLAGS", "CARGO_PROFILE_DEV_DEBUG", "CARGO_TARGET_DIR"] {
            assert!(leaks(name), "{name}");
        }
        for name in ["PATH", "CARGO_HOME", "RUSTUP_HOME", "CARGO_NET_OFFLINE"] {
            assert!(!leaks(name), "{name}");
        }
    }
}
