//! `[[virtual_host.origin]]`: what a plugin may reach, how, and as whom.
//!
//! Owns the keys and the rule that no secret travels in the clear. What comes of it is a policy
//! for the sandbox, whose files are read again on SIGHUP. The origin of `http_roster_url` is
//! always part of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::Method;
use ipnet::IpNet;
use muster_plugin::{
    AllowedOrigin, EgressPolicy, Origin, OriginScheme, PrivateAddresses, TlsAccess,
};
use toml::de::DeValue;
use url::Url;

use super::app_secret::{AppSecret, SecretFault};
use super::auth::check_http;
use super::fault::{Place, Problem};
use super::quantity::Value;
use super::reader::{Located, Section};
use super::secret_file::check_permissions;
use super::virtual_host::Roster;
use crate::tls::{CertificateError, CertificateFiles, read_roots};

/// Everything that the plugin of one virtual host may reach.
#[derive(Debug, Clone)]
pub struct Egress {
    /// Each origin once; that of `http_roster_url` is among them, at least for `GET`.
    pub origins: Vec<OriginAccess>,
}

/// One origin.
#[derive(Debug, Clone)]
pub struct OriginAccess {
    /// Scheme, host and port.
    pub origin: Origin,
    /// What may be asked of it. Default `GET`.
    pub methods: Vec<Method>,
    /// To which private addresses its name may resolve. Default none.
    pub private_addresses: PrivateAddresses,
    /// How many redirects of it are followed. Default none.
    pub redirects: u8,
    /// What the host puts into requests to it.
    pub authorization: Option<AppSecret>,
    /// The authorities that may vouch for it, in place of Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that it is shown.
    pub client_certificate: Option<CertificateFiles>,
    /// Whether HTTP/2 is spoken where it offers it. Default true.
    pub http2: bool,
}

/// Why what the operator wants cannot be read. Reach: the process at its start; afterwards
/// nothing, what was there stays.
#[derive(Debug, thiserror::Error)]
pub enum AccessFault {
    /// A file of certificates.
    #[error("{origin}: {source}")]
    Certificate {
        /// For whom.
        origin: Origin,
        /// Why.
        source: CertificateError,
    },
    /// A secret.
    #[error("{origin}: {source}")]
    Secret {
        /// For whom.
        origin: Origin,
        /// Why.
        source: SecretFault,
    },
}

impl Egress {
    /// The origins of a virtual host, and that of its roster.
    pub(super) fn read(host: &mut Section<'_>, roster: Option<&Roster>) -> Option<Self> {
        let mut lines = HashMap::new();
        let listed = host.sections("origin", |section| OriginAccess::read(section, &mut lines));
        let roster = roster?;
        let mut origins = listed.into_iter().collect::<Option<Vec<_>>>()?;
        // A URL that names no origin has its fault already.
        let many = roster.http_rosters_url.as_deref();
        let asked = [
            (Some(roster.http_roster_url.as_str()), Method::GET),
            (many, Method::POST),
        ];
        for (url, method) in asked {
            let Some(url) = url else { continue };
            let access = Self::of_roster(&mut origins, Origin::of_url(url).ok()?)?;
            if !access.methods.contains(&method) {
                access.methods.push(method);
            }
            if roster.allow_private_addresses {
                access.private_addresses = PrivateAddresses::All;
            }
        }
        Some(Self { origins })
    }

    /// What is known of this origin, as it is listed or as it is without that.
    fn of_roster(origins: &mut Vec<OriginAccess>, origin: Origin) -> Option<&mut OriginAccess> {
        let at = match origins.iter().position(|access| access.origin == origin) {
            Some(at) => at,
            None => {
                // What is asked for there is added by who asks.
                origins.push(OriginAccess {
                    methods: Vec::new(),
                    ..OriginAccess::new(origin)
                });
                origins.len() - 1
            }
        };
        origins.get_mut(at)
    }

