//! Why a command failed, in words and as an exit code (`sysexits.h`).

use std::error::Error;
use std::path::PathBuf;

use muster_kit::bench::BenchError;
use muster_kit::fixture::FixtureError;
use muster_kit::replay::ReplayError;
use muster_kit::scaffold::ScaffoldError;
use muster_plugin::KeyError;
use muster_plugin::LoadError as PluginError;
use muster_xmpp::sasl::CredentialsError;

use super::remote::RequestError;
use crate::StartError;
use crate::config::LoadError;
use crate::config::users_file::UsersFileError;
use crate::telemetry::otlp::TraceError;

/// It was not done, or not all of it.
const NOT_DONE: u8 = 1;
/// EX_USAGE: wrong arguments, or a configuration with faults.
pub(super) const USAGE: u8 = 64;
/// EX_DATAERR: a password, a user name, a domain, a key or a plugin that cannot be used.
const DATA: u8 = 65;
/// EX_UNAVAILABLE: the server cannot start, or cannot be reached.
const UNAVAILABLE: u8 = 69;
/// EX_TEMPFAIL: trying again later may help.
const TEMPORARY: u8 = 75;
/// EX_NOPERM: the token is missing or wrong.
const PERMISSION: u8 = 77;
/// EX_IOERR: a file cannot be read or written.
const IO: u8 = 74;

