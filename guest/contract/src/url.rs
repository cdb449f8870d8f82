//! Where a user's contacts are asked for: `http_roster_url` with `%s` in it.
//!
//! Owns the two promises of the URL: a username arrives as exactly one decoded
//! path segment or query value, and whatever the username, the request goes to
//! the origin that the operator wrote. A host that checks a configuration and
//! the plugin that makes the request use the same [`UrlTemplate`].

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters (RFC 3986, section 2.3) is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const MAX_TEMPLATE_BYTES: usize = 2_048;

/// The bound of a localpart (RFC 7622, section 3.3).
const MAX_USERNAME_BYTES: usize = 1_023;

/// What is replaced by the username.
const PLACEHOLDER: &str = "%s";

/// The schemes that a roster can be fetched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text: for apps on the same machine or a trusted network.
    Http,
    /// TLS.
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// A checked `http_roster_url`.
///
/// Every `%s` of path and query stands for the username; other `%` sequences
/// are sent as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    scheme: Scheme,
    authority: String,
    /// Path and query as the request line carries them, around the `%s`.
    pieces: Vec<String>,
}

impl UrlTemplate {
    /// Checks a template of at most 2,048 bytes.
    ///
    /// # Errors
    ///
    /// Anything that is not an absolute http or https URL without userinfo and
    /// fragment, in printable ASCII, with `%s` in its path or query.
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        if template.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::TooLong);
        }
        if !template.bytes().all(is_url_byte) {
            return Err(TemplateError::IllegalCharacter);
        }
        let (scheme, rest) = split_scheme(template)?;
        if rest.contains('#') {
            return Err(TemplateError::Fragment);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        check_authority(authority)?;

        let mut pieces: Vec<String> = target.split(PLACEHOLDER).map(str::to_owned).collect();
        if pieces.len() < 2 {
            return Err(TemplateError::NoPlaceholder);
        }
        let before_last = pieces.len() - 1;
        if pieces
            .iter()
            .take(before_last)
            .any(|p| ends_inside_escape(p))
        {
            return Err(TemplateError::BrokenEscape);
        }
        // The request line is always in origin form: `?user=%s` alone means `/?user=%s`.
        if let Some(first) = pieces.first_mut()
            && !first.starts_with('/')
        {
            first.insert(0, '/');
        }
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            pieces,
        })
    }

    /// The scheme of every request.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and, where the template has one, port of every request.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query for one user, starting with `/`.
    ///
    /// # Errors
    ///
    /// A username that cannot be one path segment.
    pub fn path_and_query(&self, username: &str) -> Result<String, UsernameError> {
        check_username(username)?;
        let encoded = Cow::from(utf8_percent_encode(username, ENCODED));
        Ok(self.pieces.join(&encoded))
    }

    /// The whole URL for one user.
    ///
    /// # Errors
    ///
    /// A username that cannot be one path segment.
    pub fn url(&self, username: &str) -> Result<RosterUrl, UsernameError> {
        Ok(RosterUrl {
            scheme: self.scheme,
            authority: self.authority.clone(),
            path_and_query: self.path_and_query(username)?,
        })
    }
}

/// The parts of the URL of one user's contacts, as a request needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterUrl {
    /// The template's scheme.
    pub scheme: Scheme,
    /// The template's host and port.
    pub authority: String,
    /// Starts with `/`.
    pub path_and_query: String,
}

impl RosterUrl {
    /// Checks the URL at which many users are asked for, of at most 2,048 bytes
    /// (`http_rosters_url`).
    ///
    /// # Errors
    ///
    /// As [`UrlTemplate::parse`], but that it must not contain `%s`.
    pub fn fixed(url: &str) -> Result<Self, TemplateError> {
        let placed = format!("{url}{PLACEHOLDER}");
        let UrlTemplate {
            scheme,
            authority,
            pieces,
        } = match UrlTemplate::parse(&placed) {
            // `http://host` alone: the path is `/`.
            Err(TemplateError::PlaceholderInHost) if !url.contains('%') => {
                UrlTemplate::parse(&format!("{url}/{PLACEHOLDER}"))?
            }
            parsed => parsed?,
        };
        match <[String; 2]>::try_from(pieces) {
            Ok([path_and_query, _]) => Ok(Self {
                scheme,
                authority,
                path_and_query,
            }),
            Err(_) => Err(TemplateError::Placeholder),
        }
    }
}

impl fmt::Display for RosterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme, self.authority, self.path_and_query
        )
    }
}

