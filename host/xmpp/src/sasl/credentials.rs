//! What the server keeps of a password: SCRAM's stored and server keys.
//!
//! Owns how they are made, compared and written to a users file; not where
//! that file is. Salts are passed in. From the operator's `muster user add`
//! and the configuration to the SCRAM exchange.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stringprep::saslprep;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::crypto::{ScramKind, Secret};

/// Iterations for new credentials of both kinds.
///
/// More than the 4,096 that RFC 5802 §5.1 and RFC 7677 §4 ask for at least,
/// and what other XMPP servers use today. A login costs the *client* this many
/// HMACs, and the server none, since it keeps the keys; PLAIN costs the server
/// as many.
pub const DEFAULT_ITERATIONS: u32 = 10_000;
/// Fewest iterations of stored credentials (RFC 7677 §4).
pub const MIN_ITERATIONS: u32 = 4_096;
/// Most iterations of stored credentials: about a second for a slow client.
pub const MAX_ITERATIONS: u32 = 1_000_000;
/// The length of a new salt, in bytes.
pub const SALT_BYTES: usize = 16;
/// Longest salt of stored credentials, in bytes.
const MAX_SALT_BYTES: usize = 64;
/// Longest password, in bytes of UTF-8.
pub const MAX_PASSWORD_BYTES: usize = 1_024;

/// An account's credentials for one SCRAM mechanism (RFC 5803).
///
/// `Debug` shows neither salt nor keys; the keys are wiped on drop. The stored
/// form is for the users file alone: whoever reads it can guess offline.
#[derive(Clone)]
pub struct ScramCredentials {
    kind: ScramKind,
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: Secret,
    server_key: Secret,
    /// False for an account that does not exist: nothing verifies.
    genuine: bool,
}

/// What a client can tell of an account's credentials before it has proved
/// anything, its salt apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScramParameters {
    iterations: u32,
    salt_bytes: usize,
}

impl Default for ScramParameters {
    /// Those of new credentials.
    fn default() -> Self {
        Self {
            iterations: DEFAULT_ITERATIONS,
            salt_bytes: SALT_BYTES,
        }
    }
}

/// Why credentials cannot be made or read. Reach: the account. It never quotes
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The password is empty, before or after preparation.
    #[error("the password is empty")]
    PasswordEmpty,
    /// The password is longer than 1,024 bytes.
    #[error("the password is longer than {MAX_PASSWORD_BYTES} bytes")]
    PasswordTooLong,
    /// SASLprep (RFC 4013) forbids one of the password's characters.
    #[error("the password has a character that SASLprep (RFC 4013) forbids")]
    PasswordCharacters,
    /// Fewer than 4,096 iterations, or more than 1,000,000.
    #[error("iterations are not between {MIN_ITERATIONS} and {MAX_ITERATIONS}")]
    Iterations,
    /// The salt is empty or longer than 64 bytes.
    #[error("the salt is not between 1 and {MAX_SALT_BYTES} bytes")]
    Salt,
    /// The text is not `MECHANISM$iterations:salt$stored-key:server-key`.
    #[error("not of the form MECHANISM$iterations:salt$stored-key:server-key")]
    Form,
    /// The mechanism is neither SCRAM-SHA-1 nor SCRAM-SHA-256.
    #[error("the mechanism is neither SCRAM-SHA-1 nor SCRAM-SHA-256")]
    Mechanism,
    /// A field is not base64, or a key is not as long as a digest.
    #[error("a salt or a key is not base64, or a key has the wrong length")]
    Key,
    /// An account's record lacks one of the two mechanisms or repeats one.
    #[error("an account needs one record for SCRAM-SHA-1 and one for SCRAM-SHA-256")]
    Incomplete,
}

