//! `muster plugin`: what a plugin file is, and whether a host would take it, without a running
//! host. What helps to write one has a file for each command below. What serves in a running one is [`super::serving`]'s, keys are [`super::signing`]'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use muster_plugin::{
    Candidate, Capability, Digest, EgressPolicy, Engine, EngineConfig, Inspection, Kind, Limits,
    LoadError, Plugin, PublicKey, Settings, Stubs, SystemResolver, Verification, inspect,
};
use serde_json::json;

use super::failure::Failure;
use super::serving::{Order, Status};
use super::signing::{Keygen, Sign};
use super::{compiler, runtime, say};

mod bench;
mod engine;
mod recording;
mod scaffold;
mod shadow;
mod testing;

/// The commands about plugin files.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Tell what a plugin file is and what it would be able to do, without running it
    Inspect(File),
    /// Check all that loading would check, without a running host
    ///
    /// The digest and the signature, if they are asked for; what the plugin imports and exports;
    /// whether it compiles, in a process of its own and within the bounds of a server; whether it
    /// starts, and answers a first call for which no request leaves this machine.
    Validate(Wanted),
    New(scaffold::New),
    Test(testing::Test),
    Bench(bench::Bench),
    Record(recording::Record),
    Replay(recording::Replay),
    Shadow(shadow::RunShadow),
    Keygen(Keygen),
    Sign(Sign),
    Status(Status),
    /// Have a running server take the plugin from its file as it is now
    ///
    /// Nothing changes if the file is refused; the reason is told.
    Reload(Order),
    /// Have a running server go back to the build before the last one
    Rollback(Order),
}

/// A plugin file, and what it must be beside being a plugin.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    #[command(flatten)]
    file: File,
    /// The digest that `sha256` in the configuration wants
    #[arg(long, value_name = "HEX")]
    sha256: Option<Digest>,
    /// A key of `trusted_keys` in the configuration; may be given several times
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<PublicKey>,
}

/// A plugin file.
#[derive(Debug, Args)]
pub(super) struct File {
    /// A WebAssembly component; "builtin" is the one inside this program
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As for a virtual host with deny_all_stubs = true
    #[arg(long)]
    deny_all_stubs: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl PluginCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Inspect(file) => file.inspect(),
            Self::Validate(wanted) => wanted.validate(),
            Self::New(new) => new.run(),
            Self::Test(test) => test.run(),
            Self::Bench(bench) => bench.run(),
            Self::Record(record) => record.run(),
            Self::Replay(replay) => replay.run(),
            Self::Shadow(shadow) => shadow.run(),
            Self::Keygen(keygen) => keygen.run(),
            Self::Sign(sign) => sign.run(),
            Self::Status(status) => status.run(),
            Self::Reload(order) => order.reload(),
            Self::Rollback(order) => order.roll_back(),
        }
    }
}

impl File {
    fn stubs(&self) -> Stubs {
        match self.deny_all_stubs {
            true => Stubs::DenyAll,
            false => Stubs::Absent,
        }
    }

    fn read(&self) -> Result<Candidate, LoadError> {
        Self::candidate(&self.file)
    }

    fn candidate(file: &Path) -> Result<Candidate, LoadError> {
        if file == Path::new("builtin") {
            return Ok(Candidate::builtin(muster_builtin::COMPONENT));
        }
        Candidate::read(file, Limits::default().component_bytes)
    }

    fn inspect(&self) -> Result<(), Failure> {
        let inspection = inspect(self.read()?.bytes(), Limits::default().component_bytes)?;
        let verdict = inspection
            .accept(self.stubs())
            .map_err(|refused| refused.to_string());
        if self.json {
            let file = self.file.display().to_string();
            say(as_json(&file, &inspection, self.stubs(), verdict.err()));
        } else {
            for line in as_text(&inspection, verdict.err()) {
                say(line);
            }
        }
        Ok(())
    }
}

