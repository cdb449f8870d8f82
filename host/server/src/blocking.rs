//! Blocking Command (XEP-0191): lists are read, changed, kept and told.
//!
//! Owns the order of a change: it is on the disk, then in `Sessions`, where it
//! takes effect; then the contacts whom it concerns are taken out of each
//! other's sight or brought back into it, and the user's other clients hear of
//! it. What a block means for a stanza is checked where the stanza passes: in
//! the router and where presence is handed out. The roster is the app's and
//! stays as it is. Lock order: a user's turn here, that user's state, a leaf
//! lock of `Sessions`.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_xmpp::blocklist::{self, Blocklist};
use muster_xmpp::presence::{audience, sources};
use muster_xmpp::stanza::{Presence, Stanza};
use muster_xmpp::{BareJid, FullJid, Jid};

use crate::mailbox::Mail;
use crate::rosters::{Rosters, User, Watcher};
use crate::router::Router;
use crate::sessions::{Blocks, SessionId, Sessions};
use crate::store::{Store, StoreError};

/// Commands of different users that share a turn wait for each other without
/// need; so many turns are enough that it is rare.
const TURNS: usize = 64;

/// The blocklists of the process.
pub(crate) struct Blocking {
    store: Store,
    sessions: Arc<Sessions>,
    rosters: Arc<Rosters>,
    router: Arc<Router>,
    /// One command of a user at a time, so that disk, memory and pushes have
    /// them in the same order. Held across the write.
    turns: Box<[tokio::sync::Mutex<()>]>,
    hasher: RandomState,
    pushes: AtomicU64,
}

/// What a command does to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Block,
    Unblock,
}

impl Blocking {
    /// Blocklists in `store` of the users with resources in `sessions`.
    pub(crate) fn new(
        store: Store,
        sessions: Arc<Sessions>,
        rosters: Arc<Rosters>,
        router: Arc<Router>,
    ) -> Blocking {
        Blocking {
            store,
            sessions,
            rosters,
            router,
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
            hasher: RandomState::new(),
            pushes: AtomicU64::new(1),
        }
    }

    /// Whether the list of an account with a bound resource is still to be
    /// [loaded](Blocking::load).
    pub(crate) fn is_due(&self, account: &BareJid) -> bool {
        !matches!(self.sessions.blocks(account.as_str()), Blocks::Known(_))
    }

    /// Reads the account's list, unless it is known. If it cannot be read,
    /// nobody is blocked for now: to chat matters more. The next bind and the
    /// next command try again.
    pub(crate) async fn load(&self, account: &BareJid) -> Result<(), StoreError> {
        if !self.is_due(account) {
            return Ok(());
        }
        let found = self.store.blocklist(account.as_str()).await;
        self.sessions.change_blocks(account.as_str(), |blocks| {
            match (&found, &blocks) {
                // Somebody else read it, and it may have changed since.
                (_, Blocks::Known(_)) => {}
                (Ok(jids), _) => *blocks = known(Blocklist::new(jids.iter().cloned())),
                (Err(_), _) => *blocks = Blocks::OutOfReach,
            }
        });
        found.map(drop).inspect_err(|error| {
            tracing::warn!(user = %account, %error, "a blocklist cannot be read; nobody is blocked");
        })
    }

