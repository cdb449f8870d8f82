//! Messages for users of whom nobody is there (XEP-0160): kept, and handed over
//! when somebody is.
//!
//! Owns the order of the two, so that a message is neither forgotten nor handed
//! over twice nor overtaken. It is kept first; then whoever keeps it looks
//! whether a resource has come in the meantime, and if so hands over what there
//! is. A resource that comes is noted first, and reads then. Each does so in
//! the user's turn, and takes messages out only once they have gone to the
//! client's transport, so that a process that is killed hands over again at
//! most what it was about to. What is kept is `muster_xmpp::offline`'s to say,
//! how much the store's.
//!
//! Nobody can tell from outside which accounts there are: what is sent to one
//! that nothing is known of is answered as if it were kept
//! ([decision 0011](../../../docs/decisions/0011-offline-messages.md)).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use muster_xmpp::blocklist::Blocklist;
use muster_xmpp::error::StanzaError;
use muster_xmpp::offline::{Verdict, delayed, is_delayed, verdict};
use muster_xmpp::session::Worth;
use muster_xmpp::stanza::Message;
use muster_xmpp::{BareJid, FullJid, Jid, carbons, encode};
use tokio_util::task::TaskTracker;

use crate::hosts::{Hosts, VirtualHost};
use crate::mailbox::Mail;
use crate::rosters::{Rosters, User};
use crate::sessions::Sessions;
use crate::store::{Kept, MessageId, Store, StoreError, Waiting};

/// How long a message that has been kept waits for its turn to be handed over
/// at once. Who has the turn hands it over as well.
const TURN_PATIENCE: Duration = Duration::from_secs(5);

/// What is kept for users of whom nobody is there.
pub(crate) struct Offline {
    store: Store,
    hosts: Arc<Hosts>,
    sessions: Arc<Sessions>,
    rosters: Arc<Rosters>,
    tasks: TaskTracker,
}

/// A message on its way into the store.
#[derive(Debug)]
pub(crate) struct Letter {
    account: BareJid,
    /// Who sent it, if the account's blocklist has still to be asked.
    from: Option<Jid>,
    /// As it will be delivered.
    stanza: Bytes,
    /// It is known that there is such an account.
    known: bool,
}

impl Offline {
    /// Keeps messages in `store`, hands them over to the resources in
    /// `sessions`; what it begins is in `tasks`.
    pub(crate) fn new(
        store: Store,
        hosts: Arc<Hosts>,
        sessions: Arc<Sessions>,
        rosters: Arc<Rosters>,
        tasks: TaskTracker,
    ) -> Offline {
        Offline {
            store,
            hosts,
            sessions,
            rosters,
            tasks,
        }
    }

    /// A message that nobody was there to take, made ready to be kept. `Ok(None)`
    /// if it is of no use later.
    ///
    /// # Errors
    /// What its sender is to be told.
    pub(crate) fn letter(
        &self,
        message: &Message,
        from: &FullJid,
        sender: &User,
        to: &Jid,
    ) -> Result<Option<Letter>, StanzaError> {
        let account = to.to_bare();
        let Some(host) = self.keeps(message, &account)? else {
            return Ok(None);
        };
        let from = Jid::from(from.clone());
        let stanza = encode::message(&carbons::delivered(message), &from, to);
        // The app's word that there is such an account.
        let roster = sender.snapshot();
        let is_contact = roster.is_some_and(|roster| roster.get(account.as_str()).is_some());
        Ok(Some(Letter {
            known: is_contact || sender.account == account || host.auth.lists(&account),
            stanza: delayed(&stanza, &host.domain, now()),
            from: (sender.account != account).then_some(from),
            account,
        }))
    }

    /// A message of `account` that its client never got, made ready to be kept.
    /// `Ok(None)` if it is of no use later.
    ///
    /// # Errors
    /// What its sender is to be told.
    pub(crate) fn returned(
        &self,
        account: BareJid,
        message: &Message,
        stanza: &Bytes,
    ) -> Result<Option<Letter>, StanzaError> {
        let Some(host) = self.keeps(message, &account)? else {
            return Ok(None);
        };
        Ok(Some(Letter {
            stanza: match is_delayed(stanza, &host.domain) {
                true => stanza.clone(),
                false => delayed(stanza, &host.domain, now()),
            },
            // It had passed the account's blocklist.
            from: None,
            account,
            // It has logged in.
            known: true,
        }))
    }

    /// Keeps `letter`. It is on the disk when this returns, even if nobody
    /// waits for it to return.
    ///
    /// # Errors
    /// What its sender is to be told; it was not kept then.
    pub(crate) async fn keep(self: Arc<Self>, letter: Letter) -> Result<(), StanzaError> {
        let tasks = self.tasks.clone();
        let kept = tasks.spawn(async move { self.keep_and_look(letter).await });
        kept.await
            .unwrap_or(Err(StoreError::Unavailable.stanza_error()))
    }

