//! What is kept, what is believed, and what goes.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::engine::{EngineConfig, wasm_config};

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn engine(wasm_stack_bytes: usize) -> wasmtime::Engine {
    let config = EngineConfig {
        wasm_stack_bytes,
        ..EngineConfig::default()
    };
    wasmtime::Engine::new(&wasm_config(&config)).unwrap()
}

fn open(directory: &Path, bytes: usize) -> Option<Cache> {
    let directory = directory.join("plugin-cache");
    Cache::open(CacheConfig { directory, bytes }, &engine(512 << 10))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory.join("plugin-cache")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn what_was_kept_is_found_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let artifact = Artifact::compile(&engine(512 << 10), EMPTY).unwrap();
    let (component, other) = (Digest::of(EMPTY), Digest::of(b"other"));
    let cache = open(directory.path(), 1 << 20).unwrap();
    assert!(cache.find(component).is_none());
    cache.keep(component, &artifact);
    let again = open(directory.path(), 1 << 20).unwrap();
    let found = again.find(component).unwrap();
    assert_eq!(found.bytes(), artifact.bytes());
    assert!(found.load(&engine(512 << 10)).is_ok());
    assert!(again.find(other).is_none());
    let path = again.path(component);
    let mode = fs::metadata(&path).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Code of one component is not taken for that of another.
    fs::rename(path, again.path(other)).unwrap();
    assert!(again.find(other).is_none());
}

#[test]
fn damaged_code_is_never_run() {
    let directory = tempfile::tempdir().unwrap();
    let artifact = Artifact::compile(&engine(512 << 10), EMPTY).unwrap();
    let component = Digest::of(EMPTY);
    let cache = open(directory.path(), 1 << 20).unwrap();
    let path = cache.path(component);
    cache.keep(component, &artifact);
    let sound = fs::read(&path).unwrap();
    let last = sound.len() - 1;
    for place in [0, MAGIC.len(), HEAD_BYTES, sound.len() / 2, last] {
        let mut damaged = sound.clone();
        damaged[place] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert!(cache.find(component).is_none(), "byte {place}");
        assert!(!path.exists(), "it is removed");
        cache.keep(component, &artifact);
        assert!(cache.find(component).is_some());
    }
    for length in [0, HEAD_BYTES - 1, HEAD_BYTES, last] {
        fs::write(&path, &sound[..length]).unwrap();
        assert!(cache.find(component).is_none(), "{length} bytes");
        cache.keep(component, &artifact);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(
        cache.find(component).is_none(),
        "others may have written it"
    );
}

#[test]
fn a_directory_that_others_can_change_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("plugin-cache");
    assert!(open(directory.path(), 1 << 20).is_some());
    for mode in [0o770, 0o701, 0o755] {
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        assert!(open(directory.path(), 1 << 20).is_none(), "{mode:o}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    fs::remove_dir(&place).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &place).unwrap();
    assert!(open(directory.path(), 1 << 20).is_none());
}

#[test]
fn the_oldest_go_and_what_is_unfinished_goes() {
    let directory = tempfile::tempdir().unwrap();
    let artifact = Artifact::compile(&engine(512 << 10), EMPTY).unwrap();
    let room = 2 * (artifact.bytes().len() + HEAD_BYTES) + 1;
    let cache = open(directory.path(), room).unwrap();
    let components = [b"1", b"2", b"3"].map(|bytes| Digest::of(bytes));
    for component in components {
        cache.keep(component, &artifact);
    }
    assert!(cache.find(components[0]).is_none());
    assert!(cache.find(components[1]).is_some());
    assert!(cache.find(components[2]).is_some());
    fs::write(directory.path().join("plugin-cache/x.new"), b"half").unwrap();
    fs::write(directory.path().join("plugin-cache/README"), b"not ours").unwrap();
    open(directory.path(), room).unwrap();
    assert_eq!(names(directory.path()).len(), 3);
    // What alone is too large does not throw out the rest.
    let small = open(directory.path(), room / 2 + 1).unwrap();
    let large = Artifact::vouched(vec![0; room]);
    small.keep(components[0], &large);
    assert!(small.find(components[2]).is_some());
}

#[test]
fn the_fingerprint_knows_the_configuration() {
    let mut other = wasm_config(&EngineConfig::default());
    other.epoch_interruption(false);
    let other = wasmtime::Engine::new(&other).unwrap();
    assert_eq!(fingerprint(&engine(1 << 20)), fingerprint(&engine(1 << 20)));
    assert_ne!(fingerprint(&engine(1 << 20)), fingerprint(&other));
}
