//! The app says whose roster changed: fetch again, push, report.
//!
//! Owns the fan-out over the entries of one refresh and the outcome of each.
//! Called by the plugin's imported `rosters.refresh`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use muster_plugin::{Changes, Failure, Outcome, Refresher};
use muster_xmpp::{BareJid, DomainPart, NodePart};

use tokio::time::{Instant, timeout_at};

use super::flight::Landed;
use super::{Rosters, SourceError};
use crate::config::Limits;

/// What one request may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshTerms {
    /// Entries that are worked on at once.
    concurrency: usize,
    /// Time for all entries of a refresh; what is not done by then is refused,
    /// so that the plugin is left the time to answer.
    budget: Duration,
}

impl RefreshTerms {
    /// As the configuration has it.
    pub(crate) fn of(limits: &Limits) -> RefreshTerms {
        RefreshTerms {
            concurrency: limits.refresh.concurrency.max(1),
            budget: limits.plugin.handle_timeout.mul_f64(0.9),
        }
    }
}

/// What the plugin calls while it handles one request.
pub(crate) struct RefreshCall {
    rosters: Arc<Rosters>,
    domain: DomainPart,
    terms: RefreshTerms,
}

impl RefreshCall {
    /// For one request to the plugin of `domain`.
    pub(crate) fn new(
        rosters: Arc<Rosters>,
        domain: DomainPart,
        terms: RefreshTerms,
    ) -> RefreshCall {
        RefreshCall {
            rosters,
            domain,
            terms,
        }
    }

    async fn run(&self, usernames: Vec<String>) -> Vec<Outcome> {
        self.rosters.app_was_heard(&self.domain);
        // Entries that name the same account share one fetch.
        let accounts: Vec<Option<BareJid>> = usernames
            .iter()
            .map(|username| account(username, &self.domain))
            .collect();
        let mut distinct: Vec<BareJid> = accounts.iter().flatten().cloned().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let deadline = Instant::now() + self.terms.budget;
        let rosters = &self.rosters;
        let refreshes = distinct.into_iter().map(|account| async move {
            let refreshed = timeout_at(deadline, rosters.refresh(&account)).await;
            (account, refreshed.ok())
        });
        let refreshed: HashMap<BareJid, Option<(bool, Landed)>> = stream::iter(refreshes)
            .buffer_unordered(self.terms.concurrency)
            .collect()
            .await;
        let outcomes = usernames
            .into_iter()
            .zip(accounts)
            .map(|(username, account)| {
                let (online, result) = match account.map(|account| refreshed.get(&account)) {
                    None => (false, Err(Failure::InvalidUsername)),
                    Some(Some(Some((online, landed)))) => (*online, result(landed)),
                    Some(_) => (true, Err(Failure::Overloaded)),
                };
                Outcome {
                    username,
                    online,
                    result,
                }
            });
        outcomes.collect()
    }
}

impl Refresher for RefreshCall {
    fn refresh(
        &self,
        usernames: Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
        Box::pin(self.run(usernames))
    }
}

impl Rosters {
    /// Refreshes one account: whether it is online, and what came of it. The
    /// next session of an offline user fetches anyway, so nothing is done now.
    async fn refresh(&self, account: &BareJid) -> (bool, Landed) {
        let Some(user) = self.find(account.as_str()) else {
            metrics::counter!("muster_refreshed_users_total", "outcome" => "offline").increment(1);
            return (false, Ok(muster_xmpp::roster::ChangeCounts::default()));
        };
        let landed = self.refetch(&user).await;
        let outcome = if landed.is_ok() { "updated" } else { "failed" };
        metrics::counter!("muster_refreshed_users_total", "outcome" => outcome).increment(1);
        (true, landed)
    }
}

/// The account that an entry names: a localpart and nothing else, prepared as
/// RFC 7622, section 3.3 wants it.
fn account(username: &str, domain: &DomainPart) -> Option<BareJid> {
    let node = NodePart::new(username).ok()?;
    Some(BareJid::from_parts(Some(&node), domain))
}

fn result(landed: &Landed) -> Result<Changes, Failure> {
    match landed {
        Ok(counts) => Ok(Changes {
            added: counts.added,
            changed: counts.changed,
            removed: counts.removed,
        }),
        Err(SourceError::Fetch(error)) => Err(Failure::Fetch(error.clone())),
        Err(SourceError::ShuttingDown) => Err(Failure::Overloaded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_localpart_and_nothing_else() {
        let domain = DomainPart::new("example.test").unwrap().into_owned();
        for (entry, expected) in [
            ("john", Some("john@example.test")),
            ("JOHN", Some("john@example.test")),
        ] {
            let account = account(entry, &domain);
            assert_eq!(
                account.as_ref().map(|jid| jid.as_str()),
                expected,
                "{entry}"
            );
        }
        for entry in [
            "",
            "john@example.test",
            "john/phone",
            "a b",
            "a\"b",
            "a:b",
            "<a>",
            "a&b",
            "a'b",
            "\u{0}",
        ] {
            assert!(account(entry, &domain).is_none(), "{entry:?}");
        }
        assert!(account(&"x".repeat(1024), &domain).is_none());
    }
}
