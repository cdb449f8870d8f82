//! Who sent a request: the peer, or whom a trusted proxy speaks for.
//!
//! Owns the policy on `X-Forwarded-For` and `X-Forwarded-Proto`: they are
//! believed from trusted proxies only, and only as far back as the proxies are
//! trusted. `Forwarded` (RFC 7239) is not read: of two headers that may
//! contradict each other, one has to be ignored, and this one is rarely set.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The other end of an HTTP connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The connection is under TLS.
    pub(crate) secure: bool,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Nobody can read along on the way from the client.
    pub(crate) secure: bool,
}

/// Networks whose word about their clients is believed.
#[derive(Clone, Debug)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(networks: Vec<IpNet>) -> Proxies {
        Proxies(networks)
    }

    /// Who sent a request with `headers` through `peer`.
    pub(crate) fn client(&self, peer: Peer, headers: &HeaderMap) -> Client {
        let address = peer.address.ip().to_canonical();
        if !self.trust(address) {
            return Client {
                address,
                secure: peer.secure,
            };
        }
        let proto = words(headers, "x-forwarded-proto").last();
        Client {
            address: self.forwarded_for(headers).unwrap_or(address),
            secure: proto.map_or(peer.secure, |proto| proto.eq_ignore_ascii_case("https")),
        }
    }

    /// The last address that is no trusted proxy: the ones before it are what
    /// that client says, which may be anything.
    fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = None;
        let addresses: Vec<_> = words(headers, "x-forwarded-for").collect();
        for address in addresses.into_iter().rev() {
            // What cannot be read was not written by a proxy of ours.
            let Some(address) = parse(address) else { break };
            client = Some(address);
            if !self.trust(address) {
                break;
            }
        }
        client
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The elements of a list that may span several headers (RFC 9110, section
/// 5.6.1).
fn words<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter();
    let values = values.map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// An address, as some proxies write it with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8", "::1/128"];
        let proxies = Proxies::new(trusted.iter().map(|it| it.parse().unwrap()).collect());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let peer = Peer {
            address: peer.parse().unwrap(),
            secure: false,
        };
        let Client { address, secure } = proxies.client(peer, &map);
        (address.to_string(), secure)
    }

    #[test]
    fn the_last_untrusted_address_is_the_client() {
        let xff = "x-forwarded-for";
        for (peer, headers, expected) in [
            ("192.0.2.1:1", vec![], "192.0.2.1"),
            // Not a proxy of ours: anybody can write a header.
            ("192.0.2.1:1", vec![(xff, "198.51.100.7")], "192.0.2.1"),
            ("127.0.0.1:1", vec![], "127.0.0.1"),
            ("127.0.0.1:1", vec![(xff, "198.51.100.7")], "198.51.100.7"),
            (
                "[::ffff:127.0.0.1]:1",
                vec![(xff, "198.51.100.7")],
                "198.51.100.7",
            ),
            ("[::1]:1", vec![(xff, "2001:db8::7")], "2001:db8::7"),
            // What the client made up stands before what our proxies wrote.
            (
                "127.0.0.1:1",
                vec![(xff, "1.1.1.1, 198.51.100.7")],
                "198.51.100.7",
            ),
            (
                "127.0.0.1:1",
                vec![(xff, "1.1.1.1, 198.51.100.7,10.1.2.3")],
                "198.51.100.7",
            ),
            (
                "127.0.0.1:1",
                vec![(xff, "1.1.1.1"), (xff, "198.51.100.7"), (xff, "10.1.2.3")],
                "198.51.100.7",
            ),
            // Someone inside.
            ("127.0.0.1:1", vec![(xff, "10.9.9.9, 10.1.2.3")], "10.9.9.9"),
            (
                "127.0.0.1:1",
                vec![(xff, "198.51.100.7:4711")],
                "198.51.100.7",
            ),
            (
                "127.0.0.1:1",
                vec![(xff, "[2001:db8::7]:4711")],
                "2001:db8::7",
            ),
            ("127.0.0.1:1", vec![(xff, "unknown")], "127.0.0.1"),
            (
                "127.0.0.1:1",
                vec![(xff, "198.51.100.7, unknown, 10.1.2.3")],
                "10.1.2.3",
            ),
        ] {
            assert_eq!(client(peer, &headers).0, expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_that_nobody_can_read_along() {
        let proto = "x-forwarded-proto";
        for (peer, headers, expected) in [
            ("127.0.0.1:1", vec![(proto, "https")], true),
            ("127.0.0.1:1", vec![(proto, "HTTPS")], true),
            ("127.0.0.1:1", vec![(proto, "http")], false),
            ("127.0.0.1:1", vec![(proto, "https, http")], false),
            ("127.0.0.1:1", vec![], false),
            ("192.0.2.1:1", vec![(proto, "https")], false),
        ] {
            assert_eq!(client(peer, &headers).1, expected, "{peer} {headers:?}");
        }
    }
}
