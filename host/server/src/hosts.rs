//! The virtual hosts: per domain, who may log in and where the rosters come from.

use std::collections::HashMap;
use std::sync::Arc;

use http::request::Parts;
use muster_plugin::Plugin;
use muster_xmpp::{DomainPart, DomainRef, Jid, session};
use url::Url;

use crate::auth::Authenticator;
use crate::config::{AccessFault, ContactAddresses, Egress};
use crate::plugin_file::PluginFile;
use crate::recording::Recordings;
use crate::rosters::RefreshTerms;
use crate::shadow::Shadows;

/// One served domain.
pub(crate) struct VirtualHost {
    pub(crate) domain: DomainPart,
    pub(crate) auth: Authenticator,
    /// Whether messages are kept for accounts of which nobody is there.
    pub(crate) offline_messages: bool,
    pub(crate) plugin: Arc<Plugin>,
    /// What it did last.
    pub(crate) recordings: Recordings,
    /// Another build beside it, if there is one.
    pub(crate) shadows: Shadows,
    /// Held by a reload that somebody waits for, so that a second one is told
    /// so instead of waiting behind it.
    pub(crate) reload_turn: Arc<tokio::sync::Mutex<()>>,
    /// Where the plugin comes from, and newer builds of it.
    pub(crate) plugin_file: Arc<PluginFile>,
    /// What the plugin may reach.
    pub(crate) egress: Egress,
    /// What one request to the plugin may ask of the rosters.
    pub(crate) refresh: RefreshTerms,
    /// Where web clients reach it, if the operator says so.
    pub(crate) public_url: Option<Url>,
    pub(crate) contact_addresses: ContactAddresses,
}

/// Why the secrets and certificates towards the app were not taken. Reach:
/// nothing, the old ones stay in use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalFault {
    /// A file cannot be used.
    #[error(transparent)]
    Access(#[from] AccessFault),
    /// TLS has no use for what is in it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl VirtualHost {
    /// Reads the secrets and certificates towards the app again, where there
    /// are some.
    ///
    /// # Errors
    /// [`RenewalFault`] names the file.
    pub(crate) fn renew_egress(&self) -> Result<(), RenewalFault> {
        if self.egress.has_files() {
            self.plugin.renew_egress(self.egress.policy()?)?;
        }
        Ok(())
    }

    /// The host, as far as a stream has to know it.
    pub(crate) fn for_streams(&self) -> session::Host {
        session::Host {
            offline_messages: self.offline_messages,
            contact_addresses: self.contact_addresses.fields.clone(),
            ..self.auth.host()
        }
    }
}

/// All served domains.
pub(crate) struct Hosts {
    by_domain: HashMap<DomainPart, Arc<VirtualHost>>,
}

impl Hosts {
    /// The configuration has seen to it that domains are unique.
    pub(crate) fn new(hosts: impl IntoIterator<Item = VirtualHost>) -> Hosts {
        Hosts {
            by_domain: hosts
                .into_iter()
                .map(|host| (host.domain.clone(), Arc::new(host)))
                .collect(),
        }
    }

    /// The host of a domain.
    pub(crate) fn at(&self, domain: &DomainRef) -> Option<&Arc<VirtualHost>> {
        self.by_domain.get(domain)
    }

    /// Whether `jid` is on one of the domains.
    pub(crate) fn is_local(&self, jid: &Jid) -> bool {
        self.by_domain.contains_key(jid.domain())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.by_domain.values()
    }

    /// The host that an HTTP request under `/roster_admin/` is for: the one
    /// whose domain the `Host` header names, or the only one there is.
    pub(crate) fn for_http(&self, head: &Parts) -> Option<Arc<VirtualHost>> {
        let named = head
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok());
        let named = named.and_then(|host| host.parse::<http::uri::Authority>().ok());
        let named = named.and_then(|authority| {
            DomainPart::new(authority.host())
                .ok()
                .map(|domain| domain.into_owned())
        });
        match (
            named.and_then(|domain| self.by_domain.get(&domain)),
            self.by_domain.len(),
        ) {
            (Some(host), _) => Some(Arc::clone(host)),
            (None, 1) => self.by_domain.values().next().cloned(),
            (None, _) => None,
        }
    }
}
