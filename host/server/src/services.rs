//! What everything behind the client listeners shares, wired once at start.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use muster_xmpp::BareJid;
use muster_xmpp::session::SessionConfig;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::attempts::Attempts;
use crate::blocking::Blocking;
use crate::connection::Handover;
use crate::hosts::Hosts;
use crate::mailbox::MailboxLimits;
use crate::offline::Offline;
use crate::presence::Presences;
use crate::resumption::Resumptions;
use crate::rosters::Rosters;
use crate::router::Router;
use crate::sessions::Sessions;
use crate::store::Store;
use crate::tls::Tls;
use crate::undelivered::Undelivered;

/// What the connections of a listener share.
pub(crate) struct Services {
    pub(crate) session_config: Arc<SessionConfig>,
    /// Who may open a stream, whatever carries it.
    pub(crate) admission: Arc<Admission>,
    /// Failed logins by address.
    pub(crate) attempts: Attempts<IpAddr>,
    /// New sessions by account.
    pub(crate) arrivals: Attempts<BareJid>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) store: Store,
    pub(crate) rosters: Arc<Rosters>,
    pub(crate) router: Arc<Router>,
    pub(crate) presences: Arc<Presences>,
    pub(crate) offline: Arc<Offline>,
    pub(crate) blocking: Blocking,
    /// When the server was started (XEP-0012).
    pub(crate) started: Instant,
    pub(crate) mailbox_limits: MailboxLimits,
    /// If there is a certificate.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Sessions that can be resumed.
    pub(crate) resumptions: Arc<Resumptions<Box<Handover>>>,
    pub(crate) undelivered: Undelivered,
    /// Cancelled when the drain begins.
    pub(crate) stop: CancellationToken,
}
