//! Certificates for tests, and files that hold them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};

use super::CertificateFiles;
use super::pem;

/// A certificate with its key, as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A self-signed certificate for `name`, good for `days` from yesterday on.
pub(crate) fn pair(name: &str, days: u64) -> Pair {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    let yesterday = SystemTime::now() - DAY;
    params.not_before = yesterday.into();
    params.not_after = (yesterday + DAY * u32::try_from(days).unwrap()).into();
    let certificate = params.self_signed(&key).unwrap();
    Pair {
        certificate: pem::encode("CERTIFICATE", certificate.der()).to_string(),
        key: pem::encode("PRIVATE KEY", key.serialized_der()).to_string(),
    }
}

impl Pair {
    /// Writes both into `directory`.
    pub(crate) fn write(&self, directory: &Path) -> CertificateFiles {
        let files = CertificateFiles {
            certificate: directory.join("crt"),
            key: directory.join("key"),
        };
        std::fs::write(&files.certificate, &self.certificate).unwrap();
        std::fs::write(&files.key, &self.key).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&files.key, private).unwrap();
        }
        files
    }
}
