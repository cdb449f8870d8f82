//! `muster refresh`: asks a running server to fetch contact lists anew.
//!
//! Sends one request a user, a few at a time, so that the outcome of each can be told: the answer
//! to a batch has counts only.

use clap::Args;
use futures_util::StreamExt as _;
use http::Method;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::remote::{Address, Remote, RequestError, segment};
use super::{complain, runtime, say};

/// Requests under way at the same time.
const CONCURRENCY: usize = 16;
const ROUTE: &str = "/roster_admin/refresh";

#[derive(Debug, Args)]
#[command(
    after_help = "Example: MUSTER_TOKEN=… muster refresh john marie --url http://127.0.0.1:5280"
)]
pub(super) struct Refresh {
    /// The users: the part of the JID before the @
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    #[command(flatten)]
    server: Address,
    /// The XMPP domain of the users, if the server has several virtual hosts
    #[arg(long)]
    domain: Option<String>,
    /// Print one JSON object instead of a line for each user
    #[arg(long)]
    json: bool,
}

/// What came of one user.
#[derive(Debug, Serialize)]
struct Outcome {
    username: String,
    updated: bool,
    message: String,
    /// Whether the server answered at all.
    #[serde(skip)]
    reached: bool,
}

/// What the server answers, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Summary {
    message: String,
    #[serde(default)]
    updated: usize,
}

impl Refresh {
    pub(super) fn run(self) -> Result<(), Failure> {
        let remote = self.server.remote(ROUTE, self.domain.clone())?;
        let outcomes = runtime()?.block_on(refresh_all(&remote, &self.users));
        self.tell(&outcomes);
        let failed = outcomes.iter().filter(|outcome| !outcome.updated).count();
        match failed {
            0 => Ok(()),
            _ if outcomes.iter().all(|outcome| !outcome.reached) => Err(Failure::Unreachable),
            failed => Err(Failure::NotRefreshed {
                failed,
                all: outcomes.len(),
            }),
        }
    }

    fn tell(&self, outcomes: &[Outcome]) {
        let updated = outcomes.iter().filter(|outcome| outcome.updated).count();
        if self.json {
            let errors = outcomes.len() - updated;
            say(serde_json::json!({ "updated": updated, "errors": errors, "users": outcomes }));
            return;
        }
        for Outcome {
            username,
            updated,
            message,
            ..
        } in outcomes
        {
            if *updated {
                say(format_args!("{username}: updated"));
            } else {
                complain(format_args!("{username}: failed: {message}"));
            }
        }
    }
}

/// In the order of `users`.
async fn refresh_all(remote: &Remote, users: &[String]) -> Vec<Outcome> {
    // Draws on a terminal only.
    let progress = ProgressBar::new(users.len() as u64);
    let requests = futures_util::stream::iter(users).map(|user| async {
        let outcome = refresh(remote, user).await;
        progress.inc(1);
        outcome
    });
    let outcomes = requests.buffered(CONCURRENCY).collect().await;
    progress.finish_and_clear();
    outcomes
}

async fn refresh(remote: &Remote, user: &str) -> Outcome {
    let username = user.to_owned();
    match exchange(remote, user).await {
        Ok(Summary { message, updated }) => Outcome {
            username,
            updated: updated > 0,
            message,
            reached: true,
        },
        Err(error) => Outcome {
            username,
            updated: false,
            message: error.to_string(),
            reached: error.reached(),
        },
    }
}

async fn exchange(remote: &Remote, user: &str) -> Result<Summary, RequestError> {
    let path = format!("{ROUTE}/{}", segment(user));
    remote.ask(Method::POST, &path).await?.json()
}
