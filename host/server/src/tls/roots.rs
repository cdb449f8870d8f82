//! The authorities of an operator's own: whom to believe in place of those that Mozilla trusts.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::CertificateError;
use super::certificate::read;

/// The certificates in the PEM file at `path`, as authorities. Their own time is not looked at
/// (RFC 5280 §6.1 has no such step for a trust anchor).
///
/// # Errors
/// The file cannot be read, holds no certificate, or one that is none.
pub(crate) fn read_roots(path: &Path) -> Result<Arc<RootCertStore>, CertificateError> {
    let text = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::NoCertificate {
            path: path.to_owned(),
        })?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|_| CertificateError::NotACertificate {
                path: path.to_owned(),
            })?;
    }
    if roots.is_empty() {
        return Err(CertificateError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(Arc::new(roots))
}
