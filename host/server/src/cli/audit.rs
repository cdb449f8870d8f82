//! `muster audit`: what in the contact lists of an app does not fit together.
//!
//! Owns the arguments and what is printed; a running server asks the app and compares.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{Method, header};

use super::failure::Failure;
use super::names;
use super::remote::{Address, Errand, Remote, segment};
use super::{complain, runtime, say};
use crate::http::control::audit::Wanted;
use crate::http::control::report::{Backend, Backends};
use crate::rosters::{AuditReport, Finding};

/// Longer than an audit takes unless its operator allows more than an hour.
const PATIENCE: Duration = Duration::from_secs(3_700);

/// Find out what in the contact lists of the app does not fit together
///
/// Asks the app, through a running server, for the lists of the users that are named and of their
/// contacts; without any, of everybody whom the server knows and of whoever is in their lists. It
/// changes nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing was found, 1 something was, 75 nothing was found so far, \
    but not everybody could be asked for."
)]
pub(super) struct Audit {
    /// The users: the part of the JID before the @; - reads them from standard input
    #[arg(value_name = "USER")]
    users: Vec<String>,
    /// A file with further users, one a line; empty lines and those that begin with # do not count
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The virtual host, if the server has several; without one and without users, all of them
    #[arg(long, value_name = "VHOST")]
    vhost: Option<String>,
    /// Users who are asked for at once; the server allows 4 unless it is configured otherwise
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<usize>,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    server: Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each finding, and a summary
    Text,
    /// One JSON object
    Json,
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        let users = names::read(&self.users, self.file.as_deref())?;
        if users.is_empty() && (self.file.is_some() || !self.users.is_empty()) {
            // An empty list does not mean everybody.
            return Ok(());
        }
        let remote = self.server.remote("/admin/audit", None)?;
        let wanted = Wanted {
            users,
            concurrency: self.concurrency,
        };
        let reports = runtime()?.block_on(self.reports(&remote, &wanted))?;
        let found = reports.iter().map(AuditReport::found).sum();
        let whole = reports.iter().all(|it| it.complete && it.failed == 0);
        match self.format {
            Format::Json => say(serde_json::json!({ "audits": reports })),
            Format::Text => reports.iter().for_each(tell),
        }
        match (found, whole) {
            (0, true) => Ok(()),
            (0, false) => Err(Failure::NotAudited),
            (found, _) => Err(Failure::Findings { found }),
        }
    }

    async fn reports(&self, remote: &Remote, wanted: &Wanted) -> Result<Vec<AuditReport>, Failure> {
        let hosts = match &self.vhost {
            Some(vhost) => vec![vhost.clone()],
            None => {
                let all: Backends = remote.order(Method::GET, "/admin/backends").await?;
                let name = |host: Backend| host.virtual_host;
                all.backends.into_iter().map(name).collect()
            }
        };
        if hosts.len() > 1 && !wanted.users.is_empty() {
            let known = hosts.join(", ");
            return Err(Failure::WhichHost { known });
        }
        let body = Bytes::from(serde_json::json!(wanted).to_string());
        let mut reports = Vec::new();
        for host in hosts {
            let path = format!("/admin/audit/{}", segment(&host));
            let errand = Errand {
                method: Method::POST,
                path: &path,
                fields: &[(header::CONTENT_TYPE, "application/json")],
                body: body.clone(),
            };
            reports.push(remote.order_within(errand, PATIENCE).await?);
        }
        Ok(reports)
    }
}

fn tell(report: &AuditReport) {
    report
        .findings
        .iter()
        .for_each(|finding| say(line(finding)));
    let unlisted = report.found().saturating_sub(report.findings.len());
    if unlisted > 0 {
        say(format_args!("and {unlisted} more"));
    }
    complain(format_args!(
        "{}: {} users, {} entries, {} findings",
        report.virtual_host,
        report.users,
        report.contacts,
        report.found()
    ));
    if report.failed > 0 {
        let failed = report.failed;
        complain(format_args!("{failed} users could not be asked for"));
    }
    if let Some(cut) = &report.cut {
        complain(match &**cut {
            "users" => "not everybody was asked for: limits.audit.users",
            "contacts" => "not everything was compared: limits.audit.contacts",
            "time" => "there was no time for all: limits.audit.timeout",
            "app_fails" => "the app fails, and was left alone",
            _ => "it is not complete",
        });
    }
}

fn line(finding: &Finding) -> String {
    match finding {
        Finding::OneSided {
            user,
            contact,
            says,
            other,
        } if other == "absent" => {
            format!("{user}: has {contact} ({says}), who does not have {user}")
        }
        Finding::OneSided {
            user,
            contact,
            says,
            other,
        } => format!("{user}: has {contact} ({says}), who has {user} ({other})"),
        Finding::UnknownContact { user, contact } => {
            format!("{user}: has {contact}, whom the app does not know")
        }
        Finding::UnknownUser { user } => format!("{user}: the app does not know this user"),
        Finding::Collision {
            user,
            contact,
            entries,
        } => format!(
            "{user}: has {contact} more than once: {}",
            entries.join(", ")
        ),
        Finding::SelfListed { user, entry } => {
            format!("{user}: has itself among its contacts: {entry}")
        }
        Finding::Invalid { user, entry } => format!("{user}: \"{entry}\" is no JID of a contact"),
        Finding::LeftOut { user, entries } => {
            format!("{user}: entries that are no contacts, left out: {entries}")
        }
    }
}
