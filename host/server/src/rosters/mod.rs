//! The rosters of all users with a bound resource: asked for, kept, refreshed,
//! pushed (RFC 6121, section 2).
//!
//! Owns the snapshots and the critical section in which a resource becomes
//! interested. Gets contacts from [`source`], has them kept by [`keeper`] and
//! shows those of [`kept`] while the app fails ([`first`]), speaks to clients
//! through the mailboxes in `Sessions`. Lock order: a user's fetch turn, then
//! the table of users, then that user's state, then a leaf lock of `Sessions`;
//! never two users' states at once.

mod age;
mod audit;
mod batches;
mod complaints;
mod exchange;
mod fallback;
mod first;
mod flight;
mod guard;
mod keeper;
mod kept;
mod landing;
mod limiter;
mod outage;
mod recovery;
mod refresh;
mod resync;
mod source;
mod user;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use muster_xmpp::presence::turns;
use muster_xmpp::roster::{ChangeCounts, Snapshot, diff};
use muster_xmpp::{BareJid, DomainPart};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::audit::{AuditOrder, AuditReport, Finding};
pub(crate) use self::exchange::Watcher;
use self::fallback::Reach;
pub(crate) use self::flight::Provenance;
use self::flight::{Arrived, Boarding, Landed, Turn};
pub(crate) use self::guard::GuardStatus;
pub(crate) use self::keeper::Keeper;
use self::kept::{Due, KeptRoster, Seen, Validator};
use self::landing::from_before;
use self::limiter::Class;
pub(crate) use self::refresh::{
    Batch, Entry, HandedIn, Mode, Preview, Progress, Record, RefreshCall, RefreshTerms, Told,
    Verdict,
};
use self::source::{Answer, FetchPermit, Seat, Want};
pub(crate) use self::source::{Source, SourceError};
use self::user::Standing;
pub(crate) use self::user::User;
use crate::config::OnBackendFailure;
use crate::mailbox::Mail;
use crate::sessions::{Resource, SessionId, Sessions};

/// How there came to be a roster for a client that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obtained {
    /// The app was asked for it.
    Asked,
    /// It was there.
    There,
}

