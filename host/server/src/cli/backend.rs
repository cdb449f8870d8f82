//! `muster backend`: whether the apps are asked, and that they are asked again.

use clap::{Args, Subcommand};
use http::Method;

use super::failure::Failure;
use super::remote::{Address, Remote, segment};
use super::table::{aligned, span};
use super::{runtime, say};
use crate::http::control::report::{Backend, Backends, Breaker, Reset};

const ROUTE: &str = "/admin/backends";

/// The commands about apps.
#[derive(Debug, Subcommand)]
pub(super) enum BackendCommand {
    /// Tell the circuit breakers of a running server, for each origin of an app
    Status(OfHosts),
    /// Close them: the app is back
    ///
    /// The app itself does the same by POST /roster_admin/ping.
    Reset(OfHosts),
}

/// Some virtual host, or all.
#[derive(Debug, Args)]
pub(super) struct OfHosts {
    /// The virtual host; without one, all of them
    #[arg(value_name = "VHOST")]
    vhost: Option<String>,
    #[command(flatten)]
    server: Address,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl BackendCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Status(hosts) => hosts.status(),
            Self::Reset(hosts) => hosts.reset(),
        }
    }
}

impl OfHosts {
    fn status(&self) -> Result<(), Failure> {
        let remote = self.server.remote(ROUTE, None)?;
        let backends = runtime()?.block_on(self.backends(&remote))?;
        if self.json {
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

    fn reset(&self) -> Result<(), Failure> {
        let remote = self.server.remote(ROUTE, None)?;
        let resets = runtime()?.block_on(async {
            let mut resets = Vec::new();
            for Backend { virtual_host, .. } in self.backends(&remote).await? {
                let path = format!("{ROUTE}/{}/reset", segment(&virtual_host));
                let reset: Reset = remote.order(Method::POST, &path).await?;
                resets.push(reset);
            }
            Ok::<_, Failure>(resets)
        })?;
        if self.json {
            say(serde_json::json!({ "status": "ok", "resets": resets }));
            return Ok(());
        }
        for Reset {
            message, backend, ..
        } in resets
        {
            say(format_args!("{}: {message}", backend.virtual_host));
        }
        Ok(())
    }

    /// Those that are meant.
    async fn backends(&self, remote: &Remote) -> Result<Vec<Backend>, Failure> {
        match &self.vhost {
            None => {
                let Backends { backends } = remote.order(Method::GET, ROUTE).await?;
                Ok(backends)
            }
            Some(vhost) => {
                let path = format!("{ROUTE}/{}", segment(vhost));
                Ok(vec![remote.order(Method::GET, &path).await?])
            }
        }
    }
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
