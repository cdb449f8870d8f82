//! `muster plugin status`, `reload` and `rollback`: the plugins of a running server.

use clap::Args;
use http::Method;

use super::failure::Failure;
use super::remote::{Address, segment};
use super::table::{aligned, span};
use super::{runtime, say};
use crate::http::control::report::{Breaker, Build, Done, Plugin, Plugins};

const ROUTE: &str = "/admin/plugins";
/// Digits of a digest that tell two builds apart.
const SHORT: usize = 12;

/// Tell which plugins serve in a running server
///
/// Without a virtual host a line for each; with one, all there is to know.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The virtual host
    #[arg(value_name = "VHOST")]
    vhost: Option<String>,
    #[command(flatten)]
    server: Address,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is done to the plugin of one virtual host.
#[derive(Debug, Args)]
pub(super) struct Order {
    /// The virtual host
    #[arg(value_name = "VHOST")]
    vhost: String,
    #[command(flatten)]
    server: Address,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let remote = self.server.remote(ROUTE, None)?;
        let Some(vhost) = &self.vhost else {
            let all: Plugins = runtime()?.block_on(remote.order(Method::GET, ROUTE))?;
            if self.json {
                say(serde_json::json!(all));
            } else {
                overview(&all.plugins).into_iter().for_each(say);
            }
            return Ok(());
        };
        let path = format!("{ROUTE}/{}", segment(vhost));
        let plugin: Plugin = runtime()?.block_on(remote.order(Method::GET, &path))?;
        if self.json {
            say(serde_json::json!(plugin));
        } else {
            details(&plugin).into_iter().for_each(say);
        }
        Ok(())
    }
}

impl Order {
    pub(super) fn reload(&self) -> Result<(), Failure> {
        self.run("reload")
    }

    pub(super) fn roll_back(&self) -> Result<(), Failure> {
        self.run("rollback")
    }

    fn run(&self, order: &str) -> Result<(), Failure> {
        let remote = self.server.remote(ROUTE, None)?;
        let path = format!("{ROUTE}/{}/{order}", segment(&self.vhost));
        let done: Done = runtime()?.block_on(remote.order(Method::POST, &path))?;
        if self.json {
            say(serde_json::json!(done));
            return Ok(());
        }
        let Done {
            message, plugin, ..
        } = done;
        let (host, digest) = (&plugin.virtual_host, short(&plugin.build.sha256));
        let generation = plugin.generation;
        say(format_args!(
            "{host}: {message} (generation {generation}, sha256 {digest})"
        ));
        Ok(())
    }
}

fn overview(plugins: &[Plugin]) -> Vec<String> {
    let heads = [
        "VIRTUAL HOST",
        "GENERATION",
        "PHASE",
        "FOR",
        "SHA256",
        "SOURCE",
        "BREAKERS",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(plugins.iter().map(|plugin| {
        [
            plugin.virtual_host.clone(),
            plugin.generation.to_string(),
            plugin.phase.clone(),
            span(plugin.serving_seconds),
            short(&plugin.build.sha256).to_owned(),
            plugin.build.source.clone(),
            breakers(&plugin.breakers),
        ]
    }));
    aligned(&rows)
}

/// Those that are not closed.
fn breakers(all: &[Breaker]) -> String {
    let tripped = all.iter().filter(|breaker| !breaker.is_closed());
    let tripped: Vec<_> = tripped
        .map(|breaker| format!("{} {}", breaker.name, breaker.state))
        .collect();
    if tripped.is_empty() {
        return "closed".to_owned();
    }
    tripped.join(", ")
}

fn details(plugin: &Plugin) -> Vec<String> {
    let mut rows: Vec<(&str, String)> = vec![
        ("virtual host", plugin.virtual_host.clone()),
        ("generation", plugin.generation.to_string()),
        ("phase", phase(plugin)),
    ];
    rows.extend(build(&plugin.build));
    rows.push((
        "calls",
        format!("{}, of which {} failed", plugin.calls, plugin.faults),
    ));
    if plugin.draining > 0 {
        let draining = format!("{} earlier generations", plugin.draining);
        rows.push(("draining", draining));
    }
    if let Some(previous) = &plugin.previous {
        let Build { sha256, source, .. } = previous;
        rows.push(("previous", format!("{sha256} {source}")));
    }
    if let Some(refusal) = &plugin.last_refusal {
        let ago = span(refusal.seconds_ago);
        let told = format!("{ago} ago: {} ({})", refusal.message, refusal.reason);
        rows.push(("refused", told));
        rows.push(("", refusal.remedy.clone()));
    }
    if let Some(rolled_back) = &plugin.last_rollback {
        let (from, to) = (short(&rolled_back.from), short(&rolled_back.to));
        let ago = span(rolled_back.seconds_ago);
        let cause = &rolled_back.cause;
        let told = format!("{ago} ago: from {from} to {to} ({cause})");
        rows.push(("rolled back", told));
    }
    let mut lines: Vec<_> = rows
        .iter()
        .map(|(title, text)| format!("{title:12}  {text}"))
        .collect();
    let mut table = vec![Breaker::heads("")];
    table.extend(plugin.breakers.iter().map(|breaker| breaker.cells("")));
    lines.push(String::new());
    // The first column is empty.
    lines.extend(aligned(&table).iter().map(|line| line.trim().to_owned()));
    lines
}

fn phase(plugin: &Plugin) -> String {
    let lasting = span(plugin.serving_seconds);
    match &plugin.probation {
        None => format!("{} for {lasting}", plugin.phase),
        Some(probation) => format!(
            "{} for {lasting}; {} calls or {} left, {} regressions",
            plugin.phase,
            probation.calls_left,
            span(probation.seconds_left),
            probation.regressions
        ),
    }
}

fn build(build: &Build) -> [(&'static str, String); 4] {
    [
        ("source", build.source.clone()),
        ("sha256", build.sha256.clone()),
        ("size", format!("{} bytes", build.bytes)),
        ("kind", build.kind.clone()),
    ]
}

fn short(digest: &str) -> &str {
    digest.get(..SHORT).unwrap_or(digest)
}
