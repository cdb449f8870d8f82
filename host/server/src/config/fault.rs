//! What can be wrong with a configuration, where, and what to do about it.
//!
//! Owns the words that an operator reads: each [`Problem`] has one sentence for what is wrong and
//! most have a remedy. No fault quotes a value that may be a secret. Faults come from the reader
//! and from the rules of the sections; they go to `muster check-config` and `muster serve`.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use muster_contract::TemplateError;
use muster_plugin::{Origin, OriginError};

use super::app_secret::SecretFault;
use super::token_keys::KeyFault;
use super::users_file::LineFault;
use crate::tls::{CertificateConcern, CertificateError};

/// A place in the file, counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Position {
    /// The position of the byte `offset` of `text`; past the end it is the end.
    pub(super) fn of(offset: usize, text: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
        }
    }
}

/// Whether the configuration can be used nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, and the operator should know.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong, with its place.
#[derive(Debug)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub position: Position,
    /// The path of the key, such as `virtual_host[1].auth.kind`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
    /// Whether the process can start nevertheless.
    pub severity: Severity,
}

impl fmt::Display for Fault {
    /// `muster.toml:3:8: error: http.listn: no such key` and, if there is a remedy, a second line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        let (file, severity) = (self.file.display(), self.severity);
        write!(f, "{file}:{line}:{column}: {severity}: ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.problem)?;
        match self.problem.remedy() {
            Some(remedy) => write!(f, "\n    help: {remedy}"),
            None => Ok(()),
        }
    }
}

/// Every fault of one configuration, in the order of the file; at least one is an error.
#[derive(Debug)]
pub struct Faults {
    faults: Vec<Fault>,
}

impl Faults {
    pub(super) fn new(errors: Vec<Fault>, warnings: Vec<Fault>) -> Self {
        let mut faults: Vec<_> = errors.into_iter().chain(warnings).collect();
        faults.sort_by_key(|fault| fault.position);
        Self { faults }
    }