impl ScramCredentials {
    /// Derives the keys of `password` (RFC 5802 §3). Costs `iterations` HMACs,
    /// some milliseconds: not for an executor's thread.
    ///
    /// # Errors
    ///
    /// The password is refused by length or SASLprep, or a parameter is out of
    /// its bounds.
    pub fn from_password(
        kind: ScramKind,
        password: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, CredentialsError> {
        let password = prepare(password)?;
        check_parameters(salt, iterations)?;
        let salted = kind.hi(password.as_bytes(), salt, iterations);
        Ok(Self {
            kind,
            iterations,
            salt: salt.into(),
            stored_key: kind.hash(&kind.hmac(&salted, &[b"Client Key"])),
            server_key: kind.hmac(&salted, &[b"Server Key"]),
            genuine: true,
        })
    }

    /// What an account that does not exist answers with: the same salt at
    /// every attempt, as a real one, and keys that verify nothing.
    ///
    /// `secret` stays the same for as long as accounts should look the same,
    /// and `parameters` are what a real account could have. `account` is the
    /// prepared localpart or bare JID.
    pub fn for_unknown(
        kind: ScramKind,
        secret: &[u8; 32],
        account: &str,
        parameters: ScramParameters,
    ) -> Self {
        // The purpose is the first part, so that no account name reaches the
        // input of another purpose.
        let derive = |purpose: &[u8]| {
            let parts = [purpose, kind.name().as_bytes(), b"\0", account.as_bytes()];
            ScramKind::Sha256.hmac(secret, &parts)
        };
        let cut = |bytes: Secret| {
            Zeroizing::new(bytes.iter().copied().take(kind.digest_bytes()).collect())
        };
        let salt = [derive(b"salt\0"), derive(b"more salt\0")];
        let salt = salt.iter().flat_map(|part| part.iter().copied());
        Self {
            kind,
            iterations: parameters.iterations,
            salt: salt.take(parameters.salt_bytes).collect(),
            stored_key: cut(derive(b"stored key\0")),
            server_key: cut(derive(b"server key\0")),
            genuine: false,
        }
    }

    /// Whether `password` belongs to these credentials. Costs as much as
    /// making them, for a wrong password and an unknown account alike; the
    /// comparison takes constant time.
    pub fn verify_plain(&self, password: &str) -> bool {
        // A password that cannot be prepared was never stored. It is derived
        // all the same, so that the answer takes as long.
        let (password, sound) = match prepare(password) {
            Ok(prepared) => (prepared, true),
            Err(_) => (Zeroizing::new("-".to_owned()), false),
        };
        let salted = self
            .kind
            .hi(password.as_bytes(), &self.salt, self.iterations);
        let client_key = self.kind.hmac(&salted, &[b"Client Key"]);
        let genuine = Choice::from(u8::from(sound)) & self.matches_client_key(&client_key);
        genuine.into()
    }

    /// Which mechanism they are for.
    pub fn kind(&self) -> ScramKind {
        self.kind
    }

    /// How often the hash is iterated.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// What a client can tell of them before it has proved anything.
    pub fn parameters(&self) -> ScramParameters {
        ScramParameters {
            iterations: self.iterations,
            salt_bytes: self.salt.len(),
        }
    }

    /// The salt, which every client that asks is told.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The record for a users file, which [`FromStr`] reads again:
    /// `SCRAM-SHA-256$10000:<salt>$<stored key>:<server key>`, in base64 (the
    /// form of RFC 5803 §3). Not `Display`, so that no log gets it by mistake.
    pub fn to_record(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{}${}:{}${}:{}",
            self.kind.name(),
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key.as_slice()),
            STANDARD.encode(self.server_key.as_slice()),
        ))
    }

    /// `H(client_key) = StoredKey`, in constant time; never for an account
    /// that does not exist.
    pub(super) fn matches_client_key(&self, client_key: &[u8]) -> Choice {
        let hashed = self.kind.hash(client_key);
        hashed.ct_eq(&self.stored_key) & Choice::from(u8::from(self.genuine))
    }

    /// `HMAC(StoredKey, message)`.
    pub(super) fn client_signature(&self, message: &[&[u8]]) -> Secret {
        self.kind.hmac(&self.stored_key, message)
    }

    /// `HMAC(ServerKey, message)`.
    pub(super) fn server_signature(&self, message: &[&[u8]]) -> Secret {
        self.kind.hmac(&self.server_key, message)
    }
}

impl FromStr for ScramCredentials {
    type Err = CredentialsError;

    fn from_str(record: &str) -> Result<Self, CredentialsError> {
        let mut fields = record.split('$');
        let (Some(mechanism), Some(parameters), Some(keys), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(CredentialsError::Form);
        };
        let (iterations, salt) = parameters.split_once(':').ok_or(CredentialsError::Form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(CredentialsError::Form)?;

        let kind = [ScramKind::Sha1, ScramKind::Sha256]
            .into_iter()
            .find(|kind| kind.name() == mechanism)
            .ok_or(CredentialsError::Mechanism)?;
        let iterations = iterations
            .parse()
            .map_err(|_| CredentialsError::Iterations)?;
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| CredentialsError::Key);
        let key = |text: &str| match bytes(text).map(Zeroizing::new)? {
            key if key.len() == kind.digest_bytes() => Ok(key),
            _ => Err(CredentialsError::Key),
        };
        let salt = bytes(salt)?;
        check_parameters(&salt, iterations)?;
        Ok(Self {
            kind,
            iterations,
            salt: salt.into(),
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
            genuine: true,
        })
    }
}

impl fmt::Debug for ScramCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredentials")
            .field("kind", &self.kind)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// SASLprep as for a stored string: unassigned code points are refused, since
/// a later Unicode may map them (RFC 3454 §7).
fn prepare(password: &str) -> Result<Zeroizing<String>, CredentialsError> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(CredentialsError::PasswordTooLong);
    }
    let prepared = saslprep(password).map_err(|_| CredentialsError::PasswordCharacters)?;
    if prepared.is_empty() {
        return Err(CredentialsError::PasswordEmpty);
    }
    Ok(Zeroizing::new(prepared.into_owned()))
}

fn check_parameters(salt: &[u8], iterations: u32) -> Result<(), CredentialsError> {
    if !(1..=MAX_SALT_BYTES).contains(&salt.len()) {
        return Err(CredentialsError::Salt);
    }
    if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
        return Err(CredentialsError::Iterations);
    }
    Ok(())
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
