//! Why a server does not start, and why it keeps what it has.

use std::net::SocketAddr;

use muster_xmpp::DomainPart;

use crate::config::{AccessFault, SettingsFault};
use crate::plugin_file::ReloadFault;
use crate::store::OpenError;
use crate::tls::ContextError;

/// Why the server did not start. Reach: the process.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The WebAssembly engine cannot run here.
    #[error("cannot start the plugin engine")]
    Engine(#[from] muster_plugin::EngineError),
    /// A plugin was refused.
    #[error("cannot load the plugin of {domain}")]
    LoadPlugin {
        /// The virtual host.
        domain: DomainPart,
        /// Why.
        source: muster_plugin::LoadError,
    },
    /// A file of what a plugin may reach cannot be used any more.
    #[error("what the plugin of {domain} may reach cannot be read")]
    Access {
        /// The virtual host.
        domain: DomainPart,
        /// Why.
        source: Box<AccessFault>,
    },
    /// TLS for asking the app about logins cannot be set up.
    #[error("TLS towards the app of {domain} cannot be set up")]
    AppTls {
        /// The virtual host.
        domain: DomainPart,
        /// Why.
        source: rustls::Error,
    },
    /// The store cannot be used.
    #[error("the store cannot be opened")]
    Storage(#[from] OpenError),
    /// A certificate cannot be used.
    #[error("TLS cannot be offered for {domain}")]
    Tls {
        /// The virtual host.
        domain: DomainPart,
        /// Why.
        source: ContextError,
    },
    /// The system has no random numbers to give.
    #[error("the system's random number generator failed: {0}")]
    Entropy(getrandom::Error),
}

/// Why the plugin of a virtual host was not replaced. Reach: that attempt.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// No such domain is served.
    #[error("no such virtual host")]
    UnknownHost,
    /// The plugin's settings cannot be used, so the file was not tried with them.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// The file was refused.
    #[error(transparent)]
    Refused(#[from] muster_plugin::LoadError),
}

impl From<ReloadFault> for ReloadError {
    fn from(fault: ReloadFault) -> Self {
        match fault {
            ReloadFault::Settings(fault) => Self::Settings(fault),
            ReloadFault::Refused(error) => Self::Refused(error),
        }
    }
}
