//! Machine code of plugins: the one place that runs bytes which nobody checks.
//!
//! Owns the step from serialised machine code to a component. wasmtime cannot
//! tell code that its compiler made from code that somebody else did, so that
//! step is unsafe, and who takes it answers for where the bytes come from:
//! either this process has compiled them ([`Artifact::compile`]), or a process
//! of this very program has, and nobody else could touch them since
//! ([`Artifact::vouched`]). A crate of its own, so that all others can forbid
//! unsafe code.

#![deny(unsafe_code)]

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// Machine code of one component, for engines with one configuration.
pub struct Artifact(Vec<u8>);

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Artifact").field(&self.0.len()).finish()
    }
}

impl Artifact {
    /// Compiles a component, here and now. Takes about half a second of CPU
    /// time for an ordinary one, and cannot be stopped.
    ///
    /// # Errors
    /// What is wrong with the component.
    pub fn compile(engine: &Engine, component: &[u8]) -> Result<Self> {
        engine.precompile_component(component).map(Self)
    }

    /// Bytes of [`Artifact::bytes`] that another process of this program, or
    /// this one earlier, has made. The caller answers for that: other bytes
    /// can do whatever this process can. A test of the repository lists the
    /// callers.
    pub fn vouched(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// To hand on or to keep.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The component, ready to be linked.
    ///
    /// # Errors
    /// It was made by another version of the engine, or for another
    /// configuration of it.
    #[allow(
        unsafe_code,
        reason = "the bytes are this program's own, by the two ways there are to make an Artifact"
    )]
    pub fn load(&self, engine: &Engine) -> Result<Component> {
        // SAFETY: `compile` got the bytes from `precompile_component`, which is
        // what `deserialize` asks for; the callers of `vouched` answer for the
        // same. The bytes are copied, so nothing changes them afterwards.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn code_survives_as_bytes_and_knows_its_engine() {
        let engine = Engine::default();
        let bytes = Artifact::compile(&engine, EMPTY).unwrap().bytes().to_vec();
        assert!(Artifact::vouched(bytes.clone()).load(&engine).is_ok());
        let mut other = wasmtime::Config::new();
        other.epoch_interruption(true);
        let other = Engine::new(&other).unwrap();
        assert!(Artifact::vouched(bytes).load(&other).is_err());
        assert!(Artifact::compile(&engine, b"\0asm").is_err());
    }
}