/// The URL of a user's contacts, for callers that ask once.
///
/// # Errors
///
/// A template or a username that no request can be made of.
pub fn roster_url(template: &str, username: &str) -> Result<String, UrlError> {
    Ok(UrlTemplate::parse(template)?.url(username)?.to_string())
}

/// Why there is no URL. Reach: the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The operator's fault.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The username's fault.
    #[error(transparent)]
    Username(#[from] UsernameError),
}

/// What is wrong with `http_roster_url` or `http_rosters_url`. Reach: the virtual host's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// More than 2,048 bytes.
    #[error("is longer than 2,048 bytes")]
    TooLong,
    /// A space, a control character, a backslash, non-ASCII and the like.
    #[error("contains a character that a URL cannot carry; percent-encode it")]
    IllegalCharacter,
    /// Relative, or another scheme.
    #[error("must start with http:// or https://")]
    Scheme,
    /// Nothing between `//` and the path.
    #[error("has no host")]
    NoHost,
    /// `user:password@`.
    #[error("must not contain a user name or password before the host")]
    Userinfo,
    /// `%s`, or any `%`, in the host.
    #[error("must not contain % in the host: the username belongs into the path or query")]
    PlaceholderInHost,
    /// A host name or port that cannot be one.
    #[error("has a malformed host or port")]
    Authority,
    /// `#…` is never sent to the app.
    #[error("must not contain a fragment (#…): it would not be sent")]
    Fragment,
    /// Every user would get the same list.
    #[error("must contain %s, which stands for the username, in its path or query")]
    NoPlaceholder,
    /// A URL for many users that has a username in it.
    #[error("must not contain %s: it is asked for many users at once")]
    Placeholder,
    /// `%%s` or `%4%s`: the username would become a part of the escape.
    #[error("has an incomplete % sequence right before %s")]
    BrokenEscape,
}

/// Why a user cannot be asked for. Reach: the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// The empty string.
    #[error("the username is empty")]
    Empty,
    /// `.` or `..`: servers and proxies take these for directories even when
    /// they are encoded.
    #[error("the username is a dot segment")]
    DotSegment,
    /// More than 1,023 bytes.
    #[error("the username is longer than 1,023 bytes")]
    TooLong,
}

fn check_username(username: &str) -> Result<(), UsernameError> {
    match username {
        "" => Err(UsernameError::Empty),
        "." | ".." => Err(UsernameError::DotSegment),
        _ if username.len() > MAX_USERNAME_BYTES => Err(UsernameError::TooLong),
        _ => Ok(()),
    }
}

fn split_scheme(template: &str) -> Result<(Scheme, &str), TemplateError> {
    let (scheme, rest) = template.split_once("://").ok_or(TemplateError::Scheme)?;
    if scheme.eq_ignore_ascii_case("http") {
        Ok((Scheme::Http, rest))
    } else if scheme.eq_ignore_ascii_case("https") {
        Ok((Scheme::Https, rest))
    } else {
        Err(TemplateError::Scheme)
    }
}

fn check_authority(authority: &str) -> Result<(), TemplateError> {
    if authority.contains('@') {
        return Err(TemplateError::Userinfo);
    }
    if authority.contains('%') {
        return Err(TemplateError::PlaceholderInHost);
    }
    let (host, port) = split_port(authority)?;
    if host.is_empty() {
        return Err(TemplateError::NoHost);
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => {}
        Some(Ok(0) | Err(_)) => return Err(TemplateError::Authority),
    }
    // `parse` takes a leading `+`.
    if port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err(TemplateError::Authority);
    }
    Ok(())
}

/// Host and port; the host checked for its characters.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), TemplateError> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(TemplateError::Authority)?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(TemplateError::Authority);
        }
        return match port {
            "" => Ok((address, None)),
            _ => match port.strip_prefix(':') {
                Some(port) => Ok((address, Some(port))),
                None => Err(TemplateError::Authority),
            },
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_host_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if host.bytes().all(is_host_byte) {
        Ok((host, port))
    } else {
        Err(TemplateError::Authority)
    }
}

/// The characters of RFC 3986, section 2: reserved, unreserved and `%`. Curly
/// braces and the like are left out: HTTP libraries disagree about them.
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

/// Whether what follows `piece` would complete a percent-encoded byte.
fn ends_inside_escape(piece: &str) -> bool {
    match piece.as_bytes() {
        [.., b'%'] => true,
        [.., b'%', digit] => digit.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
