//! `muster plugin record` and `replay`: what a plugin did, and what another
//! build would make of it.

use std::path::PathBuf;

use clap::Args;
use http::Method;
use muster_kit::record::{Recording, Settings};
use muster_kit::replay::replay;

use super::super::failure::Failure;
use super::super::remote::{Address, segment};
use super::super::{complain, logging, runtime, say};
use super::File;
use super::engine::{Cache, engine};
use super::testing::Format;

/// Print what the plugin of a running server did last, as one JSON object
///
/// The server keeps the last fetches, the app's answers to them and the app's requests, in memory,
/// where [virtual_host.plugin] record = N says so. All names in them are replaced by pseudonyms,
/// the same in all of it; credentials are not in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n\n  muster plugin record example.test > day.json\n  \
    muster plugin replay day.json new.wasm"
)]
pub(in crate::cli) struct Record {
    /// The virtual host
    #[arg(value_name = "VHOST")]
    vhost: String,
    /// With the names as they are: the contacts of all users who were fetched
    #[arg(long)]
    raw: bool,
    /// A key of the app's documents whose values are no names; may be given several times
    #[arg(long, value_name = "KEY", conflicts_with = "raw")]
    keep: Vec<String>,
    #[command(flatten)]
    server: Address,
}

/// Show whose contacts would change if another build had served
///
/// The app's answers come from the recording; nothing leaves this machine. Exit code 1 if anything
/// would be otherwise, or cannot be compared.
#[derive(Debug, Args)]
pub(in crate::cli) struct Replay {
    /// What `muster plugin record` has printed
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// The other build; "builtin" is the one inside this program
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    /// A setting of [virtual_host.plugin.settings], which no recording has
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// How the differences are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    cache: Cache,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("there is no = in it")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Record {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let remote = self.server.remote("/admin/plugins", None)?;
        let mut path = format!("/admin/plugins/{}/recording", segment(&self.vhost));
        if self.raw {
            complain(
                "muster: this has the contacts of users in it, by name; keep it as you keep theirs",
            );
            path.push_str("?raw");
        } else if !self.keep.is_empty() {
            path.push_str(&format!("?keep={}", segment(&self.keep.join(","))));
        }
        let recording: Recording = runtime()?.block_on(remote.order(Method::GET, &path))?;
        say(serde_json::json!(recording));
        Ok(())
    }
}

impl Replay {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        logging::init_for_authors();
        let text = std::fs::read(&self.recording);
        let text = text.map_err(|source| Failure::ReadRecording {
            path: self.recording.clone(),
            source,
        })?;
        let recording: Recording =
            serde_json::from_slice(&text).map_err(|source| Failure::Recording {
                path: self.recording.clone(),
                source,
            })?;
        let candidate = File::candidate(&self.plugin)?;
        let replayed = runtime()?.block_on(async {
            let engine = engine(&self.cache)?;
            let settings = Settings::new(self.set);
            let replaying = replay(&engine, candidate, recording, settings);
            Ok::<_, Failure>(replaying.await?)
        })?;
        match self.format {
            Format::Text => say(&replayed),
            Format::Json => say(replayed.as_json()),
        }
        match replayed.is_same() {
            true => Ok(()),
            false => Err(Failure::WouldChange),
        }
    }
}
