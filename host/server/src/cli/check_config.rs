//! `muster check-config`: everything that is wrong with a configuration file.

use std::path::Path;

use super::failure::Failure;
use super::{complain, say};
use crate::config::Config;

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    for warning in &config.warnings {
        complain(warning);
    }
    say(format_args!("{}: ok", path.display()));
    Ok(())
}