impl Wanted {
    fn validate(self) -> Result<(), Failure> {
        let Self { file, sha256, keys } = self;
        let verification = Verification {
            sha256,
            trusted_keys: keys,
            self_test_user: None,
        };
        let loaded = match file.read() {
            Ok(candidate) => runtime()?.block_on(load(candidate, verification, file.stubs())),
            Err(error) => Err(error),
        };
        if file.json {
            let refused = loaded.as_ref().err();
            say(json!({
                "file": file.file.display().to_string(),
                "valid": refused.is_none(),
                "kind": loaded.as_ref().ok().map(Kind::name),
                "reason": refused.map(ToString::to_string),
                "code": refused.map(LoadError::label),
                "remedy": refused.map(LoadError::remedy),
            }));
        } else if let Ok(kind) = &loaded {
            say(format_args!("{}: ok, {kind}", file.file.display()));
        }
        loaded?;
        Ok(())
    }
}

/// Loads the plugin as a virtual host would, and lets it go. No request leaves the machine.
async fn load(
    candidate: Candidate,
    verification: Verification,
    stubs: Stubs,
) -> Result<Kind, LoadError> {
    let engine = Engine::new(&EngineConfig {
        compiler: compiler::child(),
        ..EngineConfig::default()
    });
    let engine = engine.map_err(LoadError::Engine)?;
    let settings = Settings {
        name: "example.test".to_owned(),
        config: vec![
            // Nobody is asked: the plugin is started, not called.
            (
                "http_roster_url".to_owned(),
                "http://localhost/contacts/%s".to_owned(),
            ),
            ("domain".to_owned(), "example.test".to_owned()),
        ],
        egress: EgressPolicy::default(),
        resolver: Arc::new(SystemResolver),
        stubs,
        verification,
        limits: Limits {
            workers: 1,
            ..Limits::default()
        },
    };
    let plugin = Plugin::load(&engine, candidate, settings).await?;
    let kind = plugin.status().build.kind;
    plugin.shutdown(Duration::ZERO).await;
    Ok(kind)
}

fn as_json(
    file: &str,
    inspection: &Inspection,
    stubs: Stubs,
    refused: Option<String>,
) -> serde_json::Value {
    let granted = |capability| match capability {
        Capability::Stub => stubs == Stubs::DenyAll,
        _ => true,
    };
    let imports = inspection.imports.iter().map(|import| {
        json!({
            "name": import.name,
            "granted": import.capability.is_some_and(granted),
            "capability": import.capability.map(|it| it.name()),
        })
    });
    let capabilities = inspection.capabilities();
    let capabilities = capabilities.iter().map(|it| it.name());
    let contract = inspection.kind.as_ref().and_then(Kind::contract);
    json!({
        "file": file,
        "bytes": inspection.bytes,
        "sha256": inspection.digest.to_string(),
        "kind": inspection.kind.as_ref().map(Kind::name),
        "contract": contract.map(|version| format!("muster:roster@{version}")),
        "capabilities": capabilities.collect::<Vec<_>>(),
        "imports": imports.collect::<Vec<_>>(),
        "exports": inspection.exports,
        "accepted": refused.is_none(),
        "reason": refused,
    })
}

fn as_text(inspection: &Inspection, refused: Option<String>) -> Vec<String> {
    let kind = inspection.kind.as_ref();
    let kind = kind.map_or("none that Muster can ask".to_owned(), Kind::to_string);
    let mut lines = vec![
        format!("size        {} bytes", inspection.bytes),
        format!("sha256      {}", inspection.digest),
        format!("kind        {kind}"),
        refused.map_or("verdict     accepted".to_owned(), |reason| {
            format!("verdict     refused: {reason}")
        }),
    ];
    let capabilities = inspection.capabilities();
    let capabilities = capabilities
        .iter()
        .map(|it| format!("{:10}  {}", it.name(), it.meaning()));
    lines.extend(listed("can", capabilities));
    let imports = inspection.imports.iter().map(|import| {
        let verdict = match import.capability {
            Some(capability) => capability.name(),
            None => "REFUSED",
        };
        format!("{verdict:10}  {}", import.name)
    });
    lines.extend(listed("imports", imports));
    lines.extend(listed("exports", inspection.exports.iter().cloned()));
    lines
}

/// `entries` below each other, the first beside `title`.
fn listed(title: &str, entries: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    entries.enumerate().map(move |(place, entry)| {
        let title = if place == 0 { title } else { "" };
        format!("{title:10}  {entry}")
    })
}