    /// The user's list; `session` hears of changes from now on.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(crate) async fn list(
        &self,
        user: &User,
        session: SessionId,
    ) -> Result<Vec<String>, StoreError> {
        let _turn = self.turn(user).lock().await;
        self.load(&user.account).await?;
        self.sessions
            .change(user.account.as_str(), session, |resource| {
                resource.hears_blocks = true;
            });
        let list = self.current(user);
        Ok(list.iter().map(str::to_owned).collect())
    }

    /// Blocks `jids`.
    ///
    /// # Errors
    /// The list cannot be read or written, or would be too long; nothing has
    /// changed then.
    pub(crate) async fn block(&self, user: &User, jids: &[Jid]) -> Result<(), StoreError> {
        let _turn = self.turn(user).lock().await;
        self.load(&user.account).await?;
        let account = user.account.as_str();
        let texts = jids.iter().map(|jid| jid.as_str());
        self.store.block(account, texts).await?;
        let old = self.current(user);
        self.take_effect(user, &old, &old.with(jids), Change::Block);
        self.push(user, "block", jids);
        Ok(())
    }

    /// Unblocks `jids`, or everybody if there is none.
    ///
    /// # Errors
    /// As [`Blocking::block`].
    pub(crate) async fn unblock(&self, user: &User, jids: &[Jid]) -> Result<(), StoreError> {
        let _turn = self.turn(user).lock().await;
        self.load(&user.account).await?;
        let account = user.account.as_str();
        let old = self.current(user);
        let new = if jids.is_empty() {
            self.store.unblock_all(account).await?;
            Blocklist::default()
        } else {
            let texts = jids.iter().map(|jid| jid.as_str());
            self.store.unblock(account, texts).await?;
            old.without(jids)
        };
        self.take_effect(user, &old, &new, Change::Unblock);
        self.push(user, "unblock", jids);
        Ok(())
    }

    fn turn(&self, user: &User) -> &tokio::sync::Mutex<()> {
        let index = self.hasher.hash_one(user.account.as_str()) as usize % self.turns.len();
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
        &self.turns[index]
    }

    fn current(&self, user: &User) -> Arc<Blocklist> {
        let blocks = self.sessions.blocks(user.account.as_str());
        blocks.list().cloned().unwrap_or_default()
    }

    /// Puts `new` in place of `old` and exchanges presence accordingly.
    fn take_effect(&self, user: &User, old: &Blocklist, new: &Blocklist, change: Change) {
        let account = user.account.as_str();
        // Broadcasts of the user go out under its state lock, so none comes
        // between the change and what it says of presence.
        let state = user.state();
        let snapshot = state.snapshot.clone().unwrap_or_default();
        let switched = |jid: &Jid| old.blocks(jid) != new.blocks(jid);
        if change == Change::Block {
            self.end_directed(user, switched);
        }
        self.sessions.change_blocks(account, |blocks| {
            *blocks = known(new.clone());
        });
        let own = self.rosters.available(account);
        for contact in audience(&snapshot) {
            self.turn_sending(&own, contact.jid(), switched, change);
        }
        drop(state);
        let watchers = self.rosters.watchers(account);
        for contact in sources(&snapshot) {
            self.turn_seeing(user, contact.jid(), &watchers, switched, change);
        }
    }

    /// Says good-bye to those who had directed presence and are blocked now.
    fn end_directed(&self, user: &User, switched: impl Fn(&Jid) -> bool) {
        let account = user.account.as_str();
        let resources = self.sessions.look(account, |resources| {
            let ids = resources.iter().map(|it| (it.id, it.jid.clone()));
            ids.collect::<Vec<_>>()
        });
        for (id, jid) in resources {
            let told = self
                .sessions
                .change(account, id, |resource| resource.directed.take(&switched));
            for to in told.unwrap_or_default() {
                let presence = Presence {
                    to: Some(to.clone()),
                    ..Presence::unavailable()
                };
                self.router.deliver(&Stanza::Presence(presence), &jid, &to);
            }
        }
    }

    /// Takes the user out of the contact's sight, or brings it back. Called
    /// under the user's state lock.
    fn turn_sending(
        &self,
        own: &[(FullJid, Arc<Presence>)],
        contact: &str,
        switched: impl Fn(&Jid) -> bool,
        change: Change,
    ) {
        let gone = Presence::unavailable();
        for (jid, presence) in own {
            let presence = match change {
                Change::Block => &gone,
                Change::Unblock => presence,
            };
            self.rosters
                .show(jid, presence, contact, |resource| switched(&resource.jid));
        }
    }

    /// Takes the contact out of the user's sight, or brings it back.
    fn turn_seeing(
        &self,
        user: &User,
        contact: &str,
        watchers: &[Watcher],
        switched: impl Fn(&Jid) -> bool,
        change: Change,
    ) {
        let theirs = self.rosters.available(contact);
        let theirs: Vec<_> = theirs.into_iter().filter(|it| switched(&it.0)).collect();
        if theirs.is_empty() {
            return;
        }
        match change {
            Change::Block => self.rosters.hide(&theirs, contact, user, watchers),
            Change::Unblock => self.rosters.probe(contact, user, watchers),
        }
    }

    /// Tells the user's resources that asked for the list.
    fn push(&self, user: &User, command: &str, jids: &[Jid]) {
        self.sessions.look(user.account.as_str(), |resources| {
            for resource in resources.iter().filter(|resource| resource.hears_blocks) {
                let id = format!("blocking-{}", self.pushes.fetch_add(1, Ordering::Relaxed));
                let jids = jids.iter().map(|jid| jid.as_str());
                let push = blocklist::encode_push(command, jids, &id, &resource.jid);
                resource.mailbox.send(Mail::Stanza(push));
            }
        });
    }
}

/// An empty list takes no memory.
fn known(list: Blocklist) -> Blocks {
    Blocks::Known((!list.is_empty()).then(|| Arc::new(list)))
}
