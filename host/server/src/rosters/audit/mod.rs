//! A consistency audit: asks the app for the lists of users and tells what in
//! them does not fit together. Changes nothing.
//!
//! Owns the asking, a few users at a time, within a time, and not while the app
//! is known to fail; the [`ledger`] compares. Nothing that the app says here
//! reaches a client or the disk.

mod findings;
mod ledger;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use muster_xmpp::{BareJid, DomainRef};
use tokio::time::{Instant, timeout_at};

pub(crate) use self::findings::{AuditReport, Finding};
use self::ledger::{Cut, Heard, Ledger, Scope};
use super::Rosters;
use super::fallback::Reach;
use super::source::Source;
use crate::config::AuditLimits;

/// What is to be audited.
#[derive(Clone, Debug)]
pub(crate) struct AuditOrder {
    /// Whose lists; without any, those of everybody who is kept or online.
    pub(crate) accounts: Vec<BareJid>,
    /// Users who are asked for at once, as far as the limits allow.
    pub(crate) concurrency: Option<usize>,
    pub(crate) limits: AuditLimits,
}

/// Another audit of the same virtual host is under way. Reach: the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another audit of this virtual host is under way")]
pub(crate) struct Busy;

impl Rosters {
    /// Audits the lists of a domain. `None` if it is not served.
    ///
    /// # Errors
    /// [`Busy`]; one audit of a virtual host runs at a time.
    pub(crate) async fn audit(
        &self,
        domain: &DomainRef,
        order: AuditOrder,
    ) -> Option<Result<AuditReport, Busy>> {
        let source = self.sources.get(domain)?;
        let Ok(_turn) = source.audit_turn.try_lock() else {
            return Some(Err(Busy));
        };
        let limits = order.limits;
        let deadline = Instant::now() + limits.timeout;
        let most = order.concurrency.unwrap_or(usize::MAX);
        let most = most.clamp(1, limits.concurrency.max(1));
        let mut ledger = self.begin(domain, source, order).await;
        if timeout_at(deadline, ask_all(source, &mut ledger, most))
            .await
            .is_err()
        {
            ledger.cut(Cut::Time);
        }
        let report = ledger.report();
        let outcome = if report.complete { "complete" } else { "cut" };
        metrics::counter!("muster_audits_total", "outcome" => outcome).increment(1);
        Some(Ok(report))
    }

    async fn begin(&self, domain: &DomainRef, source: &Source, order: AuditOrder) -> Ledger {
        let limits = order.limits;
        let domain = domain.as_str();
        if !order.accounts.is_empty() {
            let mut ledger = Ledger::new(domain, limits, Scope::Named);
            let accounts = order.accounts.iter();
            accounts.for_each(|account| ledger.name(account.as_str()));
            return ledger;
        }
        let mut ledger = Ledger::new(domain, limits, Scope::Everybody);
        for user in self.online(source) {
            ledger.name(user.account.as_str());
        }
        // One more than there may be, so that it is noticed.
        let most = limits.users.saturating_add(1);
        for account in self.keeper.accounts(domain, most).await {
            ledger.name(&account);
        }
        ledger
    }
}

/// Asks for everybody there is to ask for.
async fn ask_all(source: &Source, ledger: &mut Ledger, most: usize) {
    let mut asking = FuturesUnordered::new();
    loop {
        if source.outage.is_known(Instant::now().into_std()) {
            ledger.cut(Cut::AppFails);
            return;
        }
        while asking.len() < most
            && let Some(account) = ledger.next()
        {
            asking.push(ask(source, account));
        }
        match asking.next().await {
            Some(Some((owner, heard))) => ledger.hear(&owner, heard),
            Some(None) => {}
            None => return,
        }
    }
}

async fn ask(source: &Source, account: Arc<str>) -> Option<(BareJid, Heard)> {
    let owner = BareJid::new(&account).ok()?;
    let asked = Instant::now();
    let heard = match source.consult(&owner).await {
        Ok((contacts, left_out)) => Heard::Roster(contacts, left_out),
        Err(error) if error.reach() == Reach::NoSuchUser => Heard::Unknown,
        Err(_) => Heard::Failed,
    };
    let outcome = match heard {
        Heard::Roster(..) => "told",
        Heard::Unknown => "unknown",
        Heard::Failed => "failed",
    };
    metrics::counter!("muster_audited_users_total", "outcome" => outcome).increment(1);
    tracing::debug!(user = %owner, outcome, took = ?asked.elapsed(), "audited");
    Some((owner, heard))
}
