//! `muster guard`: whether removals of contacts are held back, and that they are let through.

use clap::{Args, Subcommand};
use http::Method;

use super::failure::Failure;
use super::remote::{Address, Remote, segment};
use super::table::{aligned, span};
use super::{runtime, say};
use crate::http::control::guard_report::{Guard, Guards, Released};

const ROUTE: &str = "/admin/guards";

/// The commands about the guard against mass removal.
#[derive(Debug, Subcommand)]
pub(super) enum GuardCommand {
    /// Tell whether a running server holds removals back, and of how many users
    Status(OfHosts),
    /// Let what is held through: the removals are meant
    ///
    /// The app is asked again for every user of whom something is held, and what it says then is
    /// honoured; so are further removals for as long as `window` of [virtual_host.guard].
    Release(OfHosts),
    /// Watch again at once, before the time after a release is over
    ///
    /// What is held is asked for again and counted anew.
    Arm(OfHosts),
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

impl GuardCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Status(hosts) => hosts.status(),
            Self::Release(hosts) => hosts.order("release"),
            Self::Arm(hosts) => hosts.order("arm"),
        }
    }
}

impl OfHosts {
    fn status(&self) -> Result<(), Failure> {
        let remote = self.server.remote(ROUTE, None)?;
        let guards = runtime()?.block_on(self.guards(&remote))?;
        if self.json {
            say(serde_json::json!(Guards { guards }));
            return Ok(());
        }
        let heads = [
            "VIRTUAL HOST",
            "GUARD",
            "FOR",
            "HELD",
            "LOST CONTACTS",
            "ONLINE",
        ];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(guards.iter().map(cells));
        aligned(&rows).into_iter().for_each(say);
        Ok(())
    }

    fn order(&self, order: &str) -> Result<(), Failure> {
        let remote = self.server.remote(ROUTE, None)?;
        let done = runtime()?.block_on(async {
            let mut done = Vec::new();
            for Guard { virtual_host, .. } in self.guards(&remote).await? {
                let path = format!("{ROUTE}/{}/{order}", segment(&virtual_host));
                let one: Released = remote.order(Method::POST, &path).await?;
                done.push((virtual_host, one));
            }
            Ok::<_, Failure>(done)
        })?;
        if self.json {
            let guards: Vec<_> = done.into_iter().map(|(_, one)| one).collect();
            say(serde_json::json!({ "status": "ok", "guards": guards }));
            return Ok(());
        }
        for (virtual_host, Released { message, .. }) in done {
            say(format_args!("{virtual_host}: {message}"));
        }
        Ok(())
    }

    /// Those that are meant.
    async fn guards(&self, remote: &Remote) -> Result<Vec<Guard>, Failure> {
        match &self.vhost {
            None => {
                let Guards { guards } = remote.order(Method::GET, ROUTE).await?;
                Ok(guards)
            }
            Some(vhost) => {
                let path = format!("{ROUTE}/{}", segment(vhost));
                Ok(vec![remote.order(Method::GET, &path).await?])
            }
        }
    }
}

fn cells(guard: &Guard) -> [String; 6] {
    let since = match (guard.holding_seconds, guard.released_seconds) {
        (Some(seconds), _) => span(seconds),
        (_, Some(seconds)) => format!("another {}", span(seconds)),
        _ => "-".to_owned(),
    };
    [
        guard.virtual_host.clone(),
        guard.state.clone(),
        since,
        guard.held.to_string(),
        format!("{} of {} let pass", guard.drained, guard.limit),
        guard.online.to_string(),
    ]
}
