//! Where a virtual host's rosters come from: the plugin, and what is accepted
//! of what it says.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_plugin::{FetchError, Fetched, Many, ManyError, Plugin};
use muster_xmpp::BareJid;
use muster_xmpp::error::{ErrorType, StanzaCondition, StanzaError};
use muster_xmpp::roster::{Contact, RosterError, Snapshot, Subscription};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};

use super::complaints::Complaints;
use super::fallback::Reach;
use super::guard::Guard;
use super::kept::{Origin, Validator};
use super::limiter::{Bounds, Class, Ending, Limiter, NoTurn, Party, Permit, Turn};
use super::outage::{Outage, Pace};
use crate::config::{self, OnBackendFailure};

/// The roster source of one virtual host.
pub(crate) struct Source {
    plugin: Arc<Plugin>,
    /// Whose turn it is to fetch; the others wait here, inside their callers'
    /// deadlines.
    limiter: Arc<Limiter<Result<Answer, SourceError>>>,
    /// Failures, for the log.
    pub(super) complaints: Complaints,
    pub(super) max_contacts: usize,
    url: String,
    /// Many users may be asked for in one request.
    together: bool,
    domain: String,
    /// What users see while the app fails.
    pub(super) policy: OnBackendFailure,
    /// How long they wait for the app, if there is a last known roster.
    pub(super) stale_after: Duration,
    /// How old a roster may be that a client asks for.
    pub(super) ttl: Option<Duration>,
    /// How often the app is asked for everybody who is online.
    pub(super) resync_interval: Option<Duration>,
    /// Whether the app fails, and whom it owes a roster.
    pub(super) outage: Outage,
    /// Whether what it says is honoured.
    pub(super) guard: Guard,
    /// Held by an audit: one at a time.
    pub(super) audit_turn: tokio::sync::Mutex<()>,
    pace: Pace,
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
    /// The app answered, and the guard against mass removal holds it back.
    #[error("the answer is held by the guard against mass removal")]
    Held,
    /// More fetches wait than `limits.refresh.waiting_fetches`.
    #[error("too many fetches wait for their turn")]
    Crowded,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// A place among the fetches under way.
pub(super) type FetchPermit = Permit<Result<Answer, SourceError>>;

/// How a fetch comes to its place.
pub(super) enum Seat<'a> {
    /// It waits in line; as for [`Source::fetch_watched`].
    InLine(&'a AtomicBool),
    /// It has one.
    Had(FetchPermit),
}

/// Who wants a roster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'a> {
    pub(super) account: &'a BareJid,
    /// The validator of the snapshot that the server holds.
    pub(super) known: Option<&'a str>,
    pub(super) class: Class,
}

