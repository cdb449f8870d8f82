//! Where a plugin's requests may go: the policy, without any I/O.
//!
//! [`crate::outbound`] asks it twice for each request: once about the request
//! itself ([`EgressPolicy::admit`]), once about the address that the name
//! resolved to ([`EgressPolicy::admit_address`]). Both must agree; the address
//! that was checked is the address that is dialled.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::{PathAndQuery, Scheme};
use http::{Method, Uri};
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
}

/// As in a URL, always with the port.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            OriginScheme::Http => "http",
            OriginScheme::Https => "https",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Which requests leave the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressPolicy {
    /// The origins that may be asked; none means that nothing leaves.
    pub origins: Vec<Origin>,
    /// The methods that may be used.
    pub methods: Vec<Method>,
    /// Whether a *name* may resolve to a loopback or private address. An
    /// origin that is itself such an address, or `localhost`, needs no
    /// permission: the operator has written it down.
    pub allow_private: bool,
}

/// What became of a request at the gate: the label of the denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denial {
    /// The method is not allowed.
    #[error("the method is not allowed")]
    Method,
    /// The request target is not an absolute path, or carries what a request
    /// line must not.
    #[error("the request target is malformed")]
    Target,
    /// The origin is not on the list.
    #[error("the origin is not allowed")]
    Origin,
    /// The name resolved to an address that is never asked, or to a private
    /// one that the operator has not allowed.
    #[error("the address is not allowed")]
    Address,
}

impl Denial {
    /// The value of the label `reason` in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Target => "target",
            Self::Origin => "origin",
            Self::Address => "address",
        }
    }
}

/// A request that passed the first question: what to dial and what to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The origin as the policy has it, not as the plugin wrote it.
    pub origin: Origin,
    /// The request target in origin-form (RFC 9112, section 3.2.1).
    pub target: PathAndQuery,
}

impl Admitted {
    /// The URI that is sent to: the origin of the policy, the target of the
    /// plugin. `None` where the two do not make a URI.
    pub(crate) fn uri(&self) -> Option<Uri> {
        let scheme = match self.origin.scheme {
            OriginScheme::Http => Scheme::HTTP,
            OriginScheme::Https => Scheme::HTTPS,
        };
        Uri::builder()
            .scheme(scheme)
            .authority(format!("{}:{}", self.origin.host, self.origin.port))
            .path_and_query(self.target.clone())
            .build()
            .ok()
    }
}

impl EgressPolicy {
    /// The policy that follows from the operator's `http_roster_url`: `GET`
    /// to its origin and nothing else.
    ///
    /// # Errors
    /// [`OriginError`] says why the template names no origin.
    pub fn for_url(template: &str) -> Result<Self, OriginError> {
        // `%s` may stand in the path or the query only; Url would reject it
        // in the host, and the path does not matter here.
        Ok(Self {
            origins: vec![Origin::of_url(template)?],
            methods: vec![Method::GET],
            allow_private: false,
        })
    }

    /// Decides about a request before anything is resolved or dialled.
    ///
    /// # Errors
    /// [`Denial`] names the first rule that the request breaks.
    pub fn admit(&self, method: &Method, uri: &Uri) -> Result<Admitted, Denial> {
        if !self.methods.contains(method) {
            return Err(Denial::Method);
        }
        let origin = self.origin_of(uri).ok_or(Denial::Origin)?;
        let target = uri.path_and_query().ok_or(Denial::Target)?;
        if !is_origin_form(target.as_str()) {
            return Err(Denial::Target);
        }
        Ok(Admitted {
            origin: origin.clone(),
            target: target.clone(),
        })
    }

    /// The allowed origin that a URI belongs to.
    pub(crate) fn origin_of(&self, uri: &Uri) -> Option<&Origin> {
        let wanted = origin_of(uri)?;
        self.origins.iter().find(|origin| **origin == wanted)
    }

