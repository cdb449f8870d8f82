//! `kind = "jwt"`: which tokens are good, and whose they are.
//!
//! Owns the keys of the section and the rules between them; the formats of keys are in
//! `token_keys`.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::fault::Problem;
use super::reader::{Located, Section};
use super::secret_file;
use super::token_keys::{KeyFault, KeySource, TokenAlgorithm, TokenKeys};

/// Which tokens are a login.
#[derive(Debug, Clone)]
pub struct JwtAuth {
    /// What they are signed with: `key`, `key_file` or `jwks_file`.
    pub keys: TokenKeys,
    /// Where the keys come from.
    pub source: KeySource,
    /// The claim that names the user, or the path to it, its parts separated by dots. Default
    /// `sub`.
    pub username_claim: String,
    /// What `iss` must be, if anything.
    pub issuer: Option<String>,
    /// What `aud` must be, or have among its members. Without it a token that has an audience is
    /// for somebody else (RFC 7519 §4.1.3).
    pub audience: Option<String>,
    /// How far the clocks of app and server may differ; whole seconds count. Default 30 s.
    pub leeway: Duration,
}

impl JwtAuth {
    /// The keys that belong to it.
    pub(super) const KEYS: [&'static str; 8] = [
        "algorithm",
        "key",
        "key_file",
        "jwks_file",
        "username_claim",
        "issuer",
        "audience",
        "leeway",
    ];

    /// Reads the keys of this kind; `wanted` is whether the section is of this kind, so that
    /// something is missing without them.
    pub(super) fn read(section: &mut Section<'_>, wanted: bool) -> Option<Self> {
        let algorithm = section.word("algorithm", &TokenAlgorithm::NAMES, &TokenAlgorithm::ALL);
        let keys = keys(section, algorithm, wanted);
        let username_claim = section.optional("username_claim");
        let issuer = section.optional("issuer");
        let audience = section.optional("audience");
        let leeway = section.value("leeway", Duration::from_secs(30));
        let (keys, source) = keys?;
        Some(Self {
            keys,
            source,
            username_claim: username_claim.unwrap_or_else(|| "sub".to_owned()),
            issuer,
            audience,
            leeway,
        })
    }
}

fn keys(
    section: &mut Section<'_>,
    algorithm: Option<TokenAlgorithm>,
    wanted: bool,
) -> Option<(TokenKeys, KeySource)> {
    let inline = section.located::<SecretString>("key");
    let file = section.located::<PathBuf>("key_file");
    let set = section.located::<PathBuf>("jwks_file");
    if !wanted {
        return None;
    }
    let given = ["key", "key_file", "jwks_file"].map(|key| section.has(key));
    match given {
        [false, false, false] => {
            section.error(&section.place("key"), Problem::NoTokenKey);
            return None;
        }
        [true, false, false] | [false, true, false] => {
            if !section.has("algorithm") {
                section.missing("algorithm", "algorithm = \"HS256\"");
            }
        }
        [false, false, true] => {
            if section.has("algorithm") {
                section.error(&section.place("algorithm"), Problem::AlgorithmOfSet);
            }
        }
        _ => {
            let second = section.place(if given[2] { "jwks_file" } else { "key_file" });
            section.error(&second, Problem::SeveralTokenKeys);
            return None;
        }
    }
    let (place, source, read) = if let Some(Located { value, place }) = inline {
        let read = TokenKeys::parse_key(algorithm?, value.expose_secret());
        (place, KeySource::Inline, read)
    } else if let Some(Located { place, .. }) = file {
        let algorithm = algorithm?;
        let (text, path, _) = secret_file::read(section, "key_file")?;
        let source = KeySource::Key { path, algorithm };
        (place, source, TokenKeys::parse_key(algorithm, &text))
    } else {
        let Located { value, place } = set?;
        let source = KeySource::Set {
            path: section.resolve(&value),
        };
        let read = source.load();
        let read = read.and_then(|keys| keys.ok_or(KeyFault::NothingInSet));
        (place, source, read)
    };
    match read {
        Ok(keys) => Some((keys, source)),
        Err(fault) => {
            section.error(&place, Problem::TokenKey { fault });
            None
        }
    }
}
