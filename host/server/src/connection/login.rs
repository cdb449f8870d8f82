//! From the first byte to a bound resource: TLS, who it is, which resource.
//!
//! Owns what the shell does for a login: it asks who decides about the account,
//! makes those wait who come too often, and enters the resource. The order of
//! the login is the session's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_xmpp::error::StreamCondition;
use muster_xmpp::sasl::ScramKind;
use muster_xmpp::session::{BindRefusal, CredentialsAnswer, TokenVerdict, Verdict};
use muster_xmpp::{BareJid, DomainPart, DomainRef, FullJid, ResourcePart};
use secrecy::SecretString;

use super::bound::Bound;
use super::{Answer, Connection};
use crate::attempts;
use crate::hosts::VirtualHost;
use crate::limit::Limit;
use crate::mailbox::mailbox;
use crate::registration::Registration;
use crate::telemetry::Carried;

impl Connection {
    pub(super) fn look_up(&mut self, account: BareJid, kind: ScramKind) {
        let (host, delay) = self.begin_login(account.domain());
        self.pending = Some(Box::pin(async move {
            attempts::wait(delay).await;
            Answer::Credentials(match host {
                Some(host) => host.auth.credentials(&account, kind).await,
                None => CredentialsAnswer::TemporarilyUnavailable,
            })
        }));
    }

    pub(super) fn verify(&mut self, account: BareJid, password: SecretString) {
        let (host, delay) = self.begin_login(account.domain());
        self.pending = Some(Box::pin(async move {
            attempts::wait(delay).await;
            Answer::Verdict(match host {
                Some(host) => host.auth.verify(&account, password).await,
                None => Verdict::Rejected,
            })
        }));
    }

    pub(super) fn verify_token(&mut self, domain: DomainPart, token: SecretString) {
        let (host, delay) = self.begin_login(&domain);
        self.pending = Some(Box::pin(async move {
            attempts::wait(delay).await;
            Answer::Token(match host {
                Some(host) => host.auth.verify_token(&domain, &token),
                None => TokenVerdict::Rejected,
            })
        }));
    }

    /// Binds at once, or after a while for an account that comes too often.
    pub(super) fn bind_in_turn(&mut self, account: BareJid, resource: ResourcePart) {
        match self.services.arrivals.begin(&account, Instant::now()) {
            None => self.bind(&account, &resource),
            Some(delay) => {
                Limit::XmppSessionsPerMinute.reached();
                self.pending = Some(Box::pin(async move {
                    tokio::time::sleep(delay).await;
                    Answer::Turn { account, resource }
                }));
            }
        }
    }

    /// Where to ask about a login, and how long to wait before.
    fn begin_login(&self, domain: &DomainRef) -> (Option<Arc<VirtualHost>>, Option<Duration>) {
        let host = self.services.hosts.at(domain).cloned();
        let delay = self.services.attempts.delay(self.address, Instant::now());
        (host, delay)
    }

    /// What the session has written is the last that can be read on the way.
    pub(super) fn start_tls(&mut self) {
        let Some(tls) = &self.services.tls else {
            // No channel offers it then.
            let error = StreamCondition::InternalServerError.into();
            return self.session.close(Some(error));
        };
        let proceed = self.session.output().stream().split().freeze();
        let domain = self.session.domain().cloned();
        self.transport.start_tls(Arc::clone(tls), domain, proceed);
    }

    pub(super) fn bind(&mut self, account: &BareJid, resource: &ResourcePart) {
        let bound = self.register(account, resource);
        if let Err(BindRefusal::TooManyResources) = bound {
            Limit::XmppResourcesPerUser.reached();
        }
        match bound {
            Ok(jid) if self.services.blocking.is_due(account) => {
                let (services, account) = (Arc::clone(&self.services), account.clone());
                self.pending = Some(Box::pin(async move {
                    // Said by the log; the user chats all the same.
                    let _ = services.blocking.load(&account).await;
                    Answer::Bound(jid)
                }));
            }
            bound => self.session.bound(bound),
        }
    }

    fn register(
        &mut self,
        account: &BareJid,
        resource: &ResourcePart,
    ) -> Result<FullJid, BindRefusal> {
        let (mailbox, inbox) = mailbox(self.services.mailbox_limits);
        let registration = Registration::new(&self.services, account, resource, mailbox)?;
        let jid = registration.jid().clone();
        tracing::debug!(%jid, "resource bound");
        self.span = tracing::debug_span!("session", %jid);
        let carried = Carried::by(self.transport.name());
        self.bound = Some(Bound::new(registration, inbox, carried));
        if self.services.stop.is_cancelled() {
            // Bound behind the back of the drain, which tells bound sessions
            // by mail.
            self.session
                .close(Some(StreamCondition::SystemShutdown.into()));
        }
        Ok(jid)
    }
}