    /// The policy, with the secrets and certificates as they are now.
    ///
    /// # Errors
    /// [`AccessFault`] names the first file that cannot be used.
    pub(crate) fn policy(&self) -> Result<EgressPolicy, AccessFault> {
        let origins = self.origins.iter().map(OriginAccess::allowed);
        Ok(EgressPolicy {
            origins: origins.collect::<Result<_, _>>()?,
        })
    }

    /// Whether there is anything to read again.
    pub(crate) fn has_files(&self) -> bool {
        self.origins.iter().any(|access| {
            let secret = access.authorization.as_ref();
            access.ca_file.is_some()
                || access.client_certificate.is_some()
                || secret.is_some_and(AppSecret::is_in_a_file)
        })
    }
}

impl OriginAccess {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            methods: vec![Method::GET],
            private_addresses: PrivateAddresses::None,
            redirects: 0,
            authorization: None,
            ca_file: None,
            client_certificate: None,
            http2: true,
        }
    }

    /// `lines` has the line of each origin so far.
    fn read(section: &mut Section<'_>, lines: &mut HashMap<Origin, usize>) -> Option<Self> {
        let url = section.required::<Url>("url", "url = \"https://app.example.com\"");
        let origin = url.and_then(|url| origin(section, &url, lines));
        let methods = section.list::<Verb>("methods");
        if methods.as_ref().is_some_and(Vec::is_empty) {
            section.error(&section.place("methods"), Problem::Empty);
        }
        let methods = methods.map(|list| list.into_iter().map(|found| found.value.0).collect());
        let networks = section
            .list::<IpNet>("private_addresses")
            .unwrap_or_default();
        let networks: Vec<_> = networks.into_iter().map(|found| found.value).collect();
        let redirects = section.at_most("redirects", Hops(0), MOST_HOPS).0;
        let authorization = section.section("authorization", AppSecret::read);
        let allow_plain_http = section.value("allow_plain_http", false);
        let ca_file = ca_file(section);
        let client_certificate = client_certificate(section);
        let http2 = section.value("http2", true);
        let origin = origin?;
        if origin.scheme() == OriginScheme::Http {
            refuse_keys_of_tls(section);
            if !allow_plain_http {
                refuse_secret_in_the_clear(section, &origin);
            }
        }
        Some(Self {
            origin,
            methods: methods.unwrap_or_else(|| vec![Method::GET]),
            private_addresses: match networks.is_empty() {
                true => PrivateAddresses::None,
                false => PrivateAddresses::Within(networks),
            },
            redirects,
            authorization,
            ca_file,
            client_certificate,
            http2,
        })
    }

    fn allowed(&self) -> Result<AllowedOrigin, AccessFault> {
        let certificate = |source| AccessFault::Certificate {
            origin: self.origin.clone(),
            source,
        };
        let secret = |source| AccessFault::Secret {
            origin: self.origin.clone(),
            source,
        };
        let roots = self.ca_file.as_deref().map(read_roots).transpose();
        let identity = self.client_certificate.as_ref();
        let identity = identity.map(CertificateFiles::load).transpose();
        let identity = identity.map_err(certificate)?;
        let authorization = self.authorization.as_ref();
        let authorization = authorization.map(AppSecret::authorization).transpose();
        Ok(AllowedOrigin {
            origin: self.origin.clone(),
            methods: self.methods.clone(),
            private_addresses: self.private_addresses.clone(),
            redirects: self.redirects,
            authorization: authorization.map_err(secret)?,
            tls: TlsAccess {
                roots: roots.map_err(certificate)?,
                identity: identity.map(|identity| Arc::clone(&identity.chain)),
                http2: self.http2,
            },
        })
    }
}

