//! A bound resource's entry in the registries, for as long as it lasts.
//!
//! Dropping it takes the resource out and says its farewell, however the
//! connection ends: orderly, by an error, or by a panic in its task.

use std::sync::Arc;

use muster_xmpp::error::StreamCondition;
use muster_xmpp::session::BindRefusal;
use muster_xmpp::{BareJid, FullJid, ResourcePart};

use crate::mailbox::{Mail, Mailbox};
use crate::rosters::User;
use crate::services::Services;
use crate::sessions::SessionId;

/// A bound resource.
pub(crate) struct Registration {
    services: Arc<Services>,
    user: Arc<User>,
    jid: FullJid,
    id: SessionId,
}

impl Registration {
    /// Binds `resource` of `account`. A session that had it is told
    /// `<conflict/>` and its farewell is said before the new one can speak.
    ///
    /// # Errors
    /// [`BindRefusal`] when the account may not have another resource.
    pub(crate) fn new(
        services: &Arc<Services>,
        account: &BareJid,
        resource: &ResourcePart,
        mailbox: Mailbox,
    ) -> Result<Registration, BindRefusal> {
        let (bound, replaced) = services.sessions.bind(account, resource, mailbox)?;
        let Some(user) = services.rosters.enter(account) else {
            services.sessions.unbind(account.as_str(), bound.id);
            return Err(BindRefusal::Malformed);
        };
        if let Some(replaced) = replaced {
            replaced
                .mailbox
                .send(Mail::Close(StreamCondition::Conflict.into()));
            services.presences.farewell(&user, replaced);
        }
        Ok(Registration {
            services: Arc::clone(services),
            user,
            jid: bound.jid,
            id: bound.id,
        })
    }

    /// The user whose resource it is.
    pub(crate) fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// The full JID.
    pub(crate) fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Notes whether the session has no connection at the moment.
    pub(crate) fn set_parked(&self, parked: bool) {
        let account = self.user.account.as_str();
        self.services
            .sessions
            .change(account, self.id, |resource| resource.parked = parked);
    }

    /// This bind of the resource.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let account = self.user.account.as_str();
        if let Some(resource) = self.services.sessions.unbind(account, self.id) {
            self.services.presences.farewell(&self.user, resource);
        }
        self.services.rosters.leave(account);
    }
}