    /// The faults, warnings among them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// What is wrong with one place. Reach: the process does not start (or, as a warning, starts).
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum Problem {
    // The text.
    #[error("{message}")]
    Syntax { message: String },
    #[error("there is no such key")]
    UnknownKey {
        nearest: Option<String>,
        elsewhere: Option<String>,
        known: Vec<String>,
    },
    #[error("the key is missing")]
    Missing { example: &'static str },

    // One value.
    #[error("expected {expected}, found {found}")]
    WrongType {
        expected: &'static str,
        found: &'static str,
    },
    #[error("must not be empty")]
    Empty,
    #[error("must be above 0")]
    Zero,
    #[error("{text} is not a whole number above 0")]
    NotACount { text: String },
    #[error("\"{text}\" is not {expected}")]
    NotAQuantity {
        text: String,
        expected: &'static str,
    },
    #[error("must be at most {maximum}")]
    TooLarge { maximum: String },
    #[error("must be at least {minimum}")]
    TooSmall { minimum: String },
    #[error("must be at most {maximum}: {reason}")]
    MoreThanAllowed {
        bound_key: &'static str,
        maximum: String,
        reason: &'static str,
    },
    #[error("is too little for {key}, which is {value} and could be {maximum}: {reason}")]
    LessThanNeeded {
        key: &'static str,
        value: String,
        maximum: String,
        reason: &'static str,
    },
    #[error(
        "must be at least {needed}, which is limits.refresh.requests ({requests}) and limits.refresh.running_jobs ({running_jobs}) together: what has its turn would be answered 429"
    )]
    FewHandleCalls {
        needed: usize,
        requests: usize,
        running_jobs: usize,
    },
    #[error(
        "with limits.refresh.running_jobs ({running_jobs}) it is more than limits.plugin.handle_calls, which is {handle_calls}: what has its turn would be answered 429"
    )]
    ManyRequests {
        running_jobs: usize,
        handle_calls: usize,
    },
    #[error("\"{text}\" is not an IP address and a port")]
    NotAnAddress { text: String },
    #[error("not a URL: {reason}")]
    NotAUrl { reason: url::ParseError },
    #[error("\"{text}\" is not one of {}", one_of(accepted))]
    NotOneOf {
        text: String,
        accepted: &'static [&'static str],
    },
    #[error("this log filter cannot be parsed")]
    NotAFilter,

    // Files that the configuration names.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{} can be read by everyone (mode {mode:o})", path.display())]
    ReadableByAll { path: PathBuf, mode: u32 },

    #[error("{}:{line}: {reason}", path.display())]
    UsersFile {
        path: PathBuf,
        line: usize,
        reason: LineFault,
    },

    // Listeners and tokens.
    #[error("xmpp.require_tls is true, and {domain} has no certificate: nobody could log in")]
    TlsWithoutCertificate { domain: String },
    #[error("{key} is set, and no virtual host has a certificate")]
    ListenerWithoutCertificate { key: &'static str, domain: String },
    #[error("{address} is not on loopback; logins without TLS are accepted on loopback only")]
    PlaintextBeyondLoopback { address: SocketAddr },
    #[error("{address} is not on loopback; without TLS, web clients are served on loopback only")]
    PlainWebBeyondLoopback { address: SocketAddr },
    #[error("\"{text}\" is not an origin")]
    NotAnOrigin { text: String, origin: String },
    #[error("\"{text}\" is not a network")]
    NotANetwork { text: String },
    #[error("{address} is listed twice")]
    RepeatedAddress { address: SocketAddr },
    #[error("without a token nobody could ask for a refresh")]
    NoToken,
    #[error("{} holds no token", path.display())]
    NoTokenInFile { path: PathBuf },
    #[error("a token has a character that no Authorization header can carry (RFC 6750 §2.1)")]
    TokenCharacters,
    #[error("this token has {length} characters; it can be guessed")]
    ShortToken { length: usize },
    #[error(
        "[http] listens on {address}, which is not on loopback; without a token only loopback is accepted"
    )]
    UnauthenticatedBeyondLoopback { address: SocketAddr },

    // Virtual hosts.
    #[error("there is no virtual host, so nobody could log in")]
    NoVirtualHost,
    #[error("\"{text}\" is not a domain: {reason}")]
    NotADomain { text: String, reason: jid::Error },
    #[error("the domain {domain} is there twice; the first one is on line {first}")]
    RepeatedDomain { domain: String, first: usize },
    #[error("\"{text}\" is not a user name: {reason}")]
    NotAUsername { text: String, reason: jid::Error },
    #[error(
        "no client can send this password: it is empty, too long, or SASLprep (RFC 4013) forbids a character"
    )]
    NotAPassword,
    #[error("the user {username} is there twice")]
    RepeatedUser { username: String },
    #[error("the key belongs to kind = \"{owner}\", and this is kind = \"{kind}\"")]
    KeyOfAnotherKind {
        owner: &'static str,
        kind: &'static str,
    },
    #[error("nobody could log in: there are neither users nor a users_file")]
    NoUsers,
    #[error("no token could be verified: there is neither key nor key_file nor jwks_file")]
    NoTokenKey,
    #[error("only one of key, key_file and jwks_file can be used")]
    SeveralTokenKeys,
    #[error("each key of a jwks_file tells its own algorithm")]
    AlgorithmOfSet,
    #[error("{fault}")]
    TokenKey { fault: KeyFault },
    #[error(
        "kind = \"any\" accepts every password, and clients can connect at {address}, which is not on loopback"
    )]
    AnyBeyondLoopback { address: SocketAddr },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{domain}: {concern}")]
    CertificateConcern {
        domain: String,
        concern: CertificateConcern,
    },
    #[error("passwords would travel in the clear to {host}")]
    PasswordsInTheClear { host: String },
    #[error("the scheme \"{scheme}\" is not http or https")]
    Scheme { scheme: String },
    #[error("a user name or password in the URL is not accepted")]
    Userinfo,
    #[error("a fragment (#) is never sent to the app")]
    Fragment,
    #[error("a query (?) has no meaning here: paths are appended to the URL")]
    Query,
    #[error("{reason}")]
    NotATemplate { reason: TemplateError },

    // What a plugin may reach.
    #[error("no plugin can be let out to this URL: {reason}")]
    NotReachable { reason: OriginError },
    #[error("the origin {origin} is there twice; the first one is on line {first}")]
    RepeatedOrigin { origin: Origin, first: usize },
    #[error("\"{text}\" is not a method that a plugin can use")]
    NotAMethod { text: String },
    #[error("the key has no effect without TLS, and the URL is http")]
    WithoutTls,
    #[error("the authorization would travel in the clear to {host}")]
    SecretInTheClear { host: String },
    #[error("only one of env and file can be used")]
    SeveralSecrets,
    #[error("there is neither env nor file to take the secret from")]
    NoSecret,
    #[error("the environment variable {name} is not set, or not UTF-8")]
    NotInEnvironment { name: String },
    #[error("{fault}")]
    Secret { fault: SecretFault },
    #[error("the plugin has this setting from the server")]
    SettingOfTheHost,
    #[error(
        "the name of a setting has a-z, 0-9 and _, begins with a letter, and has at most {most} bytes"
    )]
    NotASettingName { most: usize },
    #[error("there are more than {most} settings")]
    TooManySettings { most: usize },
    #[error("the value of a setting has at most {most} bytes")]
    LongSetting { most: usize },
    #[error("the client certificate: {concern}")]
    ClientCertificate { concern: CertificateConcern },
}

