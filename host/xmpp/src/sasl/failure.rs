//! The conditions of `<failure/>` (RFC 6120 §6.5).
//!
//! Owns their names; not which fault leads to which: the errors of the
//! mechanisms say so. From the mechanisms and the session to the encoder.

/// Why authentication failed, as the client is told. Reach: the attempt; the
/// stream stays open for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.name())]
pub enum Failure {
    /// The client sent `<abort/>` (§6.5.1).
    Aborted,
    /// The account exists but may not log in (§6.5.2).
    AccountDisabled,
    /// The password is too old (§6.5.3).
    CredentialsExpired,
    /// This mechanism needs TLS first (§6.5.4).
    EncryptionRequired,
    /// Not base64 (§6.5.5).
    IncorrectEncoding,
    /// Another account was asked for, or a malformed one (§6.5.6).
    InvalidAuthzid,
    /// No such mechanism (§6.5.7).
    InvalidMechanism,
    /// Not a message of the mechanism (§6.5.8).
    MalformedRequest,
    /// The mechanism is weaker than what the account allows (§6.5.9).
    MechanismTooWeak,
    /// Wrong credentials, or no such account: the client cannot tell which
    /// (§6.5.10).
    NotAuthorized,
    /// The credentials could not be checked now; it says nothing about them
    /// (§6.5.11).
    TemporaryAuthFailure,
}

impl Failure {
    /// The name of the condition's element in
    /// `urn:ietf:params:xml:ns:xmpp-sasl`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}
