//! `muster plugin`: what a plugin file is, and whether a host would take it, without a running
//! host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use muster_plugin::{
    Candidate, EgressPolicy, Engine, EngineConfig, Inspection, Limits, LoadError, Plugin, Settings,
    Verification, inspect,
};
use serde_json::json;

use super::failure::Failure;
use super::{runtime, say};

/// The commands about plugin files.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Tell what a plugin file is and what it would be able to do, without running it
    Inspect(File),
    /// Check all that loading would check: compile the plugin and start one instance
    Validate(File),
}

/// A plugin file.
#[derive(Debug, Args)]
pub(super) struct File {
    /// A WebAssembly component; "builtin" is the one inside this program
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl PluginCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Inspect(file) => file.inspect(),
            Self::Validate(file) => file.validate(),
        }
    }
}

impl File {
    fn read(&self) -> Result<Candidate, LoadError> {
        if self.file == Path::new("builtin") {
            return Ok(Candidate::builtin(muster_builtin::COMPONENT));
        }
        Candidate::read(&self.file, Limits::default().component_bytes)
    }

    fn inspect(&self) -> Result<(), Failure> {
        let inspection = inspect(self.read()?.bytes(), Limits::default().component_bytes)?;
        let verdict = inspection.accept().map_err(|refused| refused.to_string());
        if self.json {
            let file = self.file.display().to_string();
            say(as_json(&file, &inspection, verdict.err()));
        } else {
            for line in as_text(&inspection, verdict.err()) {
                say(line);
            }
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), Failure> {
        let candidate = self.read()?;
        let loaded = runtime()?.block_on(load(candidate));
        if self.json {
            let reason = loaded.as_ref().err().map(ToString::to_string);
            say(json!({
                "file": self.file.display().to_string(),
                "valid": reason.is_none(),
                "reason": reason,
            }));
        } else if loaded.is_ok() {
            say(format_args!("{}: ok", self.file.display()));
        }
        Ok(loaded?)
    }
}

/// Loads the plugin as a virtual host would, and lets it go. No request leaves the machine.
async fn load(candidate: Candidate) -> Result<(), LoadError> {
    let engine = Engine::new(&EngineConfig::default()).map_err(LoadError::Engine)?;
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
        egress: EgressPolicy {
            origins: Vec::new(),
            methods: Vec::new(),
            allow_private: false,
        },
        verification: Verification::default(),
        limits: Limits {
            workers: 1,
            ..Limits::default()
        },
    };
    let plugin = Plugin::load(&engine, candidate, settings).await?;
    plugin.shutdown(Duration::ZERO).await;
    Ok(())
}

fn as_json(file: &str, inspection: &Inspection, refused: Option<String>) -> serde_json::Value {
    let imports = inspection.imports.iter().map(|import| {
        json!({
            "name": import.name,
            "granted": import.capability.is_some(),
            "capability": import.capability.map(|it| it.name()),
        })
    });
    let capabilities = inspection.capabilities();
    let capabilities = capabilities.iter().map(|it| it.name());
    json!({
        "file": file,
        "bytes": inspection.bytes,
        "sha256": inspection.digest.to_string(),
        "contract": inspection.contract.as_ref().map(|version| format!("muster:roster@{version}")),
        "capabilities": capabilities.collect::<Vec<_>>(),
        "imports": imports.collect::<Vec<_>>(),
        "exports": inspection.exports,
        "accepted": refused.is_none(),
        "reason": refused,
    })
}

fn as_text(inspection: &Inspection, refused: Option<String>) -> Vec<String> {
    let contract = inspection.contract.as_deref();
    let contract = contract.map_or("none".to_owned(), |it| format!("muster:roster@{it}"));
    let mut lines = vec![
        format!("size        {} bytes", inspection.bytes),
        format!("sha256      {}", inspection.digest),
        format!("contract    {contract}"),
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
