//! Tokens: those of the RFCs, those of an app, and what is made to look like one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::ring::rand::SystemRandom;
use ::ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use ::ring::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use muster_xmpp::DomainPart;
use serde_json::json;

use super::*;
use crate::config::{KeySource, TokenAlgorithm};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What signs, on the app's side.
enum Signer {
    Secret(&'static str),
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(Arc<RsaKeyPair>),
    Nobody,
}

impl Signer {
    fn ed() -> Signer {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn ec() -> Signer {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Signer::Ec(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    /// The key of RFC 7515 §A.2.1.
    fn rsa() -> Signer {
        let part = |text| BASE64.decode(text).unwrap();
        let public_key = rsa::PublicKeyComponents {
            n: part(N),
            e: part("AQAB"),
        };
        let key = RsaKeyPair::from_components(&rsa::KeyPairComponents {
            public_key,
            d: part(D),
            p: part(P),
            q: part(Q),
            dP: part(DP),
            dQ: part(DQ),
            qInv: part(QI),
        });
        Signer::Rsa(Arc::new(key.unwrap()))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Signer::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Signer::Ed(key) => key.sign(message).as_ref().to_vec(),
            Signer::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Signer::Nobody => Vec::new(),
        }
    }

    /// A token with that header and those claims.
    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = BASE64.encode(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// The public half as a JWK.
    fn jwk(&self, id: &str) -> Value {
        match self {
            Signer::Secret(secret) => {
                json!({"kty": "oct", "kid": id, "k": BASE64.encode(secret)})
            }
            Signer::Ed(key) => {
                let x = BASE64.encode(key.public_key());
                json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": x})
            }
            Signer::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                json!({"kty": "EC", "kid": id, "crv": "P-256", "x": x, "y": y})
            }
            Signer::Rsa(_) => json!({"kty": "RSA", "kid": id, "n": N, "e": "AQAB"}),
            Signer::Nobody => json!({}),
        }
    }
}

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
fn time_counts_with_the_leeway() {
    let config = by_secret();
    for (claims, verdict) in [
        (json!({"exp": now() + 3600}), Ok(())),
        (json!({"exp": now() - 10}), Ok(())),
        (json!({"exp": now() - 60}), Err(TokenFault::Expired)),
        (json!({"exp": 0}), Err(TokenFault::Expired)),
        (json!({}), Err(TokenFault::Claim)),
        (json!({"exp": null}), Err(TokenFault::Claim)),
        (
            json!({"exp": (now() + 3600).to_string()}),
            Err(TokenFault::Claim),
        ),
        (json!({"exp": now() + 3600, "nbf": now() + 10}), Ok(())),
        (
            json!({"exp": now() + 3600, "nbf": now() + 60}),
            Err(TokenFault::NotYetValid),
        ),
        (
            json!({"exp": now() + 3600, "nbf": "0"}),
            Err(TokenFault::Claim),
        ),
    ] {
        let mut claims = claims;
        claims["sub"] = "john".into();
        assert_eq!(
            account(&config, &signed(&claims)).map(drop),
            verdict,
            "{claims}"
        );
    }
}

#[test]
fn issuer_and_audience_are_what_was_configured() {
    let strict = JwtAuth {
        issuer: Some("https://app.example.com".to_owned()),
        audience: Some("example.test".to_owned()),
        ..by_secret()
    };
    let app = "https://app.example.com";
    for (config, claims, verdict) in [
        (&strict, json!({"iss": app, "aud": "example.test"}), Ok(())),
        (
            &strict,
            json!({"iss": app, "aud": ["web", "example.test"]}),
            Ok(()),
        ),
        (
            &strict,
            json!({"iss": app, "aud": "web"}),
            Err(TokenFault::Audience),
        ),
        (
            &strict,
            json!({"iss": app, "aud": []}),
            Err(TokenFault::Audience),
        ),
        (
            &strict,
            json!({"iss": app, "aud": 7}),
            Err(TokenFault::Claim),
        ),
        (&strict, json!({"iss": app}), Err(TokenFault::Claim)),
        (
            &strict,
            json!({"iss": "https://other", "aud": "example.test"}),
            Err(TokenFault::Issuer),
        ),
        (
            &strict,
            json!({"iss": 7, "aud": "example.test"}),
            Err(TokenFault::Claim),
        ),
        (
            &strict,
            json!({"aud": "example.test"}),
            Err(TokenFault::Claim),
        ),
        (&by_secret(), json!({"iss": "anybody"}), Ok(())),
        // For somebody else, as long as nobody said that it is us.
        (
            &by_secret(),
            json!({"aud": "example.test"}),
            Err(TokenFault::Audience),
        ),
    ] {
        let mut claims = claims;
        claims["sub"] = "john".into();
        claims["exp"] = (now() + 60).into();
        assert_eq!(
            account(config, &signed(&claims)).map(drop),
            verdict,
            "{claims}"
        );
    }
}

#[test]
fn the_claim_names_an_account_of_the_domain() {
    let named = |claim: &str, claims: Value| {
        let config = JwtAuth {
            username_claim: claim.to_owned(),
            ..by_secret()
        };
        let mut claims = claims;
        claims["exp"] = (now() + 60).into();
        account(&config, &signed(&claims)).ok()
    };
    let john = Some("john@example.test".to_owned());
    for (claim, claims) in [
        ("sub", json!({"sub": "john"})),
        ("sub", json!({"sub": "John"})),
        ("sub", json!({"sub": "john@example.test"})),
        ("sub", json!({"sub": "john@EXAMPLE.test/phone"})),
        (
            "preferred_username",
            json!({"preferred_username": "john", "sub": "7"}),
        ),
        ("user.name", json!({"user": {"name": "john"}})),
        (
            "user.name",
            json!({"user.name": "john", "user": {"name": "marie"}}),
        ),
        (
            "https://example.com/name",
            json!({"https://example.com/name": "john"}),
        ),
    ] {
        assert_eq!(named(claim, claims.clone()), john, "{claim} {claims}");
    }
    assert_eq!(
        named("sub", json!({"sub": 42})).as_deref(),
        Some("42@example.test")
    );
    for (claim, claims) in [
        ("sub", json!({})),
        ("sub", json!({"sub": ""})),
        ("sub", json!({"sub": null})),
        ("sub", json!({"sub": true})),
        ("sub", json!({"sub": -1})),
        ("sub", json!({"sub": ["john"]})),
        ("sub", json!({"sub": "jo hn"})),
        ("sub", json!({"sub": "john@other.test"})),
        ("sub", json!({"sub": "@example.test"})),
        ("sub", json!({"sub": "john@example.test@other.test"})),
        ("user.name", json!({"user": "john"})),
        ("user.name", json!({"user": {}})),
        ("", json!({"sub": "john"})),
    ] {
        assert_eq!(named(claim, claims.clone()), None, "{claim} {claims}");
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

/// RFC 7515 §A.2.1.
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
const P: &str = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc";
const Q: &str = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc";
const DP: &str = "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0";
const DQ: &str = "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU";
const QI: &str = "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U";
