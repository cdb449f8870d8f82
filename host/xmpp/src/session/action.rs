//! What a session asks of its shell, and what the shell answers.

use std::time::Duration;

use jid::{BareJid, DomainPart, ResourcePart};
use secrecy::SecretString;

use super::services::{Reply, ServiceRequest};
use crate::sasl::ScramKind;
pub use crate::sasl::{CredentialsAnswer, TokenVerdict, Verdict};
use crate::stanza::{Presence, Stanza};

/// The next thing for the shell to do. [`StartTls`](Action::StartTls),
/// [`Credentials`](Action::Credentials),
/// [`VerifyPassword`](Action::VerifyPassword),
/// [`VerifyToken`](Action::VerifyToken), [`Bind`](Action::Bind) and
/// [`Resume`](Action::Resume) await an answer; until it comes the session
/// yields nothing else.
#[derive(Debug)]
pub enum Action {
    /// Write out the output, take the server's part in a TLS handshake, and
    /// answer with [`Session::secured`](super::Session::secured); if it fails,
    /// cut the connection (RFC 6120 §5.4.3.2). Until then nothing else may be
    /// read for the session: what the client had sent already was thrown away.
    StartTls,
    /// Look up an account; answer with
    /// [`Session::credentials`](super::Session::credentials).
    Credentials {
        /// The account, on a domain that is served.
        account: BareJid,
        /// Which of its credentials.
        kind: ScramKind,
    },
    /// Check a password; answer with
    /// [`Session::password_verified`](super::Session::password_verified).
    VerifyPassword {
        /// The account, on a domain that is served.
        account: BareJid,
        /// What the client says.
        password: SecretString,
    },
    /// Check a token and tell whose it is; answer with
    /// [`Session::token_verified`](super::Session::token_verified).
    VerifyToken {
        /// The stream's domain, on which the account must be.
        domain: DomainPart,
        /// What the client says.
        token: SecretString,
    },
    /// Bind a resource; answer with [`Session::bound`](super::Session::bound).
    Bind {
        /// The account that authenticated.
        account: BareJid,
        /// The resource that the client asks for, or one that was made for it.
        resource: ResourcePart,
        /// Who chose it.
        origin: ResourceOrigin,
    },
    /// The client wants a session that outlives a broken connection (XEP-0198
    /// §3). Answer at once with [`Session::enabled`](super::Session::enabled).
    Enable {
        /// A name for the session that nobody can guess.
        id: String,
        /// How long the client wants it to live at most, if it said so.
        max: Option<Duration>,
    },
    /// The client wants to go on with a session (XEP-0198 §5), which has to be
    /// one of this account; answer with
    /// [`Session::resumed`](super::Session::resumed).
    Resume {
        /// The account that authenticated.
        account: BareJid,
        /// What [`Action::Enable`] called the session.
        previd: String,
    },
    /// The peer has given no sign of life for too long: cut the connection. The
    /// session can be resumed from another one.
    Lost,
    /// The client asks for its roster (RFC 6121 §2.1.3, §2.6). The shell
    /// answers through its mailbox, where it becomes interested as well.
    RosterGet {
        /// Identifier for the answer.
        id: String,
        /// The version that the client holds; empty: none, but it understands
        /// versions; `None`: it does not.
        ver: Option<String>,
    },
    /// A request to the server whose answer the shell has: it answers with
    /// [`Session::request_served`](super::Session::request_served), when it can.
    Serve {
        /// Whom to answer, and how.
        reply: Reply,
        /// What is asked.
        request: ServiceRequest,
    },
    /// A presence of any type. Without `to` it is a broadcast; with one it is
    /// directed, a probe or about a subscription: policy decides.
    Presence(Presence),
    /// A message or IQ that is not for the server itself; `to` is set.
    Route(Stanza),
    /// Write out the output, then shut the connection down. The last action.
    Close,
}

/// Who chose the resource of an [`Action::Bind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceOrigin {
    /// The client; it may be taken by another stream.
    Client,
    /// The session, at random.
    Server,
}

/// Why the shell refuses an [`Action::Bind`] (RFC 6120 §7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindRefusal {
    /// Another stream has the resource and keeps it.
    Conflict,
    /// The account has as many resources as it may have.
    TooManyResources,
    /// The shell does not take this resource.
    Malformed,
}
