//! A self-signed certificate, for development.
//!
//! Owns what is in it: an ECDSA key on P-256, the domain among its names, a year. Files are the
//! command's affair.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, KeyPair};
use zeroize::Zeroizing;

use super::{network_name, pem};

/// A year, and a day less than what some clients take at most.
const VALID_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// For clocks that are behind.
const VALID_BEFORE: Duration = Duration::from_secs(60 * 60);

/// A certificate with its key, as PEM.
pub(crate) struct SelfSigned {
    pub(crate) certificate: Zeroizing<String>,
    pub(crate) key: Zeroizing<String>,
}

/// Makes a certificate for `domain`, good from `now` on. For `localhost` it has the addresses of
/// loopback as well.
///
/// # Errors
/// The system has no random numbers, or the domain is no name of a host.
pub(crate) fn self_signed(domain: &str, now: SystemTime) -> Result<SelfSigned, rcgen::Error> {
    let mut names = vec![network_name(domain)];
    if domain == "localhost" {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, domain);
    params.not_before = (now - VALID_BEFORE).into();
    params.not_after = (now + VALID_FOR).into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let der = Zeroizing::new(key.serialize_der());
    Ok(SelfSigned {
        certificate: pem::encode("CERTIFICATE", certificate.der()),
        key: pem::encode("PRIVATE KEY", &der),
    })
}
