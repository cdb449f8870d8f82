//! The agreement with the app in JSON and URLs: pure, no I/O, no WebAssembly.
