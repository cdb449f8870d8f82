//! The name of a domain on the network: what a client asks for in TLS, and what a certificate is
//! made out for.

use url::Host;

/// `domain` in ASCII: internationalised labels in their A-form (RFC 5890 §2.3.2.1), an IPv6
/// address without brackets. What is no name of a host stays as it is.
pub(crate) fn network_name(domain: &str) -> String {
    match Host::parse(domain) {
        Ok(Host::Domain(name)) => name,
        Ok(Host::Ipv4(address)) => address.to_string(),
        Ok(Host::Ipv6(address)) => address.to_string(),
        Err(_) => domain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_network() {
        assert_eq!(network_name("example.test"), "example.test");
        assert_eq!(network_name("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(network_name("127.0.0.1"), "127.0.0.1");
        assert_eq!(network_name("[::1]"), "::1");
    }
}
