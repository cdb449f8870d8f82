//! `muster backend`: whether the apps are asked, and that they are asked again.

use clap::Subcommand;

use super::failure::Failure;
use super::hosts::{Hosts, Told};
use super::table::{aligned, span};
use super::{runtime, say};
use crate::http::control::report::{Backend, Backends, Breaker, Reset};

/// The commands about apps.
#[derive(Debug, Subcommand)]
pub(super) enum BackendCommand {
    /// Tell the circuit breakers of a running server, for each origin of an app
    Status(Hosts),
    /// Close them: the app is back
    ///
    /// The app itself does the same by POST /roster_admin/ping.
    Reset(Hosts),
}

impl Told for Backend {
    const ROUTE: &str = "/admin/backends";
    type List = Backends;

    fn of_all(list: Backends) -> Vec<Backend> {
        list.backends
    }

    fn virtual_host(&self) -> &str {
        &self.virtual_host
    }
}

impl BackendCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Status(hosts) => status(&hosts),
            Self::Reset(hosts) => reset(&hosts),
        }
    }
}

fn status(hosts: &Hosts) -> Result<(), Failure> {
    let remote = hosts.remote::<Backend>()?;
    let backends: Vec<Backend> = runtime()?.block_on(hosts.told(&remote))?;
    if hosts.json {
        say(serde_json::json!(Backends { backends }));
        return Ok(());
    }
    let mut rows = vec![Breaker::heads("VIRTUAL HOST")];
    for Backend {
        virtual_host,
        breakers,
    } in &backends
    {
        rows.extend(breakers.iter().map(|it| it.cells(virtual_host)));
    }
    aligned(&rows).into_iter().for_each(say);
    Ok(())
}

fn reset(hosts: &Hosts) -> Result<(), Failure> {
    let remote = hosts.remote::<Backend>()?;
    let resets = hosts.order::<Backend, Reset>(&remote, "reset");
    let resets = runtime()?.block_on(resets)?;
    if hosts.json {
        let resets: Vec<_> = resets.into_iter().map(|(_, reset)| reset).collect();
        say(serde_json::json!({ "status": "ok", "resets": resets }));
        return Ok(());
    }
    for (virtual_host, Reset { message, .. }) in resets {
        say(format_args!("{virtual_host}: {message}"));
    }
    Ok(())
}

impl Breaker {
    pub(super) fn heads(first: &str) -> [String; 6] {
        [first, "BREAKER", "STATE", "FOR", "FAILED", "NEXT PROBE"].map(str::to_owned)
    }

    pub(super) fn cells(&self, first: &str) -> [String; 6] {
        let next_probe = match self.next_probe_seconds {
            Some(0.0) => "with the next call".to_owned(),
            Some(seconds) => format!("in {}", span(seconds)),
            None => "-".to_owned(),
        };
        [
            first.to_owned(),
            self.name.clone(),
            self.state.clone(),
            span(self.state_seconds),
            format!("{} of {}", self.failures, self.calls),
            next_probe,
        ]
    }
}