    /// What waits for the account, after taking out what was `written` of it.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub(crate) async fn next(
        self: Arc<Self>,
        account: BareJid,
        written: Option<Written>,
    ) -> Result<Waiting, StoreError> {
        if let Some(written) = written {
            self.delivered(&account, written).await?;
        }
        let waiting = self.store.waiting(account.as_str()).await?;
        if !waiting.remembered {
            let offline = Arc::clone(&self);
            self.tasks.spawn(async move {
                // The next login tries again.
                let _ = offline.store.remember(account.as_str()).await;
            });
        }
        Ok(waiting)
    }

    /// Hands over what waits for the account, if somebody is there to take it.
    pub(crate) fn hand_over(self: &Arc<Self>, account: &BareJid) {
        if self.is_reachable(account) {
            let (offline, account) = (Arc::clone(self), account.clone());
            self.tasks
                .spawn(async move { offline.flush(&account).await });
        }
    }

    async fn keep_and_look(&self, letter: Letter) -> Result<(), StanzaError> {
        let account = letter.account.as_str();
        if let Some(from) = &letter.from {
            // Of an account that nobody knows as well, so that it takes as long.
            let blocked = self.store.blocklist(account).await;
            let blocked = Blocklist::new(blocked.map_err(StoreError::stanza_error)?);
            if blocked.blocks(from) {
                count("blocked", 1);
                return Err(StanzaError::SERVICE_UNAVAILABLE);
            }
        }
        let kept = self.store.keep(account, letter.stanza, letter.known).await;
        count(
            match &kept {
                Ok(Kept::Kept) => "kept",
                Ok(Kept::Stranger) => "stranger",
                Err(StoreError::OverLimit(_)) => "full",
                Err(_) => "failed",
            },
            1,
        );
        let kept = kept.map_err(StoreError::stanza_error)?;
        if kept == Kept::Kept && self.is_reachable(&letter.account) {
            self.flush(&letter.account).await;
        }
        Ok(())
    }

    /// The host that keeps such a message for the account.
    fn keeps(
        &self,
        message: &Message,
        account: &BareJid,
    ) -> Result<Option<&Arc<VirtualHost>>, StanzaError> {
        let host = self.hosts.at(account.domain());
        let host = host.filter(|host| host.offline_messages);
        let host = host.ok_or(StanzaError::SERVICE_UNAVAILABLE)?;
        match verdict(message) {
            Verdict::Keep => Ok(Some(host)),
            Verdict::Refuse => Err(StanzaError::SERVICE_UNAVAILABLE),
            Verdict::Drop => Ok(None),
        }
    }

    /// Hands over through the mailboxes of whoever is there.
    async fn flush(&self, account: &BareJid) {
        let Some(user) = self.rosters.find(account.as_str()) else {
            return;
        };
        let turn = tokio::time::timeout(TURN_PATIENCE, user.offline_turn().lock_owned());
        let Ok(_turn) = turn.await else { return };
        while let Ok(waiting) = self.store.waiting(account.as_str()).await {
            let Some(written) = Written::of(&waiting) else {
                return;
            };
            let taken = self.sessions.look(account.as_str(), |resources| {
                let takers = || resources.iter().filter(|it| it.takes_messages());
                let worth = Worth::among(takers().count());
                let mut taken = false;
                for resource in takers() {
                    for stanza in &waiting.messages {
                        let stanza = stanza.clone();
                        taken |= resource.mailbox.send(Mail::Message { stanza, worth });
                    }
                }
                taken
            });
            if !taken || self.delivered(account, written).await.is_err() {
                return;
            }
        }
    }

    async fn delivered(&self, account: &BareJid, written: Written) -> Result<(), StoreError> {
        self.store.delivered(account.as_str(), written.last).await?;
        count("delivered", written.count as u64);
        Ok(())
    }

    fn is_reachable(&self, account: &BareJid) -> bool {
        self.sessions.look(account.as_str(), |resources| {
            resources.iter().any(|it| it.takes_messages())
        })
    }
}

/// Messages that have gone out and are still kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    last: MessageId,
    count: usize,
}

impl Written {
    /// All of `waiting`; `None` if that is nothing.
    pub(crate) fn of(waiting: &Waiting) -> Option<Written> {
        Some(Written {
            last: waiting.last?,
            count: waiting.messages.len(),
        })
    }
}

fn count(outcome: &'static str, messages: u64) {
    metrics::counter!("muster_offline_messages_total", "outcome" => outcome).increment(messages);
}

/// Since the beginning of 1970.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
