//! The start of a stream: the client's header, ours, and the features (RFC 6120
//! §4.3, §4.7).
//!
//! Owns what both headers must say and what is on offer behind ours; each
//! feature is written by the room that it belongs to.

use jid::{BareJid, DomainPart};

use super::{Framing, Session, State, bind, login, services};
use crate::decoder::StreamOpen;
use crate::encode;
use crate::error::StreamCondition;

impl Session {
    /// The client's stream header, before or after SASL (RFC 6120 §4.7).
    pub(super) fn header(&mut self, open: StreamOpen) {
        let host = open.to.as_deref().and_then(|to| self.served(to));
        if self.host.is_none() {
            self.host.clone_from(&host);
        }
        self.claimed = open.from.and_then(|from| BareJid::new(&from).ok());
        self.open_stream();
        // A stream that restarts stays with its host.
        if host.is_none() || host != self.host {
            return self.close(Some(StreamCondition::HostUnknown.into()));
        }
        let major = open.version.as_deref().and_then(major_version);
        if major.is_none_or(|major| major < 1) {
            return self.close(Some(StreamCondition::UnsupportedVersion.into()));
        }
        self.lang = open.lang.filter(|lang| !lang.is_empty());
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Reopening(account) => State::Binding(account),
            _ => State::Login(None),
        };
        self.features();
    }

    /// The domain that `to` names, if it is served here.
    fn served(&self, to: &str) -> Option<DomainPart> {
        let domain = DomainPart::new(to).ok()?.into_owned();
        self.config.hosts.contains_key(&domain).then_some(domain)
    }

    /// Writes our header, unless this stream has it.
    pub(super) fn open_stream(&mut self) {
        if !std::mem::replace(&mut self.opened, true) {
            let id = self.entropy.name();
            let header = encode::StreamHeader {
                from: self.host.as_ref().map(|host| host.as_str()),
                to: self.claimed.as_ref().map(|jid| jid.as_str()),
                id: &id,
            };
            match self.output.framing() {
                Framing::Stream => encode::push_stream_header(&mut self.scratch, &header),
                Framing::WebSocket => encode::push_open(&mut self.scratch, &header),
                Framing::Bosh => {}
            }
            self.flush();
        }
    }

    /// Writes the features of the stream (RFC 6120 §4.3.2), with the bounds of
    /// a stanza (XEP-0478).
    fn features(&mut self) {
        let mut out = std::mem::take(&mut self.scratch);
        out.push_str("<stream:features>");
        let limits = if matches!(self.state, State::Binding(_)) {
            bind::push_bind_features(&mut out);
            if let Some(host) = &self.host {
                services::push_caps(&mut out, &self.config, host);
            }
            self.config.limits.after_auth
        } else {
            let required = self.config.encryption_required;
            login::push_starttls(&mut out, &self.encryption, required);
            if let Ok(offer) = self.offer() {
                login::push_mechanisms(&mut out, offer);
            }
            self.config.limits.before_auth
        };
        out.push_str("<limits xmlns=\"urn:xmpp:stream-limits:0\"><max-bytes>");
        out.push_str(&limits.bytes.to_string());
        out.push_str("</max-bytes>");
        let watched = self.output.framing() != Framing::Bosh;
        if watched && matches!(self.state, State::Binding(_)) {
            // After so long the client is asked for a sign of life.
            let idle = self.config.limits.idle_ping.as_secs();
            out.push_str(&format!("<idle-seconds>{idle}</idle-seconds>"));
        }
        out.push_str("</limits></stream:features>");
        self.scratch = out;
        self.flush();
    }
}

/// The number before the dot of a version (RFC 6120 §4.7.5).
fn major_version(version: &str) -> Option<u32> {
    let (major, minor) = version.split_once('.')?;
    let _: u32 = minor.parse().ok()?;
    major.parse().ok()
}
