//! The built-in plugin: glue between wasi:http and the contract with the app.
