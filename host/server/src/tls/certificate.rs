//! One certificate: the chain and the key of a virtual host, as files and as what was read of
//! them.
//!
//! Owns reading, the check that key and chain belong together, what the certificate says of
//! itself (names, validity), and the hash by which a login is bound to it
//! (`tls-server-end-point`, RFC 5929 §4.1). Does not judge whom it is shown to. Used by the
//! configuration, which checks it, and by the store, which serves it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use super::end_point;

/// A chain with a dozen certificates has some 20 KiB; nothing larger is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// How long before its end a certificate is worth a warning.
const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Where the certificate of a virtual host is: two PEM files, or one with both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The host's certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Why files are not a certificate. Reach: the process at its start; afterwards nothing, the
/// certificate before stays.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file is larger than any chain.
    #[error("{} has more than {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// There is no certificate in the file, or what there is broke off.
    #[error("{} holds no whole certificate in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in the file, or it is encrypted, or it broke off.
    #[error("{} holds no whole unencrypted private key in PEM form", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is not one that can be read.
    #[error("the certificate in {} cannot be understood", path.display())]
    NotACertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that cannot be used.
    #[error("the key in {} cannot be used: {reason}", path.display())]
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: TlsError,
    },
    /// They do not belong together.
    #[error("the key in {} is not the one of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

/// What an operator should know of a certificate that is served all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateConcern {
    /// Its time is over.
    #[error("the certificate has expired; clients refuse it")]
    Expired,
    /// Its time is over soon.
    #[error("the certificate expires in {days} days")]
    ExpiresSoon {
        /// Days left, the last one included.
        days: u64,
    },
    /// Its time has not come.
    #[error("the certificate is not valid yet; clients refuse it")]
    NotYetValid,
    /// It is for other names.
    #[error("the certificate is not for this domain; clients refuse it")]
    NotCovered,
}

/// The digest of the two files' content: tells whether they have changed.
pub(crate) type Fingerprint = [u8; 32];

/// The content of the two files, unread so far.
pub(crate) struct CertificateText {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl CertificateFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// A file is missing, cannot be read or is absurdly large.
    pub(crate) fn read(&self) -> Result<CertificateText, CertificateError> {
        Ok(CertificateText {
            certificate: read(&self.certificate)?,
            key: Zeroizing::new(read(&self.key)?),
        })
    }

    /// Reads both files and what is in them.
    ///
    /// # Errors
    /// They cannot be read, or are not a certificate with its key.
    pub(crate) fn load(&self) -> Result<Certificate, CertificateError> {
        Certificate::parse(&self.read()?, self)
    }
}

impl CertificateText {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        digest.update(Sha256::digest(&self.certificate));
        digest.update(Sha256::digest(&*self.key));
        digest.finalize().into()
    }
}

/// A chain with its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) chain: Arc<CertifiedKey>,
    /// The hash of the first certificate as RFC 5929 §4.1 has it, if its signature has one.
    pub(crate) end_point: Option<Box<[u8]>>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) fingerprint: Fingerprint,
}

impl Certificate {
    /// `files` are named in errors.
    pub(crate) fn parse(
        text: &CertificateText,
        files: &CertificateFiles,
    ) -> Result<Certificate, CertificateError> {
        let path = || files.certificate.clone();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoCertificate { path: path() })?;
        let Some(leaf) = chain.first() else {
            return Err(CertificateError::NoCertificate { path: path() });
        };
        let parsed = x509_cert::Certificate::from_der(leaf)
            .map_err(|_| CertificateError::NotACertificate { path: path() })?;
        let end_point = end_point::hash(leaf, &parsed.signature_algorithm().oid);
        let validity = *parsed.tbs_certificate().validity();
        let key = PrivateKeyDer::from_pem_slice(&text.key);
        let key = key.map_err(|_| CertificateError::NoKey {
            path: files.key.clone(),
        })?;
        let chain = CertifiedKey::from_der(chain, key, &ring::default_provider());
        Ok(Certificate {
            chain: Arc::new(chain.map_err(|reason| unusable(reason, files))?),
            end_point,
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
            fingerprint: text.fingerprint(),
        })
    }

    /// Whether a client that wants to reach `name`, a domain or an address, will be content with
    /// the names of this certificate (RFC 6125).
    pub(crate) fn covers(&self, name: &str) -> bool {
        let name = ServerName::try_from(name);
        let leaf = self.chain.cert.first();
        let leaf = leaf.and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
        match (leaf, name) {
            (Some(leaf), Ok(name)) => verify_server_name(&leaf, &name).is_ok(),
            _ => false,
        }
    }

    /// What is to be said about its time at `now`, by the wall clock.
    pub(crate) fn expiry(&self, now: SystemTime) -> Option<CertificateConcern> {
        if now < self.not_before {
            return Some(CertificateConcern::NotYetValid);
        }
        match self.not_after.duration_since(now) {
            Err(_) => Some(CertificateConcern::Expired),
            Ok(left) if left <= EXPIRY_NOTICE => Some(CertificateConcern::ExpiresSoon {
                days: left.as_secs().div_ceil(24 * 60 * 60),
            }),
            Ok(_) => None,
        }
    }

    /// Everything that the operator of `name` should know at `now`.
    pub(crate) fn concerns(
        &self,
        name: &str,
        now: SystemTime,
    ) -> impl Iterator<Item = CertificateConcern> {
        let covered = (!self.covers(name)).then_some(CertificateConcern::NotCovered);
        self.expiry(now).into_iter().chain(covered)
    }
}

fn unusable(reason: TlsError, files: &CertificateFiles) -> CertificateError {
    match reason {
        TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
        },
        TlsError::InvalidCertificate(_) => CertificateError::NotACertificate {
            path: files.certificate.clone(),
        },
        reason => CertificateError::UnusableKey {
            path: files.key.clone(),
            reason,
        },
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |source| CertificateError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    let mut bounded = file.take(MAX_FILE_BYTES + 1);
    bounded.read_to_end(&mut content).map_err(unreadable)?;
    if bounded.limit() == 0 {
        return Err(CertificateError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