    /// Decides about one address that the origin's host resolved to.
    ///
    /// # Errors
    /// [`Denial::Address`] if it must not be dialled.
    pub fn admit_address(&self, origin: &Origin, address: IpAddr) -> Result<(), Denial> {
        match AddressClass::of(address) {
            AddressClass::Forbidden => Err(Denial::Address),
            AddressClass::Public => Ok(()),
            AddressClass::Private if self.allow_private => Ok(()),
            AddressClass::Private if names_itself(&origin.host, address) => Ok(()),
            AddressClass::Private => Err(Denial::Address),
        }
    }
}

/// The origin of a request, `None` where the URI is not a plain
/// `scheme://host[:port]/…`: user information, an odd scheme, a host that is
/// written in another way than the policy writes it (a decimal address).
fn origin_of(uri: &Uri) -> Option<Origin> {
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
    Some(Origin { scheme, host, port })
}

/// Whether a request target can stand in a request line as it is.
fn is_origin_form(target: &str) -> bool {
    target.starts_with('/')
        && target
            .bytes()
            .all(|b| (0x21..=0x7e).contains(&b) && b != b'\\' && b != b'#')
}

/// Whether the operator wrote this very private address down: the host is an
/// address literal, or it is `localhost` (RFC 6761, section 6.3) and the
/// address is loopback.
fn names_itself(host: &Host, address: IpAddr) -> bool {
    match host {
        Host::Ipv4(literal) => address == IpAddr::V4(*literal),
        Host::Ipv6(literal) => address == IpAddr::V6(*literal),
        Host::Domain(name) => {
            (name == "localhost" || name.ends_with(".localhost")) && address.is_loopback()
        }
    }
}

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressClass {
    /// Never asked: no service that an operator means can be there.
    Forbidden,
    /// Loopback, private and shared ranges.
    Private,
    /// All else.
    Public,
}

impl AddressClass {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        // 169.254/16 is where clouds keep their metadata service; 240/4 holds
        // broadcast; 192.0.0/24 protocol assignments; the rest of RFC 6890's
        // documentation and benchmark ranges are harmless but never a backend.
        let forbidden = a == 0
            || address.is_link_local()
            || address.is_multicast()
            || a >= 240
            || (a, b, c) == (192, 0, 0)
            || address.is_documentation();
        // 100.64/10 is the shared range of RFC 6598; 198.18/15 is RFC 2544.
        let private = address.is_loopback()
            || address.is_private()
            || (a == 100 && (64..128).contains(&b))
            || (a == 198 && (b == 18 || b == 19));
        if forbidden {
            Self::Forbidden
        } else if private {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let [first, second, ..] = address.segments();
        if let Some(v4) = embedded_v4(address) {
            // Through a mapping or a translator the packet goes to the IPv4
            // address; nobody configures a backend like that.
            return match Self::of_v4(v4) {
                Self::Public => Self::Private,
                Self::Private | Self::Forbidden => Self::Forbidden,
            };
        }
        if address.is_unspecified()
            || address.is_multicast()
            || address.is_unicast_link_local()
            || (first & 0xffc0) == 0xfec0
            || (first, second) == (0x2001, 0x0db8)
            || is_cloud_metadata(address)
        {
            return Self::Forbidden;
        }
        if address.is_loopback() || address.is_unique_local() {
            return Self::Private;
        }
        Self::Public
    }
}

/// The metadata service of EC2 over IPv6, inside the unique local range.
fn is_cloud_metadata(address: Ipv6Addr) -> bool {
    address == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)
}

/// The IPv4 address inside a mapped (`::ffff:0:0/96`), compatible (`::/96`),
/// NAT64 (`64:ff9b::/96`), 6to4 (`2002::/16`) address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if address.is_loopback() || address.is_unspecified() {
        return None;
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| {
        let ([p, q], [r, s]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(p, q, r, s)
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => {
            Some(join(g, h))
        }
        (0x2002, ..) => Some(join(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
