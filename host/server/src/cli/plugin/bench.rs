//! `muster plugin bench`: what a call costs.

use std::path::PathBuf;

use clap::Args;
use muster_kit::bench::{Order, measure};
use muster_kit::fixture::Fixture;

use super::super::failure::Failure;
use super::super::table::aligned;
use super::super::{compiler, logging, runtime, say};
use super::File;
use super::testing::Format;

/// Measure what a call of a plugin costs, cold and warm
///
/// The calls are a case of a fixture that expects a list, one after the other; the app answers from
/// this program, without a network, so that its share of the time is small and the same for every
/// plugin. A cold call has a new store, a warm one a store that has served others. Run a release
/// build of this program on a quiet machine, or the figures are those of something else.
#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    /// A WebAssembly component; "builtin" is the one inside this program
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    /// The fixture that has the case
    #[arg(value_name = "FIXTURE")]
    fixture: PathBuf,
    /// The case, by its whole name [default: the first fetch that expects a list]
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Where machine code is kept: what is there is not compiled again, and how long that takes is
    /// not told [default: nowhere, so that it is]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Warm calls; a tenth of that are cold
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    calls: usize,
    /// How the figures are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Bench {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        logging::init_for_authors();
        let fixture = Fixture::read(&self.fixture)?;
        let candidate = File::candidate(&self.plugin)?;
        let own = tempfile::tempdir().map_err(Failure::NoDirectory)?;
        let cache = self.cache.unwrap_or_else(|| own.path().join("code"));
        let order = Order {
            compiler: compiler::child(),
            cache: &cache,
            fixture: &fixture,
            case: self.case.as_deref(),
            calls: self.calls,
        };
        let figures = runtime()?.block_on(measure(&candidate, &order))?;
        match self.format {
            Format::Json => say(figures.as_json()),
            Format::Text => {
                let lines = figures.lines().into_iter();
                let rows: Vec<_> = lines
                    .map(|(name, value)| [name.to_owned(), value])
                    .collect();
                aligned(&rows).into_iter().for_each(say);
            }
        }
        Ok(())
    }
}