/// How to make a token; said wherever one is missing or too short.
const MAKE_A_TOKEN: &str = "make one with `openssl rand -hex 32`";

impl Problem {
    /// What the operator can do, if there is more to say than the problem itself.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey {
                nearest: Some(nearest),
                ..
            } => format!("did you mean `{nearest}`?"),
            Self::UnknownKey {
                elsewhere: Some(elsewhere),
                ..
            } => format!("there is `{elsewhere}`"),
            Self::UnknownKey { known, .. } => format!("the keys here are {}", known.join(", ")),
            Self::Missing { example } => format!("add `{example}`"),
            Self::MoreThanAllowed { bound_key, .. } => format!("lower it, or raise {bound_key}"),
            Self::FewHandleCalls { .. } => {
                "raise it, or lower limits.refresh.requests or running_jobs".into()
            }
            Self::ManyRequests { .. } => {
                "lower it or running_jobs, or raise limits.plugin.handle_calls".into()
            }
            Self::LessThanNeeded { key, .. } => format!("raise it, or lower {key} here"),
            Self::NotAnAddress { .. } => "write for example \"127.0.0.1:5222\" or \"[::1]:5222\"".into(),
            Self::NotAUrl { .. } => "write for example \"http://127.0.0.1:8080/auth\"".into(),
            Self::NotOneOf { text, accepted } => {
                let nearest = nearest(text, accepted.iter().copied())?;
                format!("did you mean \"{nearest}\"?")
            }
            Self::NotAFilter => "write for example \"info\" or \"warn,muster_server=debug\"".into(),
            Self::ReadableByAll { path, .. } => format!("chmod 600 {}", path.display()),
            Self::TlsWithoutCertificate { domain } => format!(
                "{}; without TLS only loopback is served: require_tls = false",
                make_a_certificate(domain)
            ),
            Self::ListenerWithoutCertificate { domain, .. } => make_a_certificate(domain),
            Self::Certificate(CertificateError::Mismatch { .. }) => {
                "the key must be the one that the certificate was asked for with, and the host's own certificate must come first in its file".into()
            }
            Self::CertificateConcern {
                concern: CertificateConcern::NotCovered,
                domain,
            } => format!("the certificate needs {domain} among its subject alternative names"),
            Self::PlaintextBeyondLoopback { address } => {
                format!("listen on \"127.0.0.1:{}\" instead", address.port())
            }
            Self::PlainWebBeyondLoopback { .. } => {
                "set web.listen to a loopback address, or websocket = false and bosh = false; with require_tls = true, streams must be under TLS or come from a trusted proxy that says so".into()
            }
            Self::NotAnOrigin { origin, .. } => {
                format!("an origin is a scheme, a host and perhaps a port: \"{origin}\"")
            }
            Self::NotANetwork { .. } => "write for example \"10.0.0.0/8\" or \"127.0.0.1\"".into(),
            Self::NoToken => format!(
                "{MAKE_A_TOKEN} and put it into tokens or into the token_file; for development on \
                 loopback, allow_unauthenticated = true does without"
            ),
            Self::NoTokenInFile { .. } => format!("one token a line; {MAKE_A_TOKEN}"),
            Self::TokenCharacters | Self::ShortToken { .. } => MAKE_A_TOKEN.into(),
            Self::UnauthenticatedBeyondLoopback { .. } => {
                format!("set allow_unauthenticated = false and a token; {MAKE_A_TOKEN}")
            }
            Self::NoVirtualHost => "add a section [[virtual_host]] with domain = \"example.test\"".into(),
            Self::NoUsers => {
                "write users = { john = \"…\" }, or make a users_file with `muster user add`".into()
            }
            Self::NoTokenKey => {
                "write key_file = \"…\" with algorithm = \"HS256\", or jwks_file = \"…\"".into()
            }
            Self::AlgorithmOfSet => "remove it".into(),
            Self::TokenKey { fault } => fault.remedy()?.into(),
            Self::AnyBeyondLoopback { .. } => "use kind = \"static\" or kind = \"http\"".into(),
            Self::PasswordsInTheClear { .. } => {
                "use https or a loopback address; on a network that you trust, set allow_plain_http = true".into()
            }
            Self::SecretInTheClear { .. } => {
                "use https; on a network that you trust, set allow_plain_http = true for this origin".into()
            }
            Self::SettingOfTheHost => {
                "give it another name; this one follows from the virtual host and the limits".into()
            }
            Self::NoSecret => "write authorization = { env = \"APP_TOKEN\" } or { file = \"app.token\" }".into(),
            Self::NotInEnvironment { .. } => {
                "set it where the server is started, or write file = \"…\"".into()
            }
            Self::NotAMethod { .. } => "write for example \"GET\" or \"POST\"".into(),
            Self::NotATemplate { .. } => {
                "write for example \"https://app.example.com/contacts/%s\"".into()
            }
            _ => return None,
        })
    }
}

