//! What a session is told when it begins: the same for all of a listener.

use std::collections::HashMap;
use std::fmt;

use jid::DomainPart;
use zeroize::Zeroizing;

use crate::limits::Limits;
use crate::sasl::Mechanism;

/// What the sessions of one listener share.
#[derive(Debug)]
pub struct SessionConfig {
    /// The bounds.
    pub limits: Limits,
    /// The domains that are served here.
    pub hosts: HashMap<DomainPart, Host>,
    /// Whether a client has to use TLS before it logs in.
    pub encryption_required: bool,
    /// What XEP-0092 tells.
    pub software: Software,
    /// What the salts of accounts that do not exist are derived from. Drawn
    /// once a process, so that such an account keeps its salt.
    pub unknown_accounts: Secret,
}

/// One virtual host, as far as a stream has to know it.
#[derive(Clone, Debug)]
pub struct Host {
    /// The mechanisms that its accounts can use, in the order of the offer.
    pub mechanisms: Vec<Mechanism>,
    /// Iterations of its accounts' SCRAM credentials; accounts that do not
    /// exist pretend to have as many.
    pub scram_iterations: u32,
}

/// Name and version of the server (XEP-0092).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
}

/// 32 random bytes; never shown, erased when dropped.
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// Takes the bytes, drawn from the system's generator.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}
