//! Which addresses may be dialled: what kind of place one is, and what the
//! operator has allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::Host;

use super::origin::is_localhost;

/// To which private addresses a *name* may resolve: loopback, private and
/// shared ranges. An origin that is itself such an address, or `localhost`,
/// needs no permission: the operator has written it down. What is never
/// dialled (link-local with the clouds' metadata services, multicast, …) is not
/// allowed by any of these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PrivateAddresses {
    /// To none.
    #[default]
    None,
    /// To those in these networks.
    Within(Vec<IpNet>),
    /// To all of them.
    All,
}

impl PrivateAddresses {
    /// Whether `address` may be dialled for an origin on `host`.
    pub(super) fn admit(&self, host: &Host, address: IpAddr) -> bool {
        match AddressClass::of(address) {
            AddressClass::Forbidden => false,
            AddressClass::Public => true,
            AddressClass::Private => names_itself(host, address) || self.hold(address),
        }
    }

    fn hold(&self, address: IpAddr) -> bool {
        match self {
            Self::None => false,
            Self::Within(networks) => networks.iter().any(|network| network.contains(&address)),
            Self::All => true,
        }
    }
}

/// Whether the operator wrote this very private address down: the host is an
/// address literal, or it is `localhost` (RFC 6761, section 6.3) and the
/// address is loopback.
fn names_itself(host: &Host, address: IpAddr) -> bool {
    match host {
        Host::Ipv4(literal) => address == IpAddr::V4(*literal),
        Host::Ipv6(literal) => address == IpAddr::V6(*literal),
        Host::Domain(name) => is_localhost(name) && address.is_loopback(),
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
