//! Messages that wait: one that nobody was there to take, on its way into the
//! store, and those that were kept, on their way to the resource that came.
//!
//! Owns which step is next. While there is a backlog, the connection takes no
//! mail: what was kept goes before what is new. A part of it is read, written,
//! and taken out of the store once the transport has all of it (with stream
//! management, once the client has acknowledged it); then the next.

use std::pin::Pin;
use std::sync::Arc;

use muster_xmpp::session::Session;
use muster_xmpp::stanza::{Presence, PresenceType, Stanza, StanzaKind};
use muster_xmpp::{BareJid, Jid};
use tokio::sync::OwnedMutexGuard;

use super::{Answer, Connection};
use crate::offline::{Offline, Written};
use crate::store::{StoreError, Waiting};

/// A backlog that is being handed over.
pub(super) struct Backlog {
    offline: Arc<Offline>,
    account: BareJid,
    step: Step,
    /// Nobody else hands the user's messages over.
    turn: Option<OwnedMutexGuard<()>>,
}

enum Step {
    Reading(Pin<Box<dyn Future<Output = Result<Waiting, StoreError>> + Send>>),
    Writing(Written),
    Done,
}

impl Backlog {
    /// A backlog that is about to be read.
    pub(super) fn new(
        offline: Arc<Offline>,
        account: BareJid,
        turn: OwnedMutexGuard<()>,
    ) -> Backlog {
        let first = Arc::clone(&offline).next(account.clone(), None);
        Backlog {
            step: Step::Reading(Box::pin(first)),
            offline,
            account,
            turn: Some(turn),
        }
    }

    /// The next part, when it has been read. Cancel safe.
    pub(super) async fn read(&mut self) -> Result<Waiting, StoreError> {
        match &mut self.step {
            Step::Reading(next) => next.await,
            Step::Writing(_) | Step::Done => std::future::pending().await,
        }
    }

    /// Says what was read to the client. False when nothing is left, or the
    /// rest is out of reach.
    pub(super) fn write(
        &mut self,
        read: Result<Waiting, StoreError>,
        session: &mut Session,
    ) -> bool {
        self.step = Step::Done;
        let Ok(waiting) = read else { return false };
        let Some(written) = Written::of(&waiting) else {
            return false;
        };
        for stanza in waiting.messages {
            session.send(stanza);
        }
        self.step = Step::Writing(written);
        true
    }

    /// Whether it waits for the transport to take what was written.
    pub(super) fn is_writing(&self) -> bool {
        matches!(self.step, Step::Writing(_))
    }

    /// The transport has it all.
    pub(super) fn written(&mut self) {
        if let Step::Writing(written) = self.step {
            let next = Arc::clone(&self.offline).next(self.account.clone(), Some(written));
            self.step = Step::Reading(Box::pin(next));
        }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        // What is left is for the user's other resources, if there are any.
        if !matches!(self.step, Step::Done) {
            self.turn = None;
            self.offline.hand_over(&self.account);
        }
    }
}

impl Connection {
    /// Keeps a message to `to`, where nobody is to take it; nothing more is read
    /// until it is on the disk.
    pub(super) fn keep(&mut self, stanza: &Stanza, to: &Jid) {
        let (Some(bound), Stanza::Message(message)) = (&self.bound, stanza) else {
            return;
        };
        let offline = Arc::clone(&self.services.offline);
        let (from, sender) = (bound.registration.jid(), bound.registration.user());
        match offline.letter(message, from, sender, to) {
            Ok(None) => {}
            Ok(Some(letter)) => {
                let (id, to) = (message.id.clone(), message.to.clone());
                self.pending = Some(Box::pin(async move {
                    let kept = offline.keep(letter).await;
                    Answer::Kept { id, to, kept }
                }));
            }
            Err(error) => {
                let (id, to) = (message.id.as_deref(), message.to.as_ref());
                self.refuse(StanzaKind::Message, id, to, &error);
            }
        }
    }

    /// The right to hand over what was kept, if this presence of the resource
    /// is the one that it waits for (XEP-0160, section 2). To be taken before
    /// the presence is noted.
    pub(super) fn backlog_turn(&self, presence: &Presence) -> Option<OwnedMutexGuard<()>> {
        let bound = self.bound.as_ref()?;
        let takes = presence.to.is_none()
            && presence.type_ == PresenceType::Available
            && presence.priority >= 0;
        if !takes || bound.backlog.is_some() || self.takes_messages() {
            return None;
        }
        // Who has it is about to hand over, or somebody else came first.
        let turn = bound.registration.user().offline_turn();
        turn.try_lock_owned().ok()
    }

    /// Begins to hand over, now that the presence has been noted.
    pub(super) fn begin_backlog(&mut self, turn: OwnedMutexGuard<()>) {
        if !self.takes_messages() {
            return;
        }
        if let Some(bound) = &mut self.bound {
            let offline = Arc::clone(&self.services.offline);
            let account = bound.registration.user().account.clone();
            bound.backlog = Some(Backlog::new(offline, account, turn));
        }
    }

    /// Goes on once the transport has all of the last part; with stream
    /// management, once the client has it.
    pub(super) fn continue_backlog(&mut self) {
        let taken = self.session.output().is_empty()
            && self.session.is_settled()
            && !self.session.is_closed();
        let backlog = self.bound.as_mut().and_then(|it| it.backlog.as_mut());
        if let (Some(backlog), true) = (backlog, taken) {
            backlog.written();
        }
    }

    /// The next part of the backlog was read.
    pub(super) fn backlog_read(&mut self, read: Result<Waiting, StoreError>) {
        if let Some(bound) = &mut self.bound
            && let Some(backlog) = &mut bound.backlog
            && !backlog.write(read, &mut self.session)
        {
            bound.backlog = None;
        }
    }

    fn takes_messages(&self) -> bool {
        let Some(bound) = &self.bound else {
            return false;
        };
        let (user, id) = (bound.registration.user(), bound.registration.id());
        self.services
            .sessions
            .look(user.account.as_str(), |resources| {
                let own = resources.iter().find(|it| it.id == id);
                own.is_some_and(|it| it.takes_messages())
            })
    }
}
