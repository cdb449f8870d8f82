//! Requests to the server that a session cannot answer by itself: those that
//! need a clock, the disk, or the account's other resources.
//!
//! Owns which part of the server answers what. Does not own the form of requests
//! and answers: the session does.

use std::sync::Arc;
use std::time::SystemTime;

use muster_xmpp::error::StanzaError;
use muster_xmpp::session::{Private, ServiceAnswer, ServiceRequest};

use crate::rosters::User;
use crate::services::Services;
use crate::sessions::SessionId;
use crate::store::StoreError;

/// Who asks.
pub(crate) struct Asker {
    pub(crate) user: Arc<User>,
    pub(crate) session: SessionId,
}

/// Answers `request`.
///
/// # Errors
/// What the client is told.
pub(crate) async fn answer(
    services: &Services,
    asker: &Asker,
    request: ServiceRequest,
) -> Result<ServiceAnswer, StanzaError> {
    let kind = kind(&request);
    let answer = attempt(services, asker, request).await;
    let outcome = match answer {
        Ok(_) => "ok",
        Err(error) => {
            tracing::debug!(request = kind, %error, "a request to the server failed");
            "failed"
        }
    };
    metrics::counter!("muster_service_requests_total", "request" => kind, "outcome" => outcome)
        .increment(1);
    answer.map_err(StoreError::stanza_error)
}

async fn attempt(
    services: &Services,
    asker: &Asker,
    request: ServiceRequest,
) -> Result<ServiceAnswer, StoreError> {
    let (user, store, blocking) = (&asker.user, &services.store, &services.blocking);
    let account = user.account.as_str();
    match request {
        ServiceRequest::Uptime => return Ok(ServiceAnswer::Uptime(services.started.elapsed())),
        ServiceRequest::Time => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            return Ok(ServiceAnswer::Time(now.unwrap_or_default()));
        }
        ServiceRequest::Carbons { enabled } => {
            services
                .sessions
                .change(account, asker.session, |resource| {
                    resource.carbons = enabled;
                });
        }
        ServiceRequest::VcardGet => return store.vcard(account).await.map(ServiceAnswer::Vcard),
        ServiceRequest::VcardSet(vcard) => store.set_vcard(account, Some(vcard.as_str())).await?,
        ServiceRequest::PrivateGet(private) => {
            let Private {
                namespace, name, ..
            } = &private;
            let xml = store.private(account, namespace, name).await?;
            let xml = xml.unwrap_or_else(|| private.xml.clone());
            return Ok(ServiceAnswer::Private(Private { xml, ..private }));
        }
        ServiceRequest::PrivateSet(private) => {
            let Private {
                namespace,
                name,
                xml,
            } = &private;
            store
                .set_private(account, namespace, name, Some(xml))
                .await?;
        }
        ServiceRequest::Blocklist => {
            let list = blocking.list(user, asker.session).await;
            return list.map(ServiceAnswer::Blocklist);
        }
        ServiceRequest::Block(jids) => blocking.block(user, &jids).await?,
        ServiceRequest::Unblock(jids) => blocking.unblock(user, &jids).await?,
    }
    Ok(ServiceAnswer::Done)
}

/// The label of the metric.
fn kind(request: &ServiceRequest) -> &'static str {
    match request {
        ServiceRequest::Uptime => "uptime",
        ServiceRequest::Time => "time",
        ServiceRequest::Carbons { .. } => "carbons",
        ServiceRequest::VcardGet => "vcard-get",
        ServiceRequest::VcardSet(_) => "vcard-set",
        ServiceRequest::PrivateGet(_) => "private-get",
        ServiceRequest::PrivateSet(_) => "private-set",
        ServiceRequest::Blocklist => "blocklist",
        ServiceRequest::Block(_) => "block",
        ServiceRequest::Unblock(_) => "unblock",
    }
}
