//! Which resources are bound, and how to reach them.
//!
//! Owns the handles of all bound resources, sharded by account. Its locks are
//! held for a lookup or a handful of mails, never across an await, and nothing
//! is locked under them but a mailbox. Does not own the streams, the
//! rosters or any rule about who may see whom.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_xmpp::blocklist::Blocklist;
use muster_xmpp::error::StreamError;
use muster_xmpp::presence::Directed;
use muster_xmpp::session::BindRefusal;
use muster_xmpp::stanza::Presence;
use muster_xmpp::{BareJid, FullJid, Jid, ResourcePart};
use parking_lot::Mutex;

use crate::mailbox::{Mail, Mailbox};

/// Names one bind of a resource: a resource that was taken over has another
/// id under the same JID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionId(u64);

/// A bound resource (RFC 6120, section 7; RFC 6121, sections 2.2 and 4).
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) id: SessionId,
    pub(crate) jid: FullJid,
    pub(crate) mailbox: Mailbox,
    /// The last presence that it broadcast, while it is available.
    pub(crate) available: Option<Arc<Presence>>,
    /// Asked for the roster, so gets pushes ("interested resource").
    pub(crate) interested: bool,
    /// Who got directed presence from it and would miss its end.
    pub(crate) directed: Directed,
    /// Its session has no connection at the moment.
    pub(crate) parked: bool,
    /// Wants copies of its account's messages (XEP-0280).
    pub(crate) carbons: bool,
    /// Asked for the blocklist, so gets its changes (XEP-0191, section 3.3).
    pub(crate) hears_blocks: bool,
}

/// Whom an account with a bound resource blocks, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) enum Blocks {
    /// The list is on its way. Until it is here the account's resources cannot
    /// be reached.
    #[default]
    Loading,
    /// The list cannot be read; people chat nevertheless.
    OutOfReach,
    /// Nobody, or those in the list.
    Known(Option<Arc<Blocklist>>),
}

impl Blocks {
    /// The list, unless it is empty or not known.
    pub(crate) fn list(&self) -> Option<&Arc<Blocklist>> {
        match self {
            Blocks::Known(list) => list.as_ref(),
            Blocks::Loading | Blocks::OutOfReach => None,
        }
    }

    /// Whether stanzas from and to `jid` are blocked.
    pub(crate) fn cover(&self, jid: &Jid) -> bool {
        self.list().is_some_and(|list| list.blocks(jid))
    }
}

/// An account with a bound resource.
#[derive(Debug, Default)]
struct Account {
    resources: Vec<Resource>,
    blocks: Blocks,
}

impl Resource {
    /// Available with a priority that is not negative: it takes what is sent
    /// to the account (RFC 6121, section 4.7.2.3).
    pub(crate) fn takes_messages(&self) -> bool {
        let available = self.available.as_ref();
        available.is_some_and(|presence| presence.priority >= 0)
    }
}

const SHARDS: usize = 64;

/// By bare JID as text, so that a roster item finds its contact's resources
/// without parsing.
type Shard = HashMap<Box<str>, Account>;

/// All bound resources of the process.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Leaf locks: see the module's rule.
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    next_id: AtomicU64,
    max_resources: usize,
}

impl Sessions {
    /// `max_resources`: how many resources an account may have bound at once.
    pub(crate) fn new(max_resources: usize) -> Sessions {
        Sessions {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            next_id: AtomicU64::new(1),
            max_resources,
        }
    }

    fn shard(&self, account: &str) -> &Mutex<Shard> {
        let index = self.hasher.hash_one(account) as usize % self.shards.len();
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
        &self.shards[index]
    }

    /// Binds `resource`; a session that had it is taken out and returned for
    /// its farewell (RFC 6120, section 7.7.2.2: the old one gets `<conflict/>`).
    /// An account that has its fill loses the oldest of its sessions that have
    /// no connection, if there is one.
    ///
    /// # Errors
    /// [`BindRefusal::TooManyResources`] when the account has its fill.
    pub(crate) fn bind(
        &self,
        account: &BareJid,
        resource: &ResourcePart,
        mailbox: Mailbox,
    ) -> Result<(Resource, Option<Resource>), BindRefusal> {
        let mut shard = self.shard(account.as_str()).lock();
        let resources = &mut shard.entry(account.as_str().into()).or_default().resources;
        let replaced = resources
            .iter()
            .position(|bound| bound.jid.resource().as_str() == resource.as_str());
        let full = resources.len() >= self.max_resources;
        let replaced = replaced.or_else(|| oldest_parked(resources).filter(|_| full));
        if replaced.is_none() && full {
            return Err(BindRefusal::TooManyResources);
        }
        let replaced = replaced.map(|index| resources.swap_remove(index));
        let bound = Resource {
            id: SessionId(self.next_id.fetch_add(1, Ordering::Relaxed)),
            jid: account.with_resource(resource),
            mailbox,
            available: None,
            interested: false,
            directed: Directed::default(),
            parked: false,
            carbons: false,
            hears_blocks: false,
        };
        resources.push(bound.clone());
        Ok((bound, replaced))
    }

