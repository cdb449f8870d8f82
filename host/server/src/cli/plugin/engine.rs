//! The engine of commands that run a plugin on an author's machine, and where its machine code is
//! kept between two of them.

use std::path::PathBuf;

use clap::Args;
use muster_plugin::{CacheConfig, Engine, EngineConfig, LoadError};

use super::super::compiler;

/// Some large plugins in several builds.
const CACHE_BYTES: usize = 1 << 30;

/// Where machine code is kept.
#[derive(Debug, Args)]
pub(in crate::cli) struct Cache {
    /// Where compiled plugins are kept [default: muster below the user's cache directory]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

impl Cache {
    /// `None` where the user has no such directory: everything is compiled anew then.
    fn directory(&self) -> Option<PathBuf> {
        if let Some(directory) = &self.cache {
            return Some(directory.clone());
        }
        let of_user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let of_user = of_user.filter(|path| path.is_absolute());
        let below_home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        Some(of_user.or_else(below_home)?.join("muster"))
    }
}

/// An engine as a server has it, compiling in a process of its own.
pub(in crate::cli) fn engine(cache: &Cache) -> Result<Engine, LoadError> {
    let cache = cache.directory().map(|directory| CacheConfig {
        directory,
        bytes: CACHE_BYTES,
    });
    let engine = Engine::new(&EngineConfig {
        compiler: compiler::child(),
        cache,
        ..EngineConfig::default()
    });
    engine.map_err(LoadError::Engine)
}
