//! `muster plugin new`: the beginning of a plugin.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use muster_kit::scaffold::{Language, create};

use super::super::failure::Failure;
use super::super::say;

/// Begin a plugin: a directory that builds, and that passes its test at once
#[derive(Debug, Args)]
#[command(
    after_help = "The ten minutes from here to a plugin that a server has loaded are in \
    docs/plugins.md."
)]
pub(in crate::cli) struct New {
    /// What it is written in
    #[arg(long, value_enum)]
    lang: Lang,
    /// The directory; it is made, or has to be empty
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// The languages that there are templates for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lang {
    /// The typed contract; small and fast
    Rust,
    /// A handler of HTTP, with fetch
    Js,
    /// A handler of HTTP, with async
    Python,
}

impl New {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let language = match self.lang {
            Lang::Rust => Language::Rust,
            Lang::Js => Language::JavaScript,
            Lang::Python => Language::Python,
        };
        create(language, &self.directory)?;
        say(format_args!(
            "made {0}; next:\n\n  cd {0}\n  ./build\n  muster plugin test plugin.wasm tests.toml",
            self.directory.display()
        ));
        Ok(())
    }
}