    /// Takes the session out. `None` when it was taken over before.
    pub(crate) fn unbind(&self, account: &str, id: SessionId) -> Option<Resource> {
        let mut shard = self.shard(account).lock();
        let resources = &mut shard.get_mut(account)?.resources;
        let index = resources.iter().position(|bound| bound.id == id)?;
        let resource = resources.swap_remove(index);
        if resources.is_empty() {
            shard.remove(account);
        }
        Some(resource)
    }

    /// Looks at the account's resources; an empty slice when there are none.
    /// `look` runs under the shard's lock.
    pub(crate) fn look<R>(&self, account: &str, look: impl FnOnce(&[Resource]) -> R) -> R {
        self.consider(account, |resources, _| look(resources))
    }

    /// As [`Sessions::look`], with whom the account blocks: nobody if it has no
    /// resource here.
    pub(crate) fn consider<R>(
        &self,
        account: &str,
        look: impl FnOnce(&[Resource], &Blocks) -> R,
    ) -> R {
        let shard = self.shard(account).lock();
        match shard.get(account) {
            Some(account) => look(&account.resources, &account.blocks),
            None => look(&[], &Blocks::Known(None)),
        }
    }

    /// Whom the account blocks.
    pub(crate) fn blocks(&self, account: &str) -> Blocks {
        self.consider(account, |_, blocks| blocks.clone())
    }

    /// Changes whom the account blocks, if it has a resource here.
    pub(crate) fn change_blocks(&self, account: &str, change: impl FnOnce(&mut Blocks)) {
        if let Some(account) = self.shard(account).lock().get_mut(account) {
            change(&mut account.blocks);
        }
    }

    /// Changes one session's entry. `None` when it is gone or was taken over.
    /// `change` runs under the shard's lock.
    pub(crate) fn change<R>(
        &self,
        account: &str,
        id: SessionId,
        change: impl FnOnce(&mut Resource) -> R,
    ) -> Option<R> {
        let mut shard = self.shard(account).lock();
        let resource = shard
            .get_mut(account)?
            .resources
            .iter_mut()
            .find(|bound| bound.id == id)?;
        Some(change(resource))
    }

    /// Whether the account has a bound resource.
    pub(crate) fn is_online(&self, account: &str) -> bool {
        self.look(account, |resources| !resources.is_empty())
    }

    /// Tells every session to end its stream with `error`.
    pub(crate) fn close_all(&self, error: &StreamError) {
        for shard in &self.shards {
            let shard = shard.lock();
            for resource in shard.values().flat_map(|account| &account.resources) {
                resource.mailbox.send(Mail::Close(error.clone()));
            }
        }
    }
}

/// The place of the session that has no connection and was bound first.
fn oldest_parked(resources: &[Resource]) -> Option<usize> {
    let parked = resources.iter().enumerate().filter(|(_, it)| it.parked);
    let oldest = parked.min_by_key(|(_, it)| it.id.0);
    oldest.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::{MailboxLimits, mailbox};

    fn john() -> BareJid {
        BareJid::new("john@example.test").unwrap()
    }

    fn resource(name: &str) -> ResourcePart {
        ResourcePart::new(name).unwrap().into_owned()
    }

    fn any_mailbox() -> Mailbox {
        mailbox(MailboxLimits {
            messages: 1,
            bytes: 1,
        })
        .0
    }

    #[test]
    fn a_resource_that_is_bound_twice_belongs_to_the_newer_session() {
        let sessions = Sessions::new(10);
        let (old, none) = sessions
            .bind(&john(), &resource("phone"), any_mailbox())
            .unwrap();
        assert!(none.is_none());
        let (new, replaced) = sessions
            .bind(&john(), &resource("phone"), any_mailbox())
            .unwrap();
        assert_eq!(replaced.unwrap().id, old.id);
        assert!(
            sessions.unbind(john().as_str(), old.id).is_none(),
            "the old session no longer owns the entry"
        );
        assert!(sessions.is_online(john().as_str()));
        assert!(sessions.unbind(john().as_str(), new.id).is_some());
        assert!(!sessions.is_online(john().as_str()));
    }

    #[test]
    fn the_resource_limit_spares_the_resource_that_is_replaced() {
        let sessions = Sessions::new(2);
        for name in ["a", "b"] {
            sessions
                .bind(&john(), &resource(name), any_mailbox())
                .unwrap();
        }
        assert!(matches!(
            sessions.bind(&john(), &resource("c"), any_mailbox()),
            Err(BindRefusal::TooManyResources)
        ));
        let (newest, _) = sessions
            .bind(&john(), &resource("b"), any_mailbox())
            .unwrap();
        // One that has no connection gives way.
        sessions.change(john().as_str(), newest.id, |it| it.parked = true);
        let (_, replaced) = sessions
            .bind(&john(), &resource("c"), any_mailbox())
            .unwrap();
        assert_eq!(replaced.unwrap().id, newest.id);
    }
}
