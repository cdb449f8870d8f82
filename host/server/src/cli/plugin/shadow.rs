//! `muster plugin shadow`: a new build beside the one that serves.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::Method;
use muster_plugin::Candidate;

use super::super::failure::Failure;
use super::super::remote::{Address, Errand, Remote, segment};
use super::super::{runtime, say};
use super::File;
use super::testing::Format;
use crate::http::control::shadows::{SIGNATURE, Shadow};

/// How often the server is asked whether it is over.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// For a request in which the server compiles what it is handed.
const LOADING: Duration = Duration::from_secs(600);

/// Run a new build beside the one that serves, and show what would be pushed otherwise
///
/// Each fetch that ends on the running server is made again by the new build, with the answers that
/// the app has just given to the one that serves. It asks the app nothing, and nothing of it reaches
/// a client. Exit code 1 if anything would be otherwise, or cannot be compared.
#[derive(Debug, Args)]
pub(in crate::cli) struct RunShadow {
    /// The virtual host
    #[arg(value_name = "VHOST")]
    vhost: String,
    /// The new build; its signature, if it needs one, is beside it
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    /// For how many seconds
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// How the differences are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    server: Address,
}

impl RunShadow {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let remote = self.server.remote("/admin/plugins", None)?;
        let candidate = File::candidate(&self.plugin)?;
        let shadow = runtime()?.block_on(self.watch(&remote, &candidate))?;
        match self.format {
            Format::Text => say(&shadow.report),
            Format::Json => say(serde_json::json!({
                "virtual_host": shadow.virtual_host,
                "sha256": shadow.sha256,
                "report": shadow.report.as_json(),
            })),
        }
        match shadow.report.is_same() {
            true => Ok(()),
            false => Err(Failure::WouldChange),
        }
    }

    /// Begins one, and waits until it is over.
    async fn watch(&self, remote: &Remote, candidate: &Candidate) -> Result<Shadow, Failure> {
        let path = format!("/admin/plugins/{}/shadow", segment(&self.vhost));
        let begin = format!("{path}?seconds={}", self.seconds);
        let signature = candidate.signature().map(|text| (SIGNATURE, text.trim()));
        let fields: Vec<_> = signature.into_iter().collect();
        let errand = Errand {
            method: Method::POST,
            path: &begin,
            fields: &fields,
            body: candidate.bytes().clone(),
        };
        let mut shadow: Shadow = remote.order_within(errand, LOADING).await?;
        while shadow.seconds_left > 0.0 {
            tokio::time::sleep(ASK_EVERY).await;
            shadow = remote.order(Method::GET, &path).await?;
        }
        Ok(shadow)
    }
}