/// The rosters of the process.
pub(crate) struct Rosters {
    sessions: Arc<Sessions>,
    sources: HashMap<DomainPart, Arc<Source>>,
    /// Users with a bound resource. Taken for a lookup, or to take one out;
    /// before a user's state and before `Sessions`' locks.
    users: Mutex<HashMap<Box<str>, Arc<User>>>,
    keeper: Arc<Keeper>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Rosters {
    /// Rosters from `sources`, for the resources in `sessions`. What outlives
    /// a call is among `tasks`, and ends with `stop`.
    pub(crate) fn new(
        sessions: Arc<Sessions>,
        sources: HashMap<DomainPart, Arc<Source>>,
        keeper: Keeper,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Rosters {
        Rosters {
            sessions,
            sources,
            users: Mutex::default(),
            keeper: Arc::new(keeper),
            tasks,
            stop,
        }
    }

    /// Starts what runs beside the sessions: the writing of rosters, and the
    /// asking for what the app owes.
    pub(crate) fn start(self: &Arc<Self>) {
        let keeping = |source: &&Arc<Source>| source.policy == OnBackendFailure::Stale;
        let domains = self.sources.iter().filter(|(_, source)| keeping(source));
        let domains = domains.map(|(domain, _)| domain.as_str().into()).collect();
        let keeper = Arc::clone(&self.keeper);
        self.tasks.spawn(keeper.run(domains, self.stop.clone()));
        for source in self.sources.values() {
            let (rosters, source) = (Arc::clone(self), Arc::clone(source));
            let guarding =
                guard::watch::run(Arc::clone(&rosters), Arc::clone(&source), self.stop.clone());
            self.tasks.spawn(guarding);
            if let Some(interval) = source.resync_interval {
                let (rosters, source) = (Arc::clone(&rosters), Arc::clone(&source));
                let stop = self.stop.clone();
                self.tasks
                    .spawn(resync::run(rosters, source, interval, stop));
            }
            if source.goes_together() {
                let source = Arc::clone(&source);
                self.tasks.spawn(batches::run(source, self.stop.clone()));
            }
            self.tasks
                .spawn(recovery::run(rosters, source, self.stop.clone()));
        }
    }

    /// Writes what is still to be kept, when everything else has ended.
    pub(crate) async fn flush(&self) {
        // What cannot be written now is written after the next fetch.
        let _ = self.keeper.flush().await;
    }

    /// The app of `domain` has been heard of, as when it asks for a refresh:
    /// who is owed a roster is asked for soon.
    pub(crate) fn app_was_heard(&self, domain: &DomainPart) {
        if let Some(source) = self.sources.get(domain) {
            source.outage.may_be_over();
        }
    }

    /// How many users of `domain` see something else than the app's answer.
    pub(crate) fn owed(&self, domain: &DomainPart) -> usize {
        let source = self.sources.get(domain);
        source.map_or(0, |source| source.outage.owed())
    }

    /// The user behind a resource that was just bound. `None` when the domain
    /// is not served.
    pub(crate) fn enter(&self, account: &BareJid) -> Option<Arc<User>> {
        let source = self.sources.get(account.domain())?;
        let mut users = self.users.lock();
        let user = users.entry(account.as_str().into()).or_insert_with(|| {
            source.guard.came();
            Arc::new(User::new(account.clone(), Arc::clone(source)))
        });
        Some(Arc::clone(user))
    }

    /// Forgets the user when no resource is bound any more.
    pub(crate) fn leave(&self, account: &str) {
        let mut users = self.users.lock();
        if !self.sessions.is_online(account)
            && let Some(user) = users.remove(account)
        {
            // Before anybody can enter again, so that nothing is pushed to a
            // session that knows nothing of it.
            {
                let mut state = user.state();
                state.gone = true;
                if std::mem::take(&mut state.held) {
                    user.source.guard.ends_to_hold();
                }
            }
            user.source.guard.left(account);
            user.source.outage.settle(account);
        }
    }

    /// The user, if a resource is bound.
    pub(crate) fn find(&self, account: &str) -> Option<Arc<User>> {
        self.users.lock().get(account).cloned()
    }

    /// Answers a roster get once the roster was asked for: the answer goes into
    /// the resource's mailbox, in the same critical section that makes it
    /// interested, so that no push is lost or comes before it. `known` is the
    /// version that the client holds, `obtained` how there came to be a roster,
    /// or why there is none.
    ///
    /// A client whose get failed is interested all the same: it gets the
    /// contacts pushed as soon as the app answers again.
    pub(crate) fn answer_get(
        &self,
        user: &User,
        session: SessionId,
        id: String,
        known: Option<String>,
        obtained: Result<Obtained, SourceError>,
    ) {
        let state = user.state();
        let refused = obtained.is_err() && user.is_expired(&state);
        let mail = match state.snapshot.as_ref().filter(|_| !refused) {
            Some(snapshot) => {
                served(state.standing, obtained.ok());
                Mail::Roster {
                    id,
                    known,
                    snapshot: Arc::clone(snapshot),
                }
            }
            None => Mail::RosterFailed {
                id,
                error: obtained
                    .err()
                    .unwrap_or(SourceError::ShuttingDown)
                    .stanza_error(),
            },
        };
        self.sessions
            .change(user.account.as_str(), session, |resource| {
                resource.interested = true;
                resource.mailbox.send(mail);
            });
    }

    /// Fetches the user's roster again, with a fetch that starts after this
    /// call, and pushes what changed.
    ///
    /// # Errors
    /// Why the fetch failed; nothing has changed then, and nothing is pushed.
    async fn refetch(&self, user: &User) -> Landed {
        let arrival = user.flights.arrive();
        match user.flights.follow(arrival).await {
            Boarding::Served(landed) => landed,
            Boarding::Turn(turn) => {
                let begun = AtomicBool::new(false);
                self.fetch(user, turn, Seat::InLine(&begun)).await
            }
        }
    }

    /// The same in a place that nobody else wanted; `None` if the user is
    /// being asked for already, and then nothing is done.
    async fn refetch_idle(&self, user: &User, permit: FetchPermit) -> Option<Landed> {
        let turn = user.flights.claim_idle()?;
        Some(self.fetch(user, turn, Seat::Had(permit)).await)
    }

    /// Fetches in the user's turn.
    async fn fetch(&self, user: &User, turn: Turn<'_>, seat: Seat<'_>) -> Landed {
        let (known, is_shown) = {
            let state = user.state();
            let snapshot = state.snapshot.as_ref();
            let known = snapshot.and_then(|_| user.source.known(&state.validator));
            (known, snapshot.is_some())
        };
        // What the app says is compared with what the user had, whether or not
        // anybody has looked at it in this session.
        let kept = match is_shown {
            true => None,
            false => self.last_known(user).await,
        };
        let want = Want {
            account: &user.account,
            known: known.as_deref(),
            class: Class::Refresh,
        };
        let fetched = match seat {
            Seat::InLine(begun) => user.source.fetch_watched(want, begun).await,
            Seat::Had(permit) => user.source.fetch_by(permit, want).await,
        };
        let landed = self.land(user, fetched, kept.as_deref());
        turn.end(landed.clone());
        landed
    }

    /// Takes what a fetch came to, unless the guard holds it back; `kept` is
    /// the last known roster, if the user has none yet. Called by the holder of
    /// the fetch turn.
    fn land(
        &self,
        user: &User,
        fetched: Result<Answer, SourceError>,
        kept: Option<&KeptRoster>,
    ) -> Landed {
        self.weigh(user, &fetched, kept)?;
        match fetched {
            Ok(Answer::Unchanged) => {
                {
                    let mut state = user.state();
                    state.standing = Standing::App;
                    state.told = Some(Instant::now());
                }
                self.keep(user);
                Ok(Arrived {
                    counts: ChangeCounts::default(),
                    provenance: Provenance::Unchanged,
                })
            }
            Ok(Answer::Roster {
                snapshot,
                validator,
            }) => {
                let validator = validator.or_else(|| from_before(user, &snapshot, kept));
                let counts = self.put(user, snapshot, validator, Standing::App);
                self.keep(user);
                Ok(Arrived {
                    counts,
                    provenance: Provenance::App,
                })
            }
            Err(error) => {
                match user.source.complaints.due(Instant::now().into_std()) {
                    Some(since) => {
                        tracing::warn!(user = %user.account, %error, untold = since, "the roster could not be fetched");
                    }
                    None => {
                        tracing::debug!(user = %user.account, %error, "the roster could not be fetched");
                    }
                }
                if error.reach() == Reach::NoSuchUser {
                    self.keeper.forget(&user.account);
                    user.state().kept = None;
                }
                Err(error)
            }
        }
    }

    /// Has the roster kept that the app has just told or confirmed.
    fn keep(&self, user: &User) {
        if user.source.policy != OnBackendFailure::Stale {
            return;
        }
        let mut state = user.state();
        let Some(snapshot) = state.snapshot.clone() else {
            return;
        };
        if state.gone {
            // A newer session of the user may have heard something newer.
            return;
        }
        let roster = KeptRoster {
            snapshot,
            validator: state.validator.clone(),
            seen: Seen::now(),
        };
        let mark = Some(roster.mark());
        let left = match roster.due(state.kept) {
            Due::Nothing => return,
            Due::Seen => self.keeper.confirm(&user.account, roster.seen),
            Due::Roster => self.keeper.keep(&user.account, roster),
        };
        // What was given up is tried again after the next fetch.
        state.kept = mark.filter(|_| left);
    }

    /// Puts a new snapshot in, pushes the changes to interested resources and
    /// exchanges presence with contacts who came into sight or went out of it.
    fn put(
        &self,
        user: &User,
        new: Arc<Snapshot>,
        validator: Option<Validator>,
        standing: Standing,
    ) -> ChangeCounts {
        // Only the holder of the fetch turn, who calls this, puts one in.
        let old = user.snapshot().unwrap_or_default();
        let changes = diff(&old, &new);
        let turns: Vec<_> = turns(&old, &changes).collect();
        let partings = self.partings(user, &turns);
        let mut state = user.state();
        state.snapshot = Some(Arc::clone(&new));
        state.validator = validator;
        state.standing = standing;
        if standing == Standing::App {
            state.told = Some(Instant::now());
        }
        if state.gone {
            return ChangeCounts::of(&changes);
        }
        if !changes.is_empty() {
            self.push(user, &old, &new);
            self.turn_sending(user, &turns, &partings);
        }
        drop(state);
        user.tell_shown();
        self.turn_seeing(user, &turns, &partings);
        ChangeCounts::of(&changes)
    }

    /// Called under the user's state lock.
    fn push(&self, user: &User, old: &Arc<Snapshot>, new: &Arc<Snapshot>) {
        self.sessions.look(user.account.as_str(), |resources| {
            for resource in resources
                .iter()
                .filter(|resource: &&Resource| resource.interested)
            {
                resource.mailbox.send(Mail::Pushes {
                    old: Arc::clone(old),
                    new: Arc::clone(new),
                });
            }
        });
    }
}

/// Counts a roster that a client is given.
fn served(standing: Standing, obtained: Option<Obtained>) {
    let source = match (standing, obtained) {
        (Standing::App, Some(Obtained::There)) => "cache",
        (Standing::App, _) => "app",
        (Standing::Kept(_), _) => "stale",
        (Standing::Empty, _) => "empty",
    };
    metrics::counter!("muster_rosters_served_total", "source" => source).increment(1);
    if let Standing::Kept(seen) = standing {
        metrics::histogram!("muster_roster_age_seconds").record(seen.age(Seen::now()));
    }
}
