//! `[web]`: what is there for web clients, and on whose word.
//!
//! Owns the rule that keeps plaintext logins over HTTP on loopback.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;

use super::fault::Problem;
use super::listeners::{Http, Listen, Xmpp, beyond_loopback, values};
use super::quantity::Value;
use super::reader::{Located, Section};

/// `[web]`
#[derive(Debug, Clone)]
pub struct Web {
    /// Addresses that serve nothing but the routes of web clients. Default none, here and in
    /// `listen_tls`: then the addresses of `[http]` serve them as well.
    pub listen: Vec<SocketAddr>,
    /// The same under TLS. Default none.
    pub listen_tls: Vec<SocketAddr>,
    /// Whether there is `/xmpp-websocket` (RFC 7395). Default true.
    pub websocket: bool,
    /// Whether there is `/http-bind` (XEP-0124). Default true.
    pub bosh: bool,
    /// The web pages that may connect, beside those of the site itself.
    pub origins: Origins,
    /// Networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. Default
    /// none.
    pub trusted_proxies: Vec<IpNet>,
}

/// The web pages that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// `["*"]`: those of everywhere.
    Any,
    /// Those of these origins (RFC 6454 §6.2). Default none.
    Listed(Vec<String>),
}

impl Web {
    pub(super) fn read(
        section: &mut Section<'_>,
        xmpp: Option<&Xmpp>,
        http: Option<&Http>,
    ) -> Option<Self> {
        let Listen { plain, tls } = Listen::read(section, None);
        let origins = section.has("origins");
        let listed = section.list::<Origin>("origins");
        let listed = if origins { listed? } else { Vec::new() };
        let trusting = section.has("trusted_proxies");
        let networks = section.list::<IpNet>("trusted_proxies");
        let networks = if trusting { networks? } else { Vec::new() };
        let web = Self {
            listen: values(plain?),
            listen_tls: values(tls?),
            websocket: section.value("websocket", true),
            bosh: section.value("bosh", true),
            origins: Origins::read(listed),
            trusted_proxies: networks.into_iter().map(|found| found.value).collect(),
        };
        // RFC 6120 §13.8.1 for streams over HTTP as well: a proxy on this machine is the one that
        // has TLS.
        if xmpp.is_some_and(|xmpp| !xmpp.require_tls)
            && let Some(address) = http.and_then(|http| beyond_loopback(web.plain(http).iter()))
        {
            let place = section.place("listen");
            section.error(&place, Problem::PlainWebBeyondLoopback { address });
        }
        Some(web)
    }

    /// The first address at which others than this machine can open a stream.
    pub(super) fn beyond_loopback(&self, http: &Http) -> Option<SocketAddr> {
        let encrypted = match self.serves() {
            Serves::Nothing => &[],
            Serves::AtItsOwn => self.listen_tls.as_slice(),
            Serves::WithHttp => http.listen_tls.as_slice(),
        };
        beyond_loopback(self.plain(http).iter().chain(encrypted))
    }

    /// Where streams can be opened in the clear.
    fn plain<'a>(&'a self, http: &'a Http) -> &'a [SocketAddr] {
        match self.serves() {
            Serves::Nothing => &[],
            Serves::AtItsOwn => &self.listen,
            Serves::WithHttp => &http.listen,
        }
    }

    fn serves(&self) -> Serves {
        match (self.websocket || self.bosh, &self.listen, &self.listen_tls) {
            (false, ..) => Serves::Nothing,
            (true, plain, encrypted) if plain.is_empty() && encrypted.is_empty() => {
                Serves::WithHttp
            }
            (true, ..) => Serves::AtItsOwn,
        }
    }
}

impl Origins {
    fn read(listed: Vec<Located<Origin>>) -> Self {
        let listed = listed.into_iter().map(|origin| origin.value.0);
        match listed.collect::<Option<Vec<_>>>() {
            Some(listed) => Self::Listed(listed),
            None => Self::Any,
        }
    }
}

/// Where the routes are.
enum Serves {
    Nothing,
    /// At the addresses of `[web]`.
    AtItsOwn,
    /// At those of `[http]`.
    WithHttp,
}

/// One origin; `None` is every one.
struct Origin(Option<String>);

impl Value for Origin {
    const EXPECTED: &'static str = "an origin, such as \"https://chat.example.com\", or \"*\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        if text == "*" {
            return Ok(Self(None));
        }
        let url = Url::parse(text).map_err(|reason| Problem::NotAUrl { reason })?;
        let origin = url.origin().ascii_serialization();
        match origin.eq_ignore_ascii_case(text.trim_end_matches('/')) {
            true => Ok(Self(Some(origin))),
            false => Err(Problem::NotAnOrigin {
                text: text.to_owned(),
                origin,
            }),
        }
    }
}

impl Value for IpNet {
    const EXPECTED: &'static str = "a network, such as \"10.0.0.0/8\", or an address";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        let network = text.parse::<Self>().ok();
        let network = network.or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
        network.ok_or_else(|| Problem::NotANetwork {
            text: text.to_owned(),
        })
    }
}