fn origin(
    section: &Section<'_>,
    Located { value: url, place }: &Located<Url>,
    lines: &mut HashMap<Origin, usize>,
) -> Option<Origin> {
    check_http(section, url, place);
    if url.path() != "/" || url.query().is_some() {
        section.error(
            place,
            Problem::NotAnOrigin {
                text: url.to_string(),
                origin: url.origin().ascii_serialization(),
            },
        );
        return None;
    }
    let origin = Origin::of_url(url.as_str()).ok()?;
    let line = section.line(place);
    let first = *lines.entry(origin.clone()).or_insert(line);
    if first != line {
        section.error(place, Problem::RepeatedOrigin { origin, first });
        return None;
    }
    Some(origin)
}

/// The file is looked at, so that what is wrong with it is told along with everything else.
fn ca_file(section: &mut Section<'_>) -> Option<PathBuf> {
    let Located { value, place } = section.located::<PathBuf>("ca_file")?;
    let path = section.resolve(&value);
    if let Err(error) = read_roots(&path) {
        section.error(&place, Problem::Certificate(error));
    }
    Some(path)
}

fn client_certificate(section: &mut Section<'_>) -> Option<CertificateFiles> {
    let certificate = section.located::<PathBuf>("client_certificate");
    let key = section.located::<PathBuf>("client_key");
    let (Located { value, place }, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) if !section.has("client_key") => {
            section.missing("client_key", "client_key = \"muster.key\"");
            return None;
        }
        (None, Some(_)) if !section.has("client_certificate") => {
            section.missing("client_certificate", "client_certificate = \"muster.crt\"");
            return None;
        }
        _ => return None,
    };
    let files = CertificateFiles {
        certificate: section.resolve(&value),
        key: section.resolve(&key.value),
    };
    check_permissions(section, &files.key, &key.place);
    match files.load() {
        Ok(certificate) => {
            if let Some(concern) = certificate.expiry(std::time::SystemTime::now()) {
                section.warn(&place, Problem::ClientCertificate { concern });
            }
        }
        Err(error) => section.error(&place, Problem::Certificate(error)),
    }
    Some(files)
}

/// A key without effect is as wrong as an unknown one.
fn refuse_keys_of_tls(section: &Section<'_>) {
    for key in ["ca_file", "client_certificate", "client_key", "http2"] {
        if section.has(key) {
            section.error(&section.place(key), Problem::WithoutTls);
        }
    }
}

fn refuse_secret_in_the_clear(section: &Section<'_>, origin: &Origin) {
    if section.has("authorization") && !origin.is_loopback() {
        let host = origin.host().to_string();
        let place: Place = section.place("authorization");
        section.error(&place, Problem::SecretInTheClear { host });
    }
}

/// A method that a plugin may use: in capitals, none that is about the connection.
struct Verb(Method);

impl Value for Verb {
    const EXPECTED: &'static str = "an HTTP method, such as \"GET\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        let method = Method::from_bytes(text.as_bytes()).ok();
        method
            .filter(|method| *method != Method::CONNECT && *method != Method::TRACE)
            .filter(|_| text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'))
            .map(Self)
            .ok_or_else(|| Problem::NotAMethod {
                text: text.to_owned(),
            })
    }
}

/// A number of redirects; 0 is one.
#[derive(PartialEq, PartialOrd)]
struct Hops(u8);

/// What browsers follow is 20; a chain of half as many is a mistake.
const MOST_HOPS: Hops = Hops(10);

impl Value for Hops {
    const EXPECTED: &'static str = "a number of redirects, such as 0 or 3";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let number = value.as_integer().ok_or_else(|| Self::mismatch(value))?;
        let hops = u64::from_str_radix(number.as_str(), number.radix()).ok();
        // What does not fit is too large in any case.
        let hops = hops.map(|hops| Self(u8::try_from(hops).unwrap_or(u8::MAX)));
        hops.ok_or_else(|| Problem::NotAQuantity {
            text: number.to_string(),
            expected: Self::EXPECTED,
        })
    }
}

impl std::fmt::Display for Hops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
