//! `muster guard`: whether removals of contacts are held back, and that they are let through.

use clap::Subcommand;

use super::failure::Failure;
use super::hosts::{Hosts, Told};
use super::table::{aligned, span};
use super::{runtime, say};
use crate::http::control::guard_report::{Guard, Guards, Released};

/// The commands about the guard against mass removal.
#[derive(Debug, Subcommand)]
pub(super) enum GuardCommand {
    /// Tell whether a running server holds removals back, and of how many users
    Status(Hosts),
    /// Let what is held through: the removals are meant
    ///
    /// The app is asked again for every user of whom something is held, and what it says then is
    /// honoured; so are further removals for as long as `window` of [virtual_host.guard].
    Release(Hosts),
    /// Watch again at once, before the time after a release is over
    ///
    /// What is held is asked for again and counted anew.
    Arm(Hosts),
}

impl Told for Guard {
    const ROUTE: &str = "/admin/guards";
    type List = Guards;

    fn of_all(list: Guards) -> Vec<Guard> {
        list.guards
    }

    fn virtual_host(&self) -> &str {
        &self.virtual_host
    }
}

impl GuardCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Status(hosts) => status(&hosts),
            Self::Release(hosts) => order(&hosts, "release"),
            Self::Arm(hosts) => order(&hosts, "arm"),
        }
    }
}

fn status(hosts: &Hosts) -> Result<(), Failure> {
    let remote = hosts.remote::<Guard>()?;
    let guards: Vec<Guard> = runtime()?.block_on(hosts.told(&remote))?;
    if hosts.json {
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

fn order(hosts: &Hosts, order: &str) -> Result<(), Failure> {
    let remote = hosts.remote::<Guard>()?;
    let done = hosts.order::<Guard, Released>(&remote, order);
    let done = runtime()?.block_on(done)?;
    if hosts.json {
        let guards: Vec<_> = done.into_iter().map(|(_, one)| one).collect();
        say(serde_json::json!({ "status": "ok", "guards": guards }));
        return Ok(());
    }
    for (virtual_host, Released { message, .. }) in done {
        say(format_args!("{virtual_host}: {message}"));
    }
    Ok(())
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
