//! `[virtual_host.tls]`: the certificate of a domain.
//!
//! Owns the keys, and the rule which hosts must have a certificate. The files are read here, so
//! that what is wrong with them is told along with everything else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use jid::DomainPart;

use super::fault::{Place, Problem};
use super::listeners::{Http, Xmpp};
use super::reader::{Located, Section};
use super::secret_file;
use super::web::Web;
use crate::tls::{Certificate, CertificateFiles, network_name};

/// `[virtual_host.tls]`
#[derive(Debug)]
pub struct HostTls {
    /// The files of `certificate` and `key`, made absolute by the directory of the configuration.
    pub files: CertificateFiles,
    /// What was in them.
    pub(crate) certificate: Arc<Certificate>,
}

impl HostTls {
    /// Reads the `tls` of a virtual host; `demand` learns whether there is one.
    pub(super) fn read(
        host: &mut Section<'_>,
        domain: Option<&DomainPart>,
        demand: &mut Demand,
    ) -> Option<Self> {
        if !host.has("tls") {
            host.section("tls", files);
            demand.unmet(host, domain);
            return None;
        }
        demand.met = true;
        let (files, place) = host.section("tls", files)?;
        let certificate = match files.load() {
            Ok(certificate) => certificate,
            Err(error) => {
                host.error(&place, Problem::Certificate(error));
                return None;
            }
        };
        if let Some(domain) = domain {
            for concern in certificate.concerns(&network_name(domain), SystemTime::now()) {
                let domain = domain.to_string();
                host.warn(&place, Problem::CertificateConcern { domain, concern });
            }
        }
        Some(Self {
            files,
            certificate: Arc::new(certificate),
        })
    }
}

/// The files, and the place of the certificate.
fn files(section: &mut Section<'_>) -> Option<(CertificateFiles, Place)> {
    let absent = !section.is_there();
    let mut file = |key, example| match absent {
        true => section.located::<PathBuf>(key),
        false => section.required::<PathBuf>(key, example),
    };
    let certificate = file("certificate", "certificate = \"example.test.crt\"");
    let key = file("key", "key = \"example.test.key\"");
    let Located { value, place } = certificate?;
    let key = key?;
    secret_file::check_permissions(section, &section.resolve(&key.value), &key.place);
    let files = CertificateFiles {
        certificate: section.resolve(&value),
        key: section.resolve(&key.value),
    };
    Some((files, place))
}

/// Who needs certificates.
pub(super) struct Demand {
    /// Nobody can log in to a host without one.
    by_each: bool,
    /// The listener that cannot do without at least one.
    by_listener: Option<&'static str>,
    /// A host has one, or was meant to.
    met: bool,
    /// The first host without one, and where it could be.
    missing: Option<(String, Place)>,
}

impl Demand {
    pub(super) fn of(xmpp: Option<&Xmpp>, http: Option<&Http>, web: Option<&Web>) -> Self {
        let listener = match (xmpp, http, web) {
            (Some(xmpp), ..) if !xmpp.listen_tls.is_empty() => Some("xmpp.listen_tls"),
            (_, Some(http), _) if !http.listen_tls.is_empty() => Some("http.listen_tls"),
            (_, _, Some(web)) if !web.listen_tls.is_empty() => Some("web.listen_tls"),
            _ => None,
        };
        Self {
            by_each: xmpp.is_some_and(|xmpp| xmpp.require_tls),
            by_listener: listener,
            met: false,
            missing: None,
        }
    }

    /// `host` has no certificate.
    fn unmet(&mut self, host: &Section<'_>, domain: Option<&DomainPart>) {
        // A domain that is wrong has its fault already.
        let Some(domain) = domain.map(ToString::to_string) else {
            return;
        };
        let place = host.place("tls");
        if self.by_each {
            host.error(&place, Problem::TlsWithoutCertificate { domain });
        } else {
            self.missing.get_or_insert((domain, place));
        }
    }

    /// Notes what no host has met.
    pub(super) fn check(self, root: &Section<'_>) {
        if let (Some(key), false, Some((domain, place))) =
            (self.by_listener, self.met, self.missing)
        {
            root.error(&place, Problem::ListenerWithoutCertificate { key, domain });
        }
    }
}