/// Why a command failed. Reach: the process.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Config(#[from] LoadError),
    #[error("the server cannot start")]
    Start(#[source] Box<StartError>),
    #[error("traces cannot be kept")]
    Traces(#[from] TraceError),
    #[error("the demo app cannot start")]
    App(#[from] muster_demo::AppError),
    #[error("there is no free port on this machine")]
    NoPort(#[source] std::io::Error),
    #[error("a temporary directory cannot be made")]
    NoDirectory(#[source] std::io::Error),
    #[error("the runtime cannot start")]
    Runtime(#[source] std::io::Error),
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    #[error("the system's random number generator failed: {0}")]
    Entropy(getrandom::Error),
    #[error(transparent)]
    UsersFile(#[from] UsersFileError),
    #[error("the plugin is refused")]
    Plugin(#[from] PluginError),
    #[error("the password cannot be read")]
    ReadPassword(#[source] std::io::Error),
    #[error("the two passwords differ")]
    PasswordsDiffer,
    #[error(transparent)]
    Password(#[from] CredentialsError),
    #[error("\"{name}\" cannot be a user name: {reason}")]
    Username { name: String, reason: jid::Error },
    #[error("\"{domain}\" cannot be a domain: {reason}")]
    Domain { domain: String, reason: jid::Error },
    #[error("no certificate can be made for this domain")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot write {}", path.display())]
    WriteFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot read user names from {}", path.display())]
    ReadNames {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot read the token file")]
    ReadToken(#[source] std::io::Error),
    #[error("cannot read the certificates in {}", path.display())]
    ReadAuthorities {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("there is no certificate in {}", path.display())]
    NoAuthority { path: PathBuf },
    #[error("a certificate of --ca-file is no authority")]
    Authority(#[source] rustls::Error),
    #[error("the token cannot be put into a request")]
    TokenCharacters,
    #[error("the URL must begin with http:// or https:// and name a host")]
    Url,
    #[error("{failed} of {all} users could not be refreshed")]
    NotRefreshed { failed: usize, all: usize },
    #[error(transparent)]
    Remote(#[from] RequestError),
    #[error("the server has no such virtual host; it has: {known}")]
    UnknownHost { known: String },
    #[error("this is no Muster, or an older one: it does not know the request")]
    OtherServer,
    #[error("{message}; try again")]
    Busy { message: String },
    #[error("the server has several virtual hosts, name one by --vhost; there are: {known}")]
    WhichHost { known: String },
    #[error("what does not fit together: {found} findings")]
    Findings { found: usize },
    #[error("nothing was found so far, and not everybody could be asked for")]
    NotAudited,
    #[error("there is no previous build to go back to")]
    NoPrevious,
    #[error(
        "the server did not take the plugin, and the one before goes on serving: {message} ({reason}); {remedy}"
    )]
    NotTaken {
        message: String,
        reason: String,
        remedy: String,
    },
    #[error("it was not done: {message}")]
    NotDone { message: String },
    #[error("cannot read the key {}", path.display())]
    ReadKey {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is no key", path.display())]
    Key { path: PathBuf, source: KeyError },
    #[error("the key cannot be used")]
    KeyWork(#[from] KeyError),
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    #[error("cannot read the recording {}", path.display())]
    ReadRecording {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is no recording", path.display())]
    Recording {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("nothing was replayed")]
    Replay(#[source] ReplayError),
    #[error("with this build something would be otherwise")]
    WouldChange,
    #[error("nothing was measured")]
    Bench(#[source] BenchError),
    #[error("no plugin was begun")]
    Scaffold(#[from] ScaffoldError),
    #[error("{failed} of {all} cases failed")]
    CasesFailed { failed: usize, all: usize },
    #[error("no case has such a name, so nothing was tried")]
    NoCases,
}

impl Failure {
    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        if let Some(PluginError::Unreadable { .. }) = self.refused() {
            return IO;
        }
        match self {
            Self::Config(LoadError::Faults(_))
            | Self::TokenCharacters
            | Self::Url
            | Self::WhichHost { .. }
            | Self::NoCases
            | Self::UnknownHost { .. } => USAGE,
            Self::Fixture(FixtureError::Read { .. }) => IO,
            Self::Fixture(_) | Self::Bench(BenchError::NoCase) => USAGE,
            Self::Bench(_) => NOT_DONE,
            Self::Remote(RequestError::Unauthorized) => PERMISSION,
            Self::Remote(error) if error.is_temporary() => TEMPORARY,
            Self::Busy { .. } | Self::NotAudited => TEMPORARY,
            Self::PasswordsDiffer
            | Self::Authority(_)
            | Self::NoAuthority { .. }
            | Self::Password(_)
            | Self::Username { .. }
            | Self::Domain { .. }
            | Self::Key { .. }
            | Self::Recording { .. }
            | Self::Replay(_)
            | Self::KeyWork(_)
            | Self::NotTaken { .. }
            | Self::Certificate(_) => DATA,
            Self::Config(LoadError::Unreadable { .. })
            | Self::NoDirectory(_)
            | Self::UsersFile(_)
            | Self::ReadPassword(_)
            | Self::ReadToken(_)
            | Self::ReadKey { .. }
            | Self::ReadNames { .. }
            | Self::ReadAuthorities { .. }
            | Self::Scaffold(_)
            | Self::ReadRecording { .. }
            | Self::WriteFile { .. } => IO,
            Self::Plugin(_) => DATA,
            Self::Start(_)
            | Self::Traces(_)
            | Self::App(_)
            | Self::NoPort(_)
            | Self::Runtime(_)
            | Self::Signals(_)
            | Self::Entropy(_)
            | Self::Remote(_)
            | Self::OtherServer
            | Self::NotDone { .. } => UNAVAILABLE,
            Self::NotRefreshed { .. }
            | Self::Findings { .. }
            | Self::NoPrevious
            | Self::CasesFailed { .. }
            | Self::WouldChange => NOT_DONE,
        }
    }

    /// The whole chain of causes in one line; faults of a configuration each in theirs.
    pub(super) fn told(&self) -> String {
        if let Self::Config(LoadError::Faults(faults)) = self {
            return faults.to_string();
        }
        let mut told = format!("muster: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            told.push_str(": ");
            told.push_str(&error.to_string());
            cause = error.source();
        }
        if let Some(refused) = self.refused() {
            told.push_str("; ");
            told.push_str(refused.remedy());
        }
        told
    }

    /// Why a plugin was not loaded, if that is what failed.
    fn refused(&self) -> Option<&PluginError> {
        match self {
            Self::Plugin(refused) => Some(refused),
            Self::Start(start) => match &**start {
                StartError::LoadPlugin { source, .. } => Some(source),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Load(refused) => Self::Plugin(refused),
            other => Self::Bench(other),
        }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Load(refused) => Self::Plugin(refused),
            other => Self::Replay(other),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Start(Box::new(error))
    }
}
