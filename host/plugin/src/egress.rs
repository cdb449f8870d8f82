//! Where a plugin's requests may go, and as whom: the policy, without any I/O.
//!
//! [`crate::outbound`] asks it twice for each request and for each hop of a
//! redirect: once about the request itself ([`EgressPolicy::admit`]), once about
//! the addresses that the name resolved to ([`AllowedOrigin::admit_address`]).
//! Both must agree; the address that was checked is the address that is dialled.

mod address;
mod authorization;
mod origin;
pub(crate) mod redirect;
mod tls_access;

use std::net::IpAddr;

use http::uri::PathAndQuery;
use http::{Method, Uri};

pub use self::address::PrivateAddresses;
pub use self::authorization::{Authorization, AuthorizationError};
pub use self::origin::{Origin, OriginError, OriginScheme};
pub use self::tls_access::TlsAccess;

/// Which requests leave the sandbox: what is not listed is denied.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    /// The origins that may be asked, each once; none means that nothing
    /// leaves.
    pub origins: Vec<AllowedOrigin>,
}

/// One origin that a plugin may ask, how, and as whom.
#[derive(Debug, Clone)]
pub struct AllowedOrigin {
    /// The origin.
    pub origin: Origin,
    /// The methods that may be used.
    pub methods: Vec<Method>,
    /// To which private addresses its name may resolve.
    pub private_addresses: PrivateAddresses,
    /// How many hops a `GET` may have had when this origin sends it on once
    /// more; 0 means that a redirect of it is an answer like any other.
    pub redirects: u8,
    /// What the host puts into requests to it.
    pub authorization: Option<Authorization>,
    /// How it is reached by TLS.
    pub tls: TlsAccess,
}

/// What became of a request at the gate: the label of the denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denial {
    /// The method is not allowed.
    #[error("the method is not allowed")]
    Method,
    /// The request target is not an absolute path, or carries what a request
    /// line must not.
    #[error("the request target is malformed")]
    Target,
    /// The origin is not on the list.
    #[error("the origin is not allowed")]
    Origin,
    /// The name resolved to an address that is never asked, or to a private
    /// one that the operator has not allowed.
    #[error("the address is not allowed")]
    Address,
}

impl Denial {
    /// The value of the label `reason` in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Target => "target",
            Self::Origin => "origin",
            Self::Address => "address",
        }
    }
}

/// A request that passed the first question: what to dial and what to send.
#[derive(Debug, Clone)]
pub struct Admitted<'p> {
    /// The origin as the policy has it, not as the plugin wrote it.
    pub allowed: &'p AllowedOrigin,
    /// The request target in origin-form (RFC 9112, section 3.2.1).
    pub target: PathAndQuery,
}

impl Admitted<'_> {
    /// The URI that is sent to: the origin of the policy, the target of the
    /// plugin. `None` where the two do not make a URI.
    pub(crate) fn uri(&self) -> Option<Uri> {
        let origin = &self.allowed.origin;
        Uri::builder()
            .scheme(origin.uri_scheme())
            .authority(format!("{}:{}", origin.host(), origin.port()))
            .path_and_query(self.target.clone())
            .build()
            .ok()
    }
}

impl AllowedOrigin {
    /// `GET` to `origin` and nothing else.
    #[must_use]
    pub fn get(origin: Origin) -> Self {
        Self {
            origin,
            methods: vec![Method::GET],
            private_addresses: PrivateAddresses::None,
            redirects: 0,
            authorization: None,
            tls: TlsAccess::default(),
        }
    }

    /// Decides about one address that the origin's host resolved to. Each is
    /// judged by itself.
    ///
    /// # Errors
    /// [`Denial::Address`] if it must not be dialled.
    pub fn admit_address(&self, address: IpAddr) -> Result<(), Denial> {
        if self.private_addresses.admit(self.origin.host(), address) {
            Ok(())
        } else {
            Err(Denial::Address)
        }
    }
}

impl EgressPolicy {
    /// The policy that follows from the operator's `http_roster_url`: `GET`
    /// to its origin and nothing else.
    ///
    /// # Errors
    /// [`OriginError`] says why the template names no origin.
    pub fn for_url(template: &str) -> Result<Self, OriginError> {
        // `%s` may stand in the path or the query only; Url would reject it
        // in the host, and the path does not matter here.
        Ok(Self {
            origins: vec![AllowedOrigin::get(Origin::of_url(template)?)],
        })
    }

    /// Decides about a request before anything is resolved or dialled.
    ///
    /// # Errors
    /// [`Denial`] names the first rule that the request breaks.
    pub fn admit(&self, method: &Method, uri: &Uri) -> Result<Admitted<'_>, Denial> {
        let allowed = self.origin_of(uri).ok_or(Denial::Origin)?;
        if !allowed.methods.contains(method) {
            return Err(Denial::Method);
        }
        let target = uri.path_and_query().ok_or(Denial::Target)?;
        if !is_origin_form(target.as_str()) {
            return Err(Denial::Target);
        }
        Ok(Admitted {
            allowed,
            target: target.clone(),
        })
    }

    /// The allowed origin that a URI belongs to.
    pub(crate) fn origin_of(&self, uri: &Uri) -> Option<&AllowedOrigin> {
        let wanted = Origin::of_request(uri)?;
        self.origins.iter().find(|allowed| allowed.origin == wanted)
    }
}

/// Whether a request target can stand in a request line as it is.
fn is_origin_form(target: &str) -> bool {
    target.starts_with('/')
        && target
            .bytes()
            .all(|b| (0x21..=0x7e).contains(&b) && b != b'\\' && b != b'#')
}

#[cfg(test)]
mod tests;
