//! All that the server keeps of one account's password.
//!
//! Owns the pair of credentials and its record; each half is in `credentials`.
//! From the users file and the configuration to the answer to a login.

use std::str::FromStr;

use zeroize::Zeroizing;

use super::credentials::{CredentialsError, SALT_BYTES, ScramCredentials, ScramParameters};
use super::crypto::ScramKind;

/// An account's credentials for every mechanism.
#[derive(Clone, Debug)]
pub struct AccountCredentials {
    /// For SCRAM-SHA-1.
    pub sha1: ScramCredentials,
    /// For SCRAM-SHA-256, and for PLAIN.
    pub sha256: ScramCredentials,
}

/// What a client can tell of an account before it has proved anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountParameters {
    /// With SCRAM-SHA-1.
    pub sha1: ScramParameters,
    /// With SCRAM-SHA-256.
    pub sha256: ScramParameters,
}

impl AccountCredentials {
    /// Derives both kinds from `password`, each with its own salt.
    ///
    /// # Errors
    ///
    /// As [`ScramCredentials::from_password`].
    pub fn from_password(
        password: &str,
        salts: [[u8; SALT_BYTES]; 2],
        iterations: u32,
    ) -> Result<Self, CredentialsError> {
        let [sha1, sha256] = salts;
        let derive = |kind, salt| ScramCredentials::from_password(kind, password, salt, iterations);
        Ok(Self {
            sha1: derive(ScramKind::Sha1, &sha1)?,
            sha256: derive(ScramKind::Sha256, &sha256)?,
        })
    }

    /// What an account that does not exist answers with, as if it had been made
    /// like one of `models`, always the same one; see
    /// [`ScramCredentials::for_unknown`]. With the parameters of all accounts
    /// as models, those that do not exist differ as much as those that do.
    pub fn for_unknown(secret: &[u8; 32], account: &str, models: &[AccountParameters]) -> Self {
        let drawn = ScramKind::Sha256.hmac(secret, &[b"model\0", account.as_bytes()]);
        let drawn = drawn.iter().take(8);
        let drawn = drawn.fold(0, |number, byte| number << 8 | u64::from(*byte));
        let model = drawn.checked_rem(models.len() as u64);
        let model = model.and_then(|index| models.get(usize::try_from(index).ok()?));
        let model = model.copied().unwrap_or_default();
        let fake =
            |kind, parameters| ScramCredentials::for_unknown(kind, secret, account, parameters);
        Self {
            sha1: fake(ScramKind::Sha1, model.sha1),
            sha256: fake(ScramKind::Sha256, model.sha256),
        }
    }

    /// What a client can tell of them before it has proved anything.
    pub fn parameters(&self) -> AccountParameters {
        AccountParameters {
            sha1: self.sha1.parameters(),
            sha256: self.sha256.parameters(),
        }
    }

    /// Those for one mechanism.
    pub fn of(&self, kind: ScramKind) -> &ScramCredentials {
        match kind {
            ScramKind::Sha1 => &self.sha1,
            ScramKind::Sha256 => &self.sha256,
        }
    }

    /// Whether `password` is the account's; see
    /// [`ScramCredentials::verify_plain`].
    pub fn verify_plain(&self, password: &str) -> bool {
        self.sha256.verify_plain(password)
    }

    /// Both records, separated by a space; [`FromStr`] reads them again.
    pub fn to_record(&self) -> Zeroizing<String> {
        let (sha256, sha1) = (self.sha256.to_record(), self.sha1.to_record());
        Zeroizing::new(format!("{} {}", *sha256, *sha1))
    }
}

impl FromStr for AccountCredentials {
    type Err = CredentialsError;

    fn from_str(record: &str) -> Result<Self, CredentialsError> {
        let (mut sha1, mut sha256) = (None, None);
        for word in record.split_ascii_whitespace() {
            let credentials = ScramCredentials::from_str(word)?;
            let place = match credentials.kind() {
                ScramKind::Sha1 => &mut sha1,
                ScramKind::Sha256 => &mut sha256,
            };
            if place.replace(credentials).is_some() {
                return Err(CredentialsError::Incomplete);
            }
        }
        match (sha1, sha256) {
            (Some(sha1), Some(sha256)) => Ok(Self { sha1, sha256 }),
            _ => Err(CredentialsError::Incomplete),
        }
    }
}
