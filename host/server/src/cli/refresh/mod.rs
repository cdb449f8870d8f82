//! `muster refresh`: asks a running server to fetch contact lists anew, or what would change if it
//! did.
//!
//! Owns the arguments and what is printed. One request names all users; the server works on it as
//! a job, whose events move the progress bar ([`job`]).

mod job;

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use self::job::{Report, refresh};
use super::failure::Failure;
use super::names;
use super::remote::{Address, Remote, RequestError};
use super::{complain, runtime, say};

/// What the server takes in one request unless its operator says otherwise.
const NAMES: usize = 10_000;
const ROUTE: &str = "/roster_admin/refresh";

#[derive(Debug, Args)]
#[command(
    after_help = "Example: MUSTER_TOKEN=… muster refresh john marie --url http://127.0.0.1:5280\n\n\
    Exit code 0: all were brought up to date; 1: not all; if nobody was: 69 the server cannot be \
    reached or did not do it, 75 it has too much to do, 77 the token is missing or wrong"
)]
pub(super) struct Refresh {
    /// The users: the part of the JID before the @; - reads them from standard input
    #[arg(required_unless_present = "file", value_name = "USER")]
    users: Vec<String>,
    /// A file with further users, one a line; empty lines and those that begin with # do not count
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only tell what would be added, changed and removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Address,
    /// The XMPP domain of the users, if the server has several virtual hosts
    #[arg(long)]
    domain: Option<String>,
    /// Print one JSON object instead of a line for each user
    #[arg(long)]
    json: bool,
}

/// What came of one user, as far as it matters here.
#[derive(Debug, Deserialize)]
struct User {
    username: String,
    outcome: String,
    #[serde(default)]
    added: u64,
    #[serde(default)]
    changed: u64,
    #[serde(default)]
    removed: u64,
    error: Option<Fault>,
    contacts: Option<Contacts>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    message: String,
    #[serde(default)]
    temporary: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Contacts {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    truncated: bool,
}

impl Refresh {
    pub(super) fn run(self) -> Result<(), Failure> {
        let names = names::read(&self.users, self.file.as_deref())?;
        let remote = self.server.remote(ROUTE, self.domain.clone())?;
        let target = match self.dry_run {
            true => format!("{ROUTE}?dry_run"),
            false => ROUTE.to_owned(),
        };
        let (reports, fault) = runtime()?.block_on(refresh_all(&remote, &target, &names));
        let nothing = reports.is_empty();
        let updated = reports.iter().map(|report| report.updated).sum();
        let users = reports.into_iter().flat_map(|report| report.users);
        self.tell(updated, names.len(), users.collect());
        match fault {
            None if updated == names.len() => Ok(()),
            // What went wrong is all that there is to tell.
            Some(fault) if nothing => Err(fault.into()),
            fault => {
                if let Some(fault) = fault {
                    complain(format_args!("muster: {fault}"));
                }
                Err(Failure::NotRefreshed {
                    failed: names.len() - updated.min(names.len()),
                    all: names.len(),
                })
            }
        }
    }

    fn tell(&self, updated: usize, all: usize, users: Vec<Value>) {
        if self.json {
            let errors = all.saturating_sub(updated);
            say(json!({
                "updated": updated, "errors": errors, "dry_run": self.dry_run, "users": users,
            }));
            return;
        }
        for user in users {
            match serde_json::from_value(user) {
                Ok(user) => tell(&user, self.dry_run),
                Err(error) => complain(format_args!("the server tells of a user: {error}")),
            }
        }
    }
}

/// Refreshes all users, so many in one request. What cannot be asked ends it; what came before is
/// told all the same.
async fn refresh_all(
    remote: &Remote,
    target: &str,
    names: &[String],
) -> (Vec<Report>, Option<RequestError>) {
    let mut reports = Vec::new();
    for names in names.chunks(NAMES) {
        match refresh(remote, target, names).await {
            Ok(report) => reports.push(report),
            Err(error) => return (reports, Some(error)),
        }
    }
    (reports, None)
}

fn tell(user: &User, dry_run: bool) {
    let User {
        username,
        outcome,
        added,
        changed,
        removed,
        ..
    } = user;
    if let Some(Fault { message, temporary }) = &user.error {
        let hint = if *temporary {
            " (may pass by itself)"
        } else {
            ""
        };
        complain(format_args!("{username}: {outcome}: {message}{hint}"));
        return;
    }
    let counts = format!("{added} added, {changed} changed, {removed} removed");
    match (outcome.as_str(), dry_run) {
        ("updated", true) => say(format_args!("{username}: would be updated: {counts}")),
        ("updated", false) => say(format_args!("{username}: updated: {counts}")),
        _ => say(format_args!("{username}: {outcome}")),
    }
    let Some(contacts) = &user.contacts else {
        return;
    };
    for (sign, jids) in [
        ('+', &contacts.added),
        ('~', &contacts.changed),
        ('-', &contacts.removed),
    ] {
        for jid in jids {
            say(format_args!("  {sign} {jid}"));
        }
    }
    if contacts.truncated {
        say("  and more");
    }
}
