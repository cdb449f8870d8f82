//! The machine of one client stream (RFC 6120, RFC 6121).

mod action;
mod config;

pub use action::{Action, BindRefusal, CredentialsAnswer, ResourceOrigin, Verdict};
pub use config::{Host, Secret, SessionConfig, Software};
