//! Certificates of the tests' own making, as files where the host finds them,
//! and the settings of clients that trust them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
pub use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A self-signed certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The certificate as a file has it.
    pub certificate: String,
    /// The key as a file has it.
    pub key: String,
}

impl Identity {
    /// A certificate for these names, good for two thousand years.
    pub fn new(names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.self_signed(&key).expect("a certificate");
        Identity {
            der: certificate.der().clone(),
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", key.serialized_der()),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

/// The files of a host's certificate.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    /// If it is the files' own.
    _owned: Option<TempDir>,
}

impl Files {
    /// Files in this directory, made by somebody else.
    pub fn at(directory: &Path) -> Files {
        Files {
            directory: directory.to_owned(),
            _owned: None,
        }
    }

    /// Files that hold `identity`; they end with this.
    pub fn of(identity: &Identity) -> Files {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Files {
            directory: directory.path().to_owned(),
            _owned: Some(directory),
        };
        files.write(&identity.certificate, &identity.key);
        files
    }

    /// The certificate's file.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("crt")
    }

    /// The key's file.
    pub fn key(&self) -> PathBuf {
        self.directory.join("key")
    }

    /// Writes the files anew, in place.
    pub fn write(&self, certificate: &str, key: &str) {
        write(&self.certificate(), certificate);
        write(&self.key(), key);
    }

    /// Puts `identity` in their place by renaming finished files.
    pub fn replace(&self, identity: &Identity) {
        for (path, text) in [
            (self.certificate(), &identity.certificate),
            (self.key(), &identity.key),
        ] {
            let aside = path.with_extension("new");
            write(&aside, text);
            std::fs::rename(&aside, &path).expect("a file");
        }
    }
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a file");
}

/// What a client wants of TLS.
#[derive(Debug, Clone)]
pub struct Trust {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    names_server: bool,
}

impl Trust {
    /// Trusts these certificates and no others, in all versions of TLS.
    pub fn only_in(identities: &[&Identity]) -> Trust {
        let mut roots = RootCertStore::empty();
        for identity in identities {
            roots.add(identity.der.clone()).expect("a certificate");
        }
        Trust {
            roots,
            versions: rustls::ALL_VERSIONS.to_vec(),
            protocols: Vec::new(),
            names_server: true,
        }
    }

    /// Speaks this version only.
    #[must_use]
    pub fn only(mut self, version: &'static SupportedProtocolVersion) -> Trust {
        self.versions = vec![version];
        self
    }

    /// Offers these protocols (ALPN).
    #[must_use]
    pub fn protocols(mut self, protocols: &[&str]) -> Trust {
        self.protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self
    }

    /// Does not tell whom it wants to reach (no SNI).
    #[must_use]
    pub fn anonymous(mut self) -> Trust {
        self.names_server = false;
        self
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.protocols);
        config.enable_sni = self.names_server;
        Arc::new(config)
    }
}
