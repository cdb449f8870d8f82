//! Tokens: those of the RFCs, those of an app, and what is made to look like one.

mod claims;
mod signer;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::ring::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use muster_xmpp::DomainPart;
use serde_json::json;

use self::signer::{N, Signer};
use super::*;
use crate::config::{KeySource, TokenAlgorithm};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

fn config(keys: TokenKeys) -> JwtAuth {
    JwtAuth {
        keys,
        source: KeySource::Inline,
        username_claim: "sub".to_owned(),
        issuer: None,
        audience: None,
        leeway: Duration::from_secs(30),
    }
}

fn by_secret() -> JwtAuth {
    config(TokenKeys::parse_key(TokenAlgorithm::Hs256, SECRET).unwrap())
}

fn by_set(keys: &[Value]) -> JwtAuth {
    config(TokenKeys::parse_set(&json!({ "keys": keys }).to_string()).unwrap())
}

/// Whose token it is on example.test.
fn account(config: &JwtAuth, token: &str) -> Result<String, TokenFault> {
    let domain = DomainPart::new("example.test").unwrap();
    let tokens = TokenAuthenticator::new(config.clone(), 4_096);
    let account = tokens.account(&domain, token)?;
    Ok(account.to_string())
}

fn hs256() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

/// A token of the app with these claims.
fn signed(claims: &Value) -> String {
    Signer::Secret(SECRET).token(&hs256(), claims)
}

#[test]
fn every_algorithm_verifies_what_its_key_signed() {
    let claims = json!({"sub": "john", "exp": now() + 60});
    for (signer, algorithm) in [
        (Signer::Secret(SECRET), "HS256"),
        (Signer::ed(), "EdDSA"),
        (Signer::ec(), "ES256"),
        (Signer::rsa(), "RS256"),
    ] {
        let token = signer.token(&json!({"alg": algorithm, "kid": "a"}), &claims);
        let config = by_set(&[signer.jwk("a")]);
        assert_eq!(account(&config, &token).as_deref(), Ok("john@example.test"));
        // One bit of any part.
        for part in 0..3 {
            let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
            let bent = BASE64.decode(&parts[part]).unwrap();
            let bent = [
                &bent[..bent.len() - 3],
                &[bent[bent.len() - 3] ^ 1],
                &bent[bent.len() - 2..],
            ];
            parts[part] = BASE64.encode(bent.concat());
            assert!(
                account(&config, &parts.join(".")).is_err(),
                "{algorithm} {part}"
            );
        }
    }
}

/// RFC 7515 §A.1 to §A.3: what expired in 2011 is told apart from what was not
/// signed so, which shows that the signatures verify.
#[test]
fn the_vectors_of_the_rfc() {
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let secret = json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"});
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let rsa = json!({"kty": "RSA", "n": N, "e": "AQAB"});
    for (key, header, signature) in [
        (
            secret,
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            rsa,
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            ec,
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
        let config = by_set(&[key]);
        let token = format!("{header}.{claims}.{signature}");
        assert_eq!(account(&config, &token), Err(TokenFault::Expired));
        let bent = format!("{header}.{claims}.A{}", &signature[1..]);
        assert_eq!(account(&config, &bent), Err(TokenFault::Signature));
    }
}

/// What a key is for is decided here, not by the token.
#[test]
fn a_token_cannot_choose_its_algorithm() {
    let claims = json!({"sub": "john", "exp": now() + 60});
    let ed = Signer::ed();
    let Signer::Ed(pair) = &ed else {
        unreachable!()
    };
    // The public key as the secret: known to everybody.
    let public: &'static str = BASE64.encode(pair.public_key()).leak();
    let config = by_set(&[ed.jwk("a")]);
    for header in [
        json!({"alg": "HS256", "kid": "a"}),
        json!({"alg": "HS384"}),
        json!({"alg": "RS256"}),
        json!({"alg": "ES256"}),
    ] {
        let token = Signer::Secret(public).token(&header, &claims);
        assert_eq!(
            account(&config, &token),
            Err(TokenFault::Algorithm),
            "{header}"
        );
    }
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": ""}),
        json!({"alg": null}),
        json!({}),
        json!([]),
    ] {
        let token = Signer::Nobody.token(&header, &claims);
        for config in [&config, &by_secret()] {
            assert_eq!(
                account(config, &token),
                Err(TokenFault::Malformed),
                "{header}"
            );
        }
    }
    // No signature, and the right algorithm.
    let token = Signer::Nobody.token(&hs256(), &claims);
    assert_eq!(account(&by_secret(), &token), Err(TokenFault::Signature));
    // A key that comes along is not to be trusted.
    let header = json!({"alg": "EdDSA", "jwk": Signer::ed().jwk("a")});
    let token = Signer::ed().token(&header, &claims);
    assert_eq!(account(&config, &token), Err(TokenFault::Signature));
    let header = json!({"alg": "EdDSA", "kid": "a", "crit": ["exp"]});
    assert_eq!(
        account(&config, &ed.token(&header, &claims)),
        Err(TokenFault::Critical)
    );
}

