//! From a candidate to a build that has shown that it works.
//!
//! Owns the order of the steps: what is cheap and what needs no trust comes
//! first, so that nothing is compiled that would be refused anyway. Nothing
//! here touches the generation that serves.

use std::sync::Arc;

use muster_plugin_bindings::v0_1_batch::BatchingPre;
use wasmtime::component::{Component, InstancePre};

use super::self_test::{self, Occasion};
use super::status::BuildStatus;
use super::verification::Verification;
use crate::candidate::Candidate;
use crate::error::{CompilerError, LoadError};
use crate::generation::{Build, Surroundings};
use crate::inspect::{Digest, inspect};
use crate::kind::{Kind, Pre};
use crate::limit::Limit;
use crate::linker::{self, Stubs};
use crate::many;
use crate::store::StoreState;

/// All steps but the swap itself.
pub(crate) async fn build(
    surroundings: &Surroundings,
    verification: &Arc<Verification>,
    candidate: &Candidate,
    occasion: Occasion,
) -> Result<Arc<Build>, LoadError> {
    let (offered, wanted) = (candidate.clone(), Arc::clone(verification));
    let (limit, stubs) = (surroundings.limits.component_bytes, surroundings.stubs);
    let accepted = blocking(move || accept(&offered, &wanted, limit, stubs)).await;
    let status = accepted.inspect_err(|error| {
        if matches!(error, LoadError::TooLarge { .. }) {
            surroundings.meter.limit(Limit::ComponentBytes);
        }
    })?;
    let engine = surroundings.engine.wasm().clone();
    let compilation = surroundings.engine.compilation();
    let compiling = compilation.component(&engine, candidate, &surroundings.limits);
    let component = compiling.await?;
    let kind = status.kind.clone();
    let (pre, batch) = blocking(move || link(&engine, stubs, &kind, &component)).await?;
    let config = surroundings.config();
    let build = Arc::new(Build {
        identity: identity(status.digest, &config),
        status,
        pre,
        batch,
        config,
    });
    self_test::run(&surroundings.around(&build), verification, occasion).await?;
    Ok(build)
}

/// What of a build decides how it reads an answer: its bytes, and its settings.
fn identity(digest: Digest, config: &[(String, String)]) -> Digest {
    let mut hashed = digest.as_bytes().to_vec();
    for text in config.iter().flat_map(|(name, value)| [name, value]) {
        hashed.extend((text.len() as u64).to_le_bytes());
        hashed.extend(text.as_bytes());
    }
    Digest::of(&hashed)
}

/// What can be said without compiling: whether these are the bytes that the
/// operator wants, and whether a host of this version would take them.
fn accept(
    candidate: &Candidate,
    verification: &Verification,
    limit: usize,
    stubs: Stubs,
) -> Result<BuildStatus, LoadError> {
    let bytes = candidate.bytes();
    if bytes.len() > limit {
        return Err(LoadError::TooLarge {
            bytes: bytes.len(),
            limit,
        });
    }
    verification.admit(candidate)?;
    let inspection = inspect(bytes, limit)?;
    let kind = inspection.accept(stubs)?.clone();
    Ok(BuildStatus {
        digest: candidate.digest(),
        bytes: inspection.bytes,
        kind,
        source: candidate.source().clone(),
    })
}

/// Joins the component to the linker, which checks the types of imports and
/// exports.
fn link(
    engine: &wasmtime::Engine,
    stubs: Stubs,
    kind: &Kind,
    component: &Component,
) -> Result<(Pre, Option<BatchingPre<StoreState>>), LoadError> {
    let linker = linker::build(engine, stubs).map_err(LoadError::MismatchedImport)?;
    let pre: InstancePre<_> = linker
        .instantiate_pre(component)
        .map_err(LoadError::MismatchedImport)?;
    let batch = many::pre(kind, &pre);
    let pre = Pre::new(kind, pre).map_err(LoadError::MismatchedExport)?;
    Ok((pre, batch))
}

/// Runs what takes CPU time away from the executor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| LoadError::Compiler(CompilerError::GivenUp))?
}