/// For development; the directory is that of the configuration.
fn make_a_certificate(domain: &str) -> String {
    format!(
        "add certificate = \"…\" and key = \"…\" to [virtual_host.tls]; `muster cert self-signed {domain}` makes a pair for development"
    )
}

fn one_of(accepted: &[&str]) -> String {
    let quoted: Vec<_> = accepted.iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(", ")
}

/// The candidate that `word` is most likely a misspelling of: at most a third of its characters
/// (and at least one) may differ.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let tolerated = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance (Levenshtein): insertions, deletions and replacements of a character.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// What is known about a place before the text is at hand to count lines.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) span: Range<usize>,
}

impl Place {
    pub(super) fn fault(
        &self,
        text: &str,
        file: &Path,
        problem: Problem,
        severity: Severity,
    ) -> Fault {
        Fault {
            file: file.to_owned(),
            position: Position::of(self.span.start, text),
            key: self.key.clone(),
            problem,
            severity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("listen", "listn", 1),
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_is_a_plausible_misspelling_or_nothing() {
        let keys = ["listen", "require_tls"];
        assert_eq!(nearest("listne", keys), Some("listen"));
        assert_eq!(nearest("requiretls", keys), Some("require_tls"));
        assert_eq!(nearest("banana", keys), None);
    }

    #[test]
    fn positions_count_characters_from_one() {
        let text = "a\nüb = 1";
        assert_eq!(Position::of(0, text), Position { line: 1, column: 1 });
        assert_eq!(Position::of(4, text), Position { line: 2, column: 2 });
        assert_eq!(Position::of(99, text), Position { line: 2, column: 7 });
    }
}