impl SourceError {
    /// What an XMPP client is told whose roster get failed (RFC 6120, section 8.3.3).
    pub(crate) fn stanza_error(&self) -> StanzaError {
        match self {
            SourceError::Fetch(FetchError::NotFound) => {
                StanzaError::new(ErrorType::Cancel, StanzaCondition::ItemNotFound)
            }
            SourceError::Fetch(FetchError::Plugin(_))
            | SourceError::Held
            | SourceError::Crowded
            | SourceError::ShuttingDown => {
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
        snapshot: Arc<Snapshot>,
        /// What the app calls this version.
        validator: Option<Validator>,
    },
}

impl Source {
    /// The source of `host`, by its plugin.
    pub(crate) fn new(
        plugin: Arc<Plugin>,
        host: &config::VirtualHost,
        limits: &config::Limits,
    ) -> Source {
        let refresh = &limits.refresh;
        Source {
            plugin,
            limiter: Limiter::new(host.domain.as_str(), bounds(limits)),
            complaints: Complaints::default(),
            max_contacts: limits.backend.contacts,
            url: host.roster.http_roster_url.clone(),
            together: host.roster.http_rosters_url.is_some(),
            domain: host.domain.to_string(),
            policy: host.roster.on_backend_failure,
            stale_after: host.roster.stale_after,
            ttl: host.roster.ttl,
            resync_interval: host.roster.resync_interval,
            outage: Outage::new(refresh.recovery_interval),
            guard: Guard::new(host.domain.as_str(), host.guard),
            audit_turn: tokio::sync::Mutex::default(),
            pace: Pace::new(refresh.recovery_concurrency, refresh.recovery_interval),
        }
    }

    /// How the app is asked for what it owes.
    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// Changes whenever the app is known to answer again.
    pub(super) fn returns(&self) -> watch::Receiver<u64> {
        self.plugin.returns()
    }

    /// The validator, if it was heard through this source: then the app may be
    /// asked whether it still holds.
    pub(super) fn known(&self, validator: &Option<Validator>) -> Option<Arc<str>> {
        let own = validator.as_ref();
        let own = own.filter(|it| it.origin == self.origin());
        own.map(|validator| Arc::clone(&validator.text))
    }

    /// What this source is at the moment. A build of other bytes, or with other
    /// settings, may read the same document otherwise.
    fn origin(&self) -> Origin {
        let identity = self.plugin.identity();
        let hash = Sha256::new().chain_update(identity.as_bytes());
        let hash = hash.chain_update(&self.url).finalize();
        let mut origin = [0; 8];
        let pairs = origin.iter_mut().zip(hash);
        pairs.for_each(|(to, from)| *to = from);
        Origin(origin)
    }

    /// Brings the metric of who is owed a roster up to date.
    pub(super) fn tell_owed(&self) {
        let owed = self.outage.owed() as f64;
        metrics::gauge!("muster_rosters_owed", "vhost" => self.domain.clone()).set(owed);
    }

    /// Whether many users may be asked for in one request.
    pub(super) fn goes_together(&self) -> bool {
        self.together
    }

    /// Those who wait, to be asked for together from now on.
    pub(super) fn parties(&self) -> mpsc::Receiver<Party<Result<Answer, SourceError>>> {
        self.limiter.parties()
    }

    /// They cannot be asked for together, and neither can others for a while.
    pub(super) fn one_by_one(&self, party: Party<Result<Answer, SourceError>>) {
        self.limiter.disband(party);
    }

    /// How long a login that came now would wait for its turn, about.
    pub(super) fn expected_wait(&self) -> Duration {
        self.limiter.expected_wait()
    }

    /// Asks the app, through the plugin, for a user's contacts.
    ///
    /// # Errors
    /// Everything that can go wrong; bounded in time by the plugin's call limit
    /// once it is the user's turn.
    pub(super) async fn fetch(&self, want: Want<'_>) -> Result<Answer, SourceError> {
        self.fetch_watched(want, &AtomicBool::new(false)).await
    }

    /// The same; `begun` tells whether the app is being asked: before, all that
    /// takes time is ours.
    pub(super) async fn fetch_watched(
        &self,
        want: Want<'_>,
        begun: &AtomicBool,
    ) -> Result<Answer, SourceError> {
        match self.limiter.turn(want.class, want.account).await {
            Ok(Turn::Alone(permit)) => {
                begun.store(true, Ordering::Relaxed);
                self.fetch_by(permit, want).await
            }
            // Whoever asked for all of them has taken note.
            Ok(Turn::Served(answer)) => answer,
            Err(no_turn) => Err(no_turn.into()),
        }
    }

    /// The same, with a place that was had before.
    pub(super) async fn fetch_by(
        &self,
        permit: FetchPermit,
        want: Want<'_>,
    ) -> Result<Answer, SourceError> {
        let answer = self.ask(want.account, want.known).await;
        permit.end(self.ending(answer.as_ref().err()));
        self.note(answer.as_ref().err());
        answer
    }

    /// Waits for a place that nobody wants who is waited for.
    ///
    /// # Errors
    /// Too many wait already, or the server ends.
    pub(super) async fn spare(&self, account: &BareJid) -> Result<FetchPermit, SourceError> {
        Ok(self.limiter.spare(account).await?)
    }

    /// Asks the app for the contacts of `account` as it states them, for nobody
    /// to see but the operator; and how many entries the plugin left out. Never
    /// together with others: that would tell a roster, not what was stated.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub(super) async fn consult(
        &self,
        account: &BareJid,
    ) -> Result<(Vec<Contact>, u32), SourceError> {
        let permit = self.spare(account).await?;
        let answer = self.ask_as_stated(account).await;
        permit.end(self.ending(answer.as_ref().err()));
        self.note(answer.as_ref().err());
        answer
    }

    async fn ask_as_stated(&self, account: &BareJid) -> Result<(Vec<Contact>, u32), SourceError> {
        let username = account.node().map_or("", |node| node.as_str());
        match self.plugin.fetch(username, None).await? {
            Fetched::Unchanged => Err(unnamed()),
            Fetched::Roster {
                contacts, skipped, ..
            } => Ok((contacts.into_iter().map(contact).collect(), skipped)),
        }
    }

    /// Takes note of what the end of one request says about the app.
    pub(super) fn note(&self, error: Option<&SourceError>) {
        match error.map(SourceError::reach) {
            None | Some(Reach::NoSuchUser) => self.outage.is_over(),
            Some(Reach::App) => self.outage.failed(Instant::now()),
            Some(Reach::Ourselves | Reach::NotAsked | Reach::Held | Reach::Ending) => {}
        }
    }

    /// What the end of a fetch tells of the app's load. What answers at once
    /// that it cannot is neither burdened nor fit for more.
    pub(super) fn ending(&self, error: Option<&SourceError>) -> Ending {
        match error {
            None => Ending::Answered,
            Some(SourceError::Fetch(error)) => match error {
                FetchError::Status(429 | 503) => Ending::PushedBack,
                // The gate has refused it, and the app heard nothing of it.
                FetchError::Unavailable if self.plugin.holds_back() => Ending::Neutral,
                FetchError::Unavailable | FetchError::Timeout | FetchError::Status(502 | 504) => {
                    Ending::Broke
                }
                FetchError::NotFound
                | FetchError::Status(_)
                | FetchError::Malformed(_)
                | FetchError::TooLarge
                | FetchError::Denied
                | FetchError::Plugin(_) => Ending::Neutral,
            },
            Some(SourceError::Held | SourceError::Crowded | SourceError::ShuttingDown) => {
                Ending::Neutral
            }
        }
    }

    async fn ask(&self, account: &BareJid, known: Option<&str>) -> Result<Answer, SourceError> {
        // Before the call: should the build change meanwhile, the next fetch
        // finds another origin and asks for the whole list.
        let origin = self.origin();
        let username = account.node().map_or("", |node| node.as_str());
        match self.plugin.fetch(username, known).await? {
            Fetched::Unchanged if known.is_some() => Ok(Answer::Unchanged),
            fetched => self.accept(account, origin, fetched),
        }
    }

    /// Asks the app for many users in one request; what it tells of each, in
    /// their order.
    pub(super) async fn ask_for_many(&self, usernames: &[String]) -> Result<Many, ManyError> {
        self.plugin.fetch_many(usernames).await
    }

    /// What was told of a user among many. Names no version of the list.
    pub(super) fn accept_listed(
        &self,
        account: &BareJid,
        fetched: Fetched,
    ) -> Result<Answer, SourceError> {
        self.accept(account, self.origin(), fetched)
    }

    fn accept(
        &self,
        account: &BareJid,
        origin: Origin,
        fetched: Fetched,
    ) -> Result<Answer, SourceError> {
        let Fetched::Roster {
            contacts,
            validator,
            skipped,
        } = fetched
        else {
            return Err(unnamed());
        };
        let contacts = contacts.into_iter().map(contact).collect();
        let (snapshot, report) = Snapshot::from_contacts(account, contacts, self.max_contacts)?;
        let left_out = skipped.saturating_add(report.dropped());
        if left_out > 0 {
            metrics::counter!("muster_roster_contacts_skipped_total").increment(left_out.into());
            tracing::warn!(user = %account, left_out, "entries of the app's answer are not contacts and were left out");
        }
        Ok(Answer::Roster {
            snapshot: Arc::new(snapshot),
            validator: validator.map(|text| Validator {
                text: text.into(),
                origin,
            }),
        })
    }
}

fn bounds(limits: &config::Limits) -> Bounds {
    Bounds {
        floor: limits.refresh.concurrency_floor,
        cap: limits.refresh.concurrency,
        waiting: limits.refresh.waiting_fetches,
        names: limits.backend.batch.max(1),
        parties: limits.backend.batches.max(1),
    }
}

fn unnamed() -> SourceError {
    let text = "unchanged, though no version was named";
    FetchError::Malformed(text.to_owned()).into()
}

impl From<NoTurn> for SourceError {
    fn from(no_turn: NoTurn) -> SourceError {
        match no_turn {
            NoTurn::Full => SourceError::Crowded,
            NoTurn::Ending => SourceError::ShuttingDown,
        }
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
