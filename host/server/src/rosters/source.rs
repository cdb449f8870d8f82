//! Where a virtual host's rosters come from: the plugin, and what is accepted
//! of what it says.

use std::fmt;
use std::sync::Arc;

use muster_plugin::{FetchError, Fetched, Plugin};
use muster_xmpp::BareJid;
use muster_xmpp::error::{ErrorType, StanzaCondition, StanzaError};
use muster_xmpp::roster::{Contact, RosterError, Snapshot, Subscription};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::limit::Limit;

/// The roster source of one virtual host.
pub(crate) struct Source {
    plugin: Arc<Plugin>,
    /// Fetches of this virtual host that may run at once; further ones wait
    /// here, inside their callers' deadlines.
    permits: Semaphore,
    max_contacts: usize,
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Source").finish_non_exhaustive()
    }
}

/// Why a user's roster could not be had.
///
/// Reach: this user's call. Nothing of the roster changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourceError {
    /// The plugin or the app said no; see [`FetchError`].
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl SourceError {
    /// What an XMPP client is told whose roster get failed (RFC 6120, section 8.3.3).
    pub(crate) fn stanza_error(&self) -> StanzaError {
        match self {
            SourceError::Fetch(FetchError::NotFound) => {
                StanzaError::new(ErrorType::Cancel, StanzaCondition::ItemNotFound)
            }
            SourceError::Fetch(FetchError::Plugin(_)) | SourceError::ShuttingDown => {
                StanzaError::new(ErrorType::Wait, StanzaCondition::ResourceConstraint)
            }
            SourceError::Fetch(
                FetchError::Denied | FetchError::Malformed(_) | FetchError::TooLarge,
            ) => StanzaError::new(ErrorType::Wait, StanzaCondition::InternalServerError),
            SourceError::Fetch(
                FetchError::Unavailable | FetchError::Timeout | FetchError::Status(_),
            ) => StanzaError::new(ErrorType::Wait, StanzaCondition::RemoteServerTimeout),
        }
    }
}

/// A roster that was fetched and accepted.
pub(crate) enum Answer {
    /// The one that the server holds is still right.
    Unchanged,
    /// A new one.
    Roster {
        /// The contacts.
        snapshot: Snapshot,
        /// What the app calls this version.
        validator: Option<Box<str>>,
    },
}

impl Source {
    /// `concurrency`: fetches that may run at once; `max_contacts`: how many
    /// contacts a roster may have.
    pub(crate) fn new(plugin: Arc<Plugin>, concurrency: usize, max_contacts: usize) -> Source {
        Source {
            plugin,
            permits: Semaphore::new(concurrency),
            max_contacts,
        }
    }

    /// Asks the app, through the plugin, for the contacts of `account`.
    /// `known` is the validator of the snapshot that the server holds.
    ///
    /// # Errors
    /// Everything that can go wrong; bounded in time by the plugin's call limit.
    pub(crate) async fn fetch(
        &self,
        account: &BareJid,
        known: Option<&str>,
    ) -> Result<Answer, SourceError> {
        let _permit = self.permit().await?;
        let username = account.node().map_or("", |node| node.as_str());
        match self.plugin.fetch(username, known).await? {
            Fetched::Unchanged if known.is_some() => Ok(Answer::Unchanged),
            Fetched::Unchanged => Err(FetchError::Malformed(
                "unchanged, though no version was named".to_owned(),
            )
            .into()),
            Fetched::Roster {
                contacts,
                validator,
                skipped,
            } => {
                let contacts = contacts.into_iter().map(contact).collect();
                let (snapshot, report) =
                    Snapshot::from_contacts(account, contacts, self.max_contacts)?;
                let left_out = skipped.saturating_add(report.dropped());
                if left_out > 0 {
                    metrics::counter!("muster_roster_contacts_skipped_total")
                        .increment(left_out.into());
                    tracing::warn!(user = %account, left_out, "entries of the app's answer are not contacts and were left out");
                }
                Ok(Answer::Roster {
                    snapshot,
                    validator: validator.map(String::into_boxed_str),
                })
            }
        }
    }
}

impl Source {
    /// Waits for the turn of a fetch, if too many run.
    async fn permit(&self) -> Result<SemaphorePermit<'_>, SourceError> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        Limit::RefreshConcurrency.reached();
        let permit = self.permits.acquire().await;
        permit.map_err(|_| SourceError::ShuttingDown)
    }
}

impl From<RosterError> for SourceError {
    fn from(_: RosterError) -> SourceError {
        SourceError::Fetch(FetchError::TooLarge)
    }
}

fn contact(contact: muster_plugin::Contact) -> Contact {
    Contact {
        jid: contact.jid,
        name: contact.name,
        groups: contact.groups,
        subscription: match contact.subscription {
            muster_plugin::Subscription::None => Subscription::None,
            muster_plugin::Subscription::To => Subscription::To,
            muster_plugin::Subscription::From => Subscription::From,
            muster_plugin::Subscription::Both => Subscription::Both,
        },
    }
}