#[test]
fn the_name_of_a_key_chooses_it() {
    let (one, other) = (Signer::ed(), Signer::ec());
    let config = by_set(&[one.jwk("one"), other.jwk("other")]);
    let claims = json!({"sub": "john", "exp": now() + 60});
    let verdict = |signer: &Signer, header: Value| {
        account(&config, &signer.token(&header, &claims)).map(drop)
    };
    assert_eq!(verdict(&one, json!({"alg": "EdDSA", "kid": "one"})), Ok(()));
    assert_eq!(
        verdict(&other, json!({"alg": "ES256", "kid": "other"})),
        Ok(())
    );
    assert_eq!(
        verdict(&one, json!({"alg": "EdDSA", "kid": "other"})),
        Err(TokenFault::Algorithm)
    );
    for header in [
        json!({"alg": "EdDSA", "kid": "none"}),
        json!({"alg": "EdDSA"}),
    ] {
        assert_eq!(verdict(&one, header), Err(TokenFault::UnknownKey));
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let config = by_secret();
    let good = signed(&json!({"sub": "john", "exp": now() + 60}));
    assert!(account(&config, &good).is_ok());
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "secret".to_owned(),
        format!("{good}."),
        format!("{good}.{good}"),
        format!("{good}="),
        format!(" {good}"),
        good.replacen('.', "", 1),
        good.replacen('.', "..", 1),
    ] {
        assert!(account(&config, &token).is_err(), "{token}");
    }
    let deep = format!("{{\"exp\":{},\"sub\":{}7", now() + 60, "[".repeat(3_000));
    let message = format!(
        "{}.{}",
        BASE64.encode(hs256().to_string()),
        BASE64.encode(deep)
    );
    let signature = BASE64.encode(Signer::Secret(SECRET).sign(message.as_bytes()));
    let verdict = account(&config, &format!("{message}.{signature}"));
    assert_eq!(verdict, Err(TokenFault::Malformed));
}

#[test]
fn a_password_is_a_token_of_the_same_user() {
    let tokens = TokenAuthenticator::new(by_secret(), 4_096);
    let token = signed(&json!({"sub": "john", "exp": now() + 60}));
    let verdict = |user: &str, password: &str| {
        let account = BareJid::new(&format!("{user}@example.test")).unwrap();
        tokens.verify(&account, &password.into())
    };
    assert_eq!(verdict("john", &token), Verdict::Accepted);
    assert_eq!(verdict("JOHN", &token), Verdict::Accepted);
    assert_eq!(verdict("marie", &token), Verdict::Rejected);
    assert_eq!(verdict("john", "secret"), Verdict::Rejected);
    let domain = DomainPart::new("example.test").unwrap();
    assert_eq!(
        tokens.verify_token(&domain, &token.into()),
        TokenVerdict::Accepted(BareJid::new("john@example.test").unwrap())
    );
    assert_eq!(
        tokens.verify_token(&domain, &"secret".into()),
        TokenVerdict::Rejected
    );
}

#[test]
fn keys_are_read_again_and_bad_ones_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let (old, new) = (Signer::ed(), Signer::ed());
    let write = |signer: &Signer| {
        std::fs::write(&path, json!({"keys": [signer.jwk("a")]}).to_string()).unwrap();
    };
    write(&old);
    let source = KeySource::Set { path: path.clone() };
    let keys = source.load().unwrap().unwrap();
    let tokens = TokenAuthenticator::new(
        JwtAuth {
            source,
            ..config(keys)
        },
        4_096,
    );
    let domain = DomainPart::new("example.test").unwrap();
    let claims = json!({"sub": "john", "exp": now() + 60});
    let good = |signer: &Signer| {
        let token = signer.token(&json!({"alg": "EdDSA", "kid": "a"}), &claims);
        tokens.account(&domain, &token).is_ok()
    };
    assert!(good(&old) && !good(&new));
    write(&new);
    assert!(good(&old), "nobody asked for it yet");
    assert_eq!(tokens.reload(), Ok(()));
    assert!(!good(&old) && good(&new));
    std::fs::write(&path, "{}").unwrap();
    assert_eq!(tokens.reload(), Err(KeyFault::NotASet));
    assert!(good(&new));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(tokens.reload(), Err(KeyFault::Unreadable { .. })));
    assert!(good(&new));
    let inline = TokenAuthenticator::new(by_secret(), 4_096);
    assert_eq!(inline.reload(), Ok(()));
}
