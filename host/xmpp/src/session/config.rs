//! What a session is told when it begins: the same for all of a listener.

use std::collections::HashMap;

use jid::DomainPart;

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
}

/// One virtual host, as far as a stream has to know it.
#[derive(Clone, Debug)]
pub struct Host {
    /// The mechanisms that its accounts can use, in the order of the offer.
    pub mechanisms: Vec<Mechanism>,
    /// Longest password or token of its accounts, in bytes.
    pub secret_bytes: usize,
    /// Whether messages are kept for accounts that are offline (XEP-0160).
    pub offline_messages: bool,
    /// Where people reach who runs it (XEP-0157): the name of a field, such as
    /// `abuse-addresses`, and its URIs. Sorted by name.
    pub contact_addresses: Vec<(String, Vec<String>)>,
}

/// Name and version of the server (XEP-0092).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
}
