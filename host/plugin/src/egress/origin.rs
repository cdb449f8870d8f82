//! Scheme, host and port: how an origin is written and compared.

use std::fmt;
use std::net::Ipv4Addr;

use http::Uri;
use http::uri::Scheme;
use url::{Host, Url};

/// Scheme, host and port, compared exactly (RFC 6454, section 4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: OriginScheme,
    host: Host,
    port: u16,
}

/// The schemes that a plugin may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OriginScheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// Why a text names no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It is not an absolute URL.
    #[error("not an absolute URL")]
    NotAUrl,
    /// The scheme is neither `http` nor `https`.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// The URL carries a user name or a password.
    #[error("the URL carries a user name or a password")]
    UserInfo,
}

impl Origin {
    /// The origin of an absolute `http` or `https` URL.
    ///
    /// # Errors
    /// [`OriginError`] says what the URL lacks.
    pub fn of_url(url: &str) -> Result<Self, OriginError> {
        let url = Url::parse(url).map_err(|_| OriginError::NotAUrl)?;
        let scheme = match url.scheme() {
            "http" => OriginScheme::Http,
            "https" => OriginScheme::Https,
            _ => return Err(OriginError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OriginError::UserInfo);
        }
        match (url.host(), url.port_or_known_default()) {
            (Some(host), Some(port)) => Ok(Self {
                scheme,
                host: host.to_owned(),
                port,
            }),
            _ => Err(OriginError::NotAUrl),
        }
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> OriginScheme {
        self.scheme
    }

    /// The host: a name in lower case or an address.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, also where the URL left it out.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is this machine by its very name: a loopback address,
    /// or `localhost` (RFC 6761, section 6.3).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
            Host::Domain(name) => is_localhost(name),
        }
    }

    /// The origin of a request, `None` where the URI is not a plain
    /// `scheme://host[:port]/…`: user information, an odd scheme, a host that is
    /// written in another way than a policy writes it (a decimal address).
    pub(super) fn of_request(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme()?;
        let (scheme, default_port) = if *scheme == Scheme::HTTP {
            (OriginScheme::Http, 80)
        } else if *scheme == Scheme::HTTPS {
            (OriginScheme::Https, 443)
        } else {
            return None;
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let text = authority.host();
        let host = match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            Some(inner) => Host::Ipv6(inner.parse().ok()?),
            None => match text.parse::<Ipv4Addr>() {
                Ok(address) => Host::Ipv4(address),
                // Host::parse reads 2130706433 and 0x7f.1 as addresses; such a
                // spelling is nobody's configured origin.
                Err(_) => match Host::parse(text).ok()? {
                    Host::Domain(name) => Host::Domain(name),
                    Host::Ipv4(_) | Host::Ipv6(_) => return None,
                },
            },
        };
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // `host:` and `host:99999` have a colon but no port.
            None if authority.as_str().len() != text.len() => return None,
            None => default_port,
        };
        Some(Self { scheme, host, port })
    }

    pub(super) fn uri_scheme(&self) -> Scheme {
        match self.scheme {
            OriginScheme::Http => Scheme::HTTP,
            OriginScheme::Https => Scheme::HTTPS,
        }
    }
}

impl fmt::Display for Origin {
    /// With the port, also where it is the scheme's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.uri_scheme(), self.host, self.port)
    }
}

pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}
