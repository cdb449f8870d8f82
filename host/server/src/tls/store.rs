//! The certificates of all virtual hosts, and which one a client is shown.
//!
//! Owns the choice by name (SNI, RFC 6066 §3) and the exchange of one certificate for a newer
//! one. A handshake takes the [`Context`] of its moment and keeps it; nothing that was exchanged
//! meanwhile touches it.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jid::{DomainPart, DomainRef};

use super::certificate::{Certificate, CertificateFiles};
use super::context::{Context, ContextError};
use super::name::network_name;

/// A virtual host with a certificate.
pub(crate) struct Entry {
    pub(crate) domain: DomainPart,
    /// The domain as a client names it in TLS.
    pub(crate) name: String,
    pub(crate) files: CertificateFiles,
    current: ArcSwap<Context>,
}

impl Entry {
    pub(crate) fn new(
        domain: DomainPart,
        files: CertificateFiles,
        certificate: Arc<Certificate>,
    ) -> Result<Entry, ContextError> {
        let entry = Entry {
            name: network_name(&domain),
            domain,
            files,
            current: ArcSwap::from_pointee(Context::new(certificate)?),
        };
        entry.count_expiry();
        Ok(entry)
    }

    /// What is served now.
    pub(crate) fn current(&self) -> Arc<Context> {
        self.current.load_full()
    }

    /// Handshakes that begin from now on get `certificate`.
    pub(crate) fn replace(&self, certificate: Arc<Certificate>) -> Result<(), ContextError> {
        self.current.store(Arc::new(Context::new(certificate)?));
        self.count_expiry();
        Ok(())
    }

    fn count_expiry(&self) {
        let not_after = self.current.load().certificate.not_after;
        let seconds = not_after.duration_since(SystemTime::UNIX_EPOCH);
        metrics::gauge!(
            "muster_certificate_expiry_timestamp_seconds",
            "domain" => self.domain.to_string()
        )
        .set(seconds.unwrap_or_default().as_secs_f64());
    }
}

/// The certificates of a server: at least one.
pub(crate) struct Certificates {
    first: Entry,
    others: Vec<Entry>,
}

impl Certificates {
    /// In the order of the configuration; `None` without any.
    pub(crate) fn new(entries: impl IntoIterator<Item = Entry>) -> Option<Certificates> {
        let mut entries = entries.into_iter();
        Some(Certificates {
            first: entries.next()?,
            others: entries.collect(),
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The certificate for a client that asks for `server_name` and has opened a stream to
    /// `domain`, as far as it has said either. In this order: the virtual host of that name, the
    /// host of the stream, a host whose certificate has that name as well (the name of the
    /// machine, say), the first host.
    pub(crate) fn choose(
        &self,
        server_name: Option<&str>,
        domain: Option<&DomainRef>,
    ) -> Arc<Context> {
        let named =
            |entry: &&Entry| server_name.is_some_and(|name| entry.name.eq_ignore_ascii_case(name));
        let opened = |entry: &&Entry| domain.is_some_and(|domain| *entry.domain == *domain);
        let covering = |entry: &&Entry| {
            server_name.is_some_and(|name| entry.current.load().certificate.covers(name))
        };
        self.iter()
            .find(named)
            .or_else(|| self.iter().find(opened))
            .or_else(|| self.iter().find(covering))
            .unwrap_or(&self.first)
            .current()
    }
}

#[cfg(test)]
mod tests;
