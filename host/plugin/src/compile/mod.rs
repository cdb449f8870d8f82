//! From the bytes of a component to machine code, without harm to the calls
//! that run meanwhile.
//!
//! Owns that one component is compiled at a time in a process, and within
//! which bounds. A thread that compiles cannot be stopped, so a server has a
//! child process do it ([`Compiler::Child`]): `child` is this side of the
//! pipe, `inside` the other. What was made is kept in a [`cache`], if there is
//! one.

mod cache;
mod child;
mod inside;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use muster_plugin_artifact::Artifact;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wasmtime::component::Component;

use self::cache::Cache;
pub use self::cache::CacheConfig;
pub use self::inside::{CompileOrder, compile_in_child};
use crate::candidate::Candidate;
use crate::engine::EngineConfig;
use crate::error::{CompilerError, LoadError};
use crate::settings::Limits;
use crate::telemetry;

/// Who compiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Compiler {
    /// A thread of this process. It cannot be stopped and its memory has no
    /// bound: for programs that load components of their own.
    #[default]
    InProcess,
    /// A process of this very program, which lowers its own limits first.
    Child(CompilerCommand),
}

/// How to start a process that calls [`compile_in_child`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, before those of [`CompileOrder`].
    pub arguments: Vec<OsString>,
}

/// The compiler of an engine.
pub(crate) struct Compilation {
    compiler: Compiler,
    cache: Option<Arc<Cache>>,
    wasm_stack_bytes: usize,
    turn: Arc<Semaphore>,
}

impl Compilation {
    pub(crate) fn new(config: EngineConfig, engine: &wasmtime::Engine) -> Self {
        let cache = config.cache;
        Self {
            compiler: config.compiler,
            cache: cache.and_then(|cache| Cache::open(cache, engine).map(Arc::new)),
            wasm_stack_bytes: config.wasm_stack_bytes,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// The component in machine code: from the cache, or compiled within the
    /// limits.
    pub(crate) async fn component(
        &self,
        engine: &wasmtime::Engine,
        candidate: &Candidate,
        limits: &Limits,
    ) -> Result<Component, LoadError> {
        if let Some(component) = self.cached(engine, candidate).await {
            return Ok(component);
        }
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.map_err(|_| given_up())?;
        // Another virtual host with the same plugin may have had the turn.
        if let Some(component) = self.cached(engine, candidate).await {
            return Ok(component);
        }
        let started = Instant::now();
        let made = self.compile(turn, engine, candidate, limits).await;
        telemetry::compiled(started.elapsed());
        self.keep(engine, candidate, made?).await
    }

    /// Whether there is machine code of it, as far as can be told without reading it.
    pub(crate) fn holds(&self, candidate: &Candidate) -> bool {
        let cache = self.cache.as_ref();
        cache.is_some_and(|cache| cache.holds(candidate.digest()))
    }

    async fn compile(
        &self,
        turn: OwnedSemaphorePermit,
        engine: &wasmtime::Engine,
        candidate: &Candidate,
        limits: &Limits,
    ) -> Result<Artifact, LoadError> {
        match &self.compiler {
            Compiler::Child(command) => {
                let order = CompileOrder {
                    memory_bytes: limits.compile_memory_bytes,
                    time: limits.compile,
                    wasm_stack_bytes: self.wasm_stack_bytes,
                };
                child::compile(command, order, candidate.bytes()).await
            }
            Compiler::InProcess => {
                let (engine, bytes) = (engine.clone(), candidate.bytes().clone());
                // The turn goes with the thread, which nothing stops.
                let compiling = tokio::task::spawn_blocking(move || {
                    let made = Artifact::compile(&engine, &bytes);
                    drop(turn);
                    made.map_err(LoadError::Compile)
                });
                let made = tokio::time::timeout(limits.compile, compiling).await;
                let made = made.map_err(|_| LoadError::CompileTimeout(limits.compile))?;
                made.map_err(|_| given_up())?
            }
        }
    }

    async fn cached(&self, engine: &wasmtime::Engine, candidate: &Candidate) -> Option<Component> {
        let cache = Arc::clone(self.cache.as_ref()?);
        let (engine, digest) = (engine.clone(), candidate.digest());
        let found = tokio::task::spawn_blocking(move || {
            let artifact = cache.find(digest)?;
            let loaded = artifact.load(&engine);
            if loaded.is_err() {
                cache.forget(digest);
            }
            loaded.ok()
        });
        found.await.ok().flatten()
    }

    async fn keep(
        &self,
        engine: &wasmtime::Engine,
        candidate: &Candidate,
        artifact: Artifact,
    ) -> Result<Component, LoadError> {
        let (engine, digest) = (engine.clone(), candidate.digest());
        let cache = self.cache.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let component = artifact.load(&engine);
            let component =
                component.map_err(|error| LoadError::Compiler(CompilerError::Artifact(error)))?;
            if let Some(cache) = cache {
                cache.keep(digest, &artifact);
            }
            Ok(component)
        });
        loading.await.map_err(|_| given_up())?
    }
}

fn given_up() -> LoadError {
    LoadError::Compiler(CompilerError::GivenUp)
}
