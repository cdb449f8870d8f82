//! Why a component was not loaded. The reach of every variant is the whole
//! load: whatever served before goes on serving.

use std::path::PathBuf;
use std::time::Duration;

use crate::inspect::Digest;
use crate::roster::{FetchError, PluginFault};
use crate::signature::KeyError;

/// Why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file, or its signature, cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("the component is empty (0 bytes)")]
    Empty,
    /// The file is larger than [`crate::Limits::component_bytes`].
    #[error("the component has {bytes} bytes, more than the {limit} that are allowed")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file is not the one that the operator has named by its digest.
    #[error("the component's SHA-256 digest is {found}, and the configuration wants {expected}")]
    Digest {
        /// The digest that is wanted.
        expected: Digest,
        /// That of the file.
        found: Digest,
    },
    /// A signature is wanted, and there is none.
    #[error("the component has no readable signature beside it")]
    Unsigned,
    /// The file beside the component is no signature.
    #[error("the component's signature file {0}")]
    SignatureFormat(#[source] KeyError),
    /// None of the trusted keys has signed these bytes.
    #[error("the component's signature is by none of the trusted keys")]
    Untrusted,
    /// The file does not start as WebAssembly does.
    #[error("not WebAssembly")]
    NotWasm,
    /// A core module, where a component is needed.
    #[error("a core WebAssembly module, not a component; build it for wasm32-wasip2")]
    CoreModule,
    /// It starts as a component does, and does not go on as one.
    #[error("the component is malformed: {0}")]
    Malformed(#[source] wasmparser::BinaryReaderError),
    /// It speaks a version of the contract that this host does not.
    #[error(
        "the component speaks muster:roster {found}; this version of Muster speaks {supported}"
    )]
    Contract {
        /// The version that it exports.
        found: String,
        /// The versions that the host speaks.
        supported: String,
    },
    /// The component uses a proposal that is off, or the engine
    /// cannot compile it.
    #[error("the component cannot be compiled: {0:#}")]
    Compile(#[source] wasmtime::Error),
    /// It imports what no plugin gets.
    #[error("the component imports `{name}`, which plugins do not get")]
    DeniedImport {
        /// The import's full name.
        name: String,
    },
    /// It imports files or sockets, which are there only as stubs that refuse
    /// everything, and only on request.
    #[error(
        "the component imports `{name}`, which plugins get only as a stub that refuses everything, with deny_all_stubs = true in [virtual_host.plugin]"
    )]
    StubbedImport {
        /// The import's full name.
        name: String,
    },
    /// It imports something that exists, with another type.
    #[error("an import of the component has another type: {0:#}")]
    MismatchedImport(#[source] wasmtime::Error),
    /// It exports nothing that the host could ask.
    #[error(
        "the component is no plugin of any kind: it exports {found}, and neither `muster:roster/roster` (the typed contract) nor `wasi:http/handler@0.3` nor `wasi:http/incoming-handler@0.2` (any HTTP handler)"
    )]
    Unaskable {
        /// What it exports instead, the first few of it.
        found: String,
    },
    /// It lacks an export of the contract.
    #[error("the component does not export `{name}`, which the typed contract wants as well")]
    MissingExport {
        /// The export's full name.
        name: &'static str,
    },
    /// It has all exports of the contract, but one with another type.
    #[error("an export of the component has another type: {0:#}")]
    MismatchedExport(#[source] wasmtime::Error),
    /// It compiled, but its first instance failed.
    #[error("the component cannot be instantiated: {0:#}")]
    Instantiate(#[source] wasmtime::Error),
    /// Its first instance took longer than [`crate::Limits::call`].
    #[error("the component did not start in time")]
    SlowStart,
    /// Its first call, for which no request left, failed.
    #[error("the component failed its self-test: {0}")]
    SelfTest(#[source] PluginFault),
    /// The contacts of the user that the operator named for it could not be had.
    #[error("the component could not fetch the contacts of the self_test_user: {0}")]
    SelfTestUser(#[source] FetchError),
    /// The engine that the component would run in cannot start.
    #[error("the WebAssembly engine cannot start")]
    Engine(#[source] crate::EngineError),
    /// The TLS client for requests to the app cannot be configured.
    #[error("TLS cannot be configured: {0}")]
    Tls(#[source] rustls::Error),
    /// Compiling took longer than [`crate::Limits::compile`].
    #[error("the component took longer than {0:?} to compile")]
    CompileTimeout(Duration),
    /// Compiling took more memory than [`crate::Limits::compile_memory_bytes`].
    #[error("the component took more than {0} bytes of memory to compile")]
    CompileMemory(usize),
    /// The process that compiles could not be run, or did not end as it should.
    #[error("the compiler could not be run: {0}")]
    Compiler(#[source] CompilerError),
    /// The plugin is being shut down.
    #[error("the plugin is shutting down")]
    Stopped,
}

/// Why the process that compiles gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CompilerError {
    /// It did not start, or the pipes to it broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It died. The text is the beginning of what it said.
    #[error("it ended with {status}: {said}")]
    Died {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said, at most 512 bytes.
        said: String,
    },
    /// What it made is not what this process can run.
    #[error("what it made cannot be used: {0:#}")]
    Artifact(#[source] wasmtime::Error),
    /// The task that waited for it ended.
    #[error("it was given up")]
    GivenUp,
}

impl LoadError {
    /// The value of the label `outcome` in metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::Digest { .. } => "digest",
            Self::Unsigned => "unsigned",
            Self::SignatureFormat(_) | Self::Untrusted => "signature",
            Self::NotWasm => "not_wasm",
            Self::CoreModule => "core_module",
            Self::Malformed(_) => "malformed",
            Self::Contract { .. } => "contract",
            Self::Compile(_) => "compile",
            Self::DeniedImport { .. } | Self::StubbedImport { .. } => "denied_import",
            Self::MismatchedImport(_) => "import_type",
            Self::Unaskable { .. } | Self::MissingExport { .. } => "missing_export",
            Self::MismatchedExport(_) => "export_type",
            Self::Instantiate(_) => "instantiate",
            Self::SlowStart => "slow_start",
            Self::SelfTest(_) => "self_test",
            Self::SelfTestUser(_) => "self_test_user",
            Self::Engine(_) => "engine",
            Self::Tls(_) => "tls",
            Self::CompileTimeout(_) => "compile_timeout",
            Self::CompileMemory(_) => "compile_memory",
            Self::Compiler(_) => "compiler",
            Self::Stopped => "stopped",
        }
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "check the path and the permissions of the file",
            Self::Empty | Self::Malformed(_) => {
                "copy the whole file under another name and rename it into place"
            }
            Self::TooLarge { .. } => {
                "build it for release and strip it, or raise limits.plugin.component_bytes"
            }
            Self::Digest { .. } => {
                "put back the file that was meant, or change sha256 in the configuration and restart"
            }
            Self::Unsigned => "sign it with `muster plugin sign` and put the .sig file beside it",
            Self::SignatureFormat(_) | Self::Untrusted => {
                "sign these very bytes with a key of trusted_keys, and put the .sig file beside them"
            }
            Self::NotWasm | Self::CoreModule => "`muster plugin inspect` tells what a file is",
            Self::Contract { .. } => "build it against a version of wit/ that this Muster speaks",
            Self::Compile(_) => "build it without proposals that Muster does not know",
            Self::DeniedImport { .. } => {
                "build it without that import; `muster plugin inspect` lists what plugins get"
            }
            Self::StubbedImport { .. } => {
                "build it without that import, or, if its language runtime imports it unused, set deny_all_stubs = true and restart"
            }
            Self::Unaskable { .. } => {
                "build it against wit/ of this version of Muster, or as an HTTP handler of WASI 0.2 or 0.3"
            }
            Self::MismatchedImport(_) | Self::MismatchedExport(_) | Self::MissingExport { .. } => {
                "build it against wit/ of this version of Muster"
            }
            Self::Instantiate(_) | Self::SlowStart | Self::SelfTest(_) => {
                "it fails before it has asked the app anything: try it with `muster plugin validate`"
            }
            Self::SelfTestUser(_) => "see whether the app answers for self_test_user, then reload",
            Self::Engine(_) | Self::Tls(_) => "see what the operating system says",
            Self::CompileTimeout(_) => {
                "look at what makes it so large, or raise limits.plugin.compile_timeout"
            }
            Self::CompileMemory(_) => {
                "look at what makes it so large, or raise limits.plugin.compile_memory_bytes"
            }
            Self::Compiler(_) => "see what the operating system says, then reload",
            Self::Stopped => "start the server",
        }
    }

    /// Whether the same file may be taken a little later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unreadable { .. }
                | Self::Compiler(CompilerError::Io(_) | CompilerError::GivenUp)
                | Self::SelfTestUser(
                    FetchError::Unavailable | FetchError::Timeout | FetchError::Status(_)
                )
        )
    }
}

/// Why there is no going back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    /// There is no earlier build: nothing was swapped, or the swap was undone.
    #[error("there is no previous build to go back to")]
    NoPrevious,
    /// The plugin is being shut down.
    #[error("the plugin is shutting down")]
    Stopped,
}
