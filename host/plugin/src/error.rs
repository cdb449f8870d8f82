//! Why a component was not loaded. The reach of every variant is the whole
//! load: whatever served before goes on serving.

/// Why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
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
    /// It imports something that exists, with another type.
    #[error("an import of the component has another type: {0:#}")]
    MismatchedImport(#[source] wasmtime::Error),
    /// It lacks an export of the contract.
    #[error("the component does not export `{name}`")]
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
    /// The engine that the component would run in cannot start.
    #[error("the WebAssembly engine cannot start")]
    Engine(#[source] crate::EngineError),
    /// The TLS client for requests to the app cannot be configured.
    #[error("TLS cannot be configured: {0}")]
    Tls(#[source] rustls::Error),
}
