//! `muster plugin test`: a plugin against fixtures, without a network.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use muster_kit::fixture::Fixture;
use muster_kit::run;

use super::super::failure::Failure;
use super::super::{logging, runtime, say};
use super::File;
use super::engine::{Cache, engine};

/// Try a plugin against fixtures, without a network and without a server
///
/// A fixture says what the app answers, and what the plugin should make of it: a roster, an error,
/// whom a webhook is about. Each case takes milliseconds; the plugin runs in the sandbox of a
/// server, within its limits. What it writes to its output is shown on standard error. Exit code 1
/// if a case failed, 64 for a faulty fixture, 65 for a plugin that no server would take.
#[derive(Debug, Args)]
#[command(
    after_help = "The file of a fixture, TOML or JSON, is explained in docs/plugins.md. \
    Example:\n\n  muster plugin test plugin.wasm tests.toml --filter paged"
)]
pub(in crate::cli) struct Test {
    /// A WebAssembly component; "builtin" is the one inside this program
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    /// The fixtures
    #[arg(value_name = "FIXTURE", required = true)]
    fixtures: Vec<PathBuf>,
    /// Only cases whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// How the results are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    cache: Cache,
}

/// For whom results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

impl Test {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        logging::init_for_authors();
        let read = |path: &PathBuf| Fixture::read(path);
        let fixtures = self
            .fixtures
            .iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        let candidate = File::candidate(&self.plugin)?;
        let reports = runtime()?.block_on(async {
            let engine = engine(&self.cache)?;
            let mut reports = Vec::new();
            for fixture in &fixtures {
                let trying = run::run(&engine, &candidate, fixture, &self.filter);
                reports.push(trying.await?);
            }
            Ok::<_, Failure>(reports)
        })?;
        let failed = reports.iter().map(|report| report.failed()).sum();
        let all = reports.iter().map(|report| report.cases.len()).sum();
        match self.format {
            Format::Text => reports.iter().for_each(say),
            Format::Json => say(serde_json::json!({
                "plugin": self.plugin.display().to_string(),
                "sha256": candidate.digest().to_string(),
                "passed": all - failed,
                "failed": failed,
                "fixtures": reports.iter().map(|it| it.as_json()).collect::<Vec<_>>(),
            })),
        }
        match (all, failed) {
            (0, _) => Err(Failure::NoCases),
            (_, 0) => Ok(()),
            (all, failed) => Err(Failure::CasesFailed { failed, all }),
        }
    }
}
