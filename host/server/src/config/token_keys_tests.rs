//! Keys of every kind, good and bad.

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The key of RFC 7515 §A.2: 2,048 bits.
const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----";

/// 1,024 bits.
const SHORT_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDSTTdxU9vRPkLBHk+ur8dp0hbM
GODL2Lz0kDnFpJK+1ZFUfZpXYUaCbL8FEmEmXiwELpsw4RnZhASpC9n2cBONlh1x
7kj/2Jytdqlg33+4UD2A1Hbpx1z1kqST0yA+6QNYUFqjdv1GMS4T1U+hkHV7Guff
aUNdO3HYQj5nC2mA3wIDAQAB
-----END PUBLIC KEY-----";

const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1eg+kxUe/R+YixVFm1+WETS82lsh
dpflcQ2QkwLMXiuojm3mnMyPA37cRxNAIquryFYFRHbcpYC1aj3xgXSe3A==
-----END PUBLIC KEY-----";

const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEJEl7QypCMsUCPP2CZWHYFNXvm9oOdg0X
916/Ou4w3FSfOezYbi/r8G59eCWb1w2JU8klcf+9CKC2pFXHVHIpOvu1P+Rs3TNJ
XF3NgXw04T/uN+c9bjkGW5oBeObigtD9
-----END PUBLIC KEY-----";

const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEASpsIg86V6UGK+AbvHcdIbkzpFc7qJFeiobYsuvOblKI=
-----END PUBLIC KEY-----";

const ED448: &str = "-----BEGIN PUBLIC KEY-----
MEMwBQYDK2VxAzoALwVGBspo6hA+TtINo7O2APBUMsJEHbJC5PKmBmHkyGrN5RF5
bJmBY+nXi2zbDPXGjscEKOgQRFSA
-----END PUBLIC KEY-----";

#[test]
fn a_key_is_for_its_algorithm_alone() {
    use TokenAlgorithm::{EdDsa, Es256, Hs256, Rs256};
    let wrong = |algorithm| Err(KeyFault::NotAPublicKey { algorithm });
    for (text, verdicts) in [
        (SECRET, [Ok(()), wrong(Rs256), wrong(Es256), wrong(EdDsa)]),
        (
            RSA,
            [
                Err(KeyFault::SecretIsPem),
                Ok(()),
                wrong(Es256),
                wrong(EdDsa),
            ],
        ),
        (
            P256,
            [
                Err(KeyFault::SecretIsPem),
                wrong(Rs256),
                Ok(()),
                wrong(EdDsa),
            ],
        ),
        (
            ED25519,
            [
                Err(KeyFault::SecretIsPem),
                wrong(Rs256),
                wrong(Es256),
                Ok(()),
            ],
        ),
        (
            P384,
            [
                Err(KeyFault::SecretIsPem),
                wrong(Rs256),
                wrong(Es256),
                wrong(EdDsa),
            ],
        ),
        (
            ED448,
            [
                Err(KeyFault::SecretIsPem),
                wrong(Rs256),
                wrong(Es256),
                wrong(EdDsa),
            ],
        ),
    ] {
        for (algorithm, verdict) in [Hs256, Rs256, Es256, EdDsa].into_iter().zip(verdicts) {
            for text in [text.to_owned(), format!("\n{text}\r\n")] {
                let read = TokenKeys::parse_key(algorithm, &text);
                assert_eq!(read.map(drop), verdict, "{algorithm} {text}");
            }
        }
    }
}

#[test]
fn weak_and_wrong_keys_are_named() {
    let read = |algorithm, text: &str| TokenKeys::parse_key(algorithm, text).unwrap_err();
    assert_eq!(
        read(TokenAlgorithm::Hs256, &SECRET[1..]),
        KeyFault::SecretTooShort { length: 31 }
    );
    assert_eq!(
        read(TokenAlgorithm::Rs256, SHORT_RSA),
        KeyFault::RsaTooShort { bits: 1_024 }
    );
    for (label, fault) in [
        ("RSA PRIVATE KEY", KeyFault::PrivateKey),
        ("ENCRYPTED PRIVATE KEY", KeyFault::PrivateKey),
        ("CERTIFICATE", KeyFault::Certificate),
    ] {
        let text = RSA.replace("PUBLIC KEY", label);
        assert_eq!(read(TokenAlgorithm::Rs256, &text), fault);
        assert!(
            fault
                .remedy()
                .is_some_and(|remedy| remedy.contains("openssl"))
        );
    }
    let nonsense = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
    let algorithm = TokenAlgorithm::EdDsa;
    assert_eq!(
        read(algorithm, nonsense),
        KeyFault::NotAPublicKey { algorithm }
    );
    assert_eq!(read(algorithm, ""), KeyFault::NotAPublicKey { algorithm });
}

/// Keys of RFC 7515 §A.1.1 and §A.3.1, RFC 8037 §A.2.
const OCT: &str = r#"{"kty":"oct","kid":"a","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
const EC: &str = r#"{"kty":"EC","kid":"b","use":"sig","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const OKP: &str = r#"{"kty":"OKP","kid":"c","alg":"EdDSA","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn set(keys: &[&str]) -> Result<TokenKeys, KeyFault> {
    TokenKeys::parse_set(&format!("{{\"keys\":[{}]}}", keys.join(",")))
}

#[test]
fn a_token_chooses_its_key_by_name() {
    let keys = set(&[OCT, EC, OKP]).unwrap();
    let chosen = |id| keys.choose(id).map(|key| key.algorithm);
    assert_eq!(chosen(Some("a")), Some(TokenAlgorithm::Hs256));
    assert_eq!(chosen(Some("b")), Some(TokenAlgorithm::Es256));
    assert_eq!(chosen(Some("c")), Some(TokenAlgorithm::EdDsa));
    assert_eq!(chosen(Some("d")), None);
    assert_eq!(chosen(None), None, "which one is anybody's guess");
    let alone = set(&[EC]).unwrap();
    assert!(alone.choose(None).is_some() && alone.choose(Some("b")).is_some());
    assert!(alone.choose(Some("a")).is_none());
    let configured = TokenKeys::parse_key(TokenAlgorithm::Hs256, SECRET).unwrap();
    assert!(configured.choose(None).is_some() && configured.choose(Some("any")).is_some());
}

#[test]
fn what_is_for_something_else_is_skipped() {
    let encrypts = EC.replace("\"sig\"", "\"enc\"").replace("\"b\"", "\"x\"");
    let other = OKP.replace("EdDSA", "HS256").replace("\"c\"", "\"y\"");
    let unheard = EC.replace("P-256", "secp256k1").replace("\"b\"", "\"z\"");
    let strange = OKP.replace("EdDSA", "ML-DSA-65").replace("\"c\"", "\"v\"");
    let keys = set(&[&encrypts, &other, &unheard, &strange, "7", OCT]).unwrap();
    for id in ["x", "y", "z", "v"] {
        assert!(keys.choose(Some(id)).is_none(), "{id}");
    }
    assert!(keys.choose(None).is_some(), "the one that is left is alone");
    assert_eq!(set(&[&encrypts]).unwrap_err(), KeyFault::NothingInSet);
    assert_eq!(set(&[]).unwrap_err(), KeyFault::NothingInSet);
}

#[test]
fn sets_are_checked() {
    for text in ["", "[]", "{}", "{\"keys\":{}}", SECRET, RSA] {
        assert_eq!(
            TokenKeys::parse_set(text).unwrap_err(),
            KeyFault::NotASet,
            "{text}"
        );
    }
    let nameless = EC.replace("\"kid\":\"b\",", "");
    assert!(set(&[&nameless]).is_ok());
    assert_eq!(set(&[&nameless, OCT]).unwrap_err(), KeyFault::KeyId);
    assert_eq!(
        set(&[EC, &OCT.replace("\"a\"", "\"b\"")]).unwrap_err(),
        KeyFault::KeyId
    );
    let weak = r#"{"kty":"oct","k":"AAAA"}"#;
    assert_eq!(
        set(&[weak]).unwrap_err(),
        KeyFault::SecretTooShort { length: 3 }
    );
}

#[test]
fn debug_shows_no_key() {
    let keys = TokenKeys::parse_key(TokenAlgorithm::Hs256, SECRET).unwrap();
    let shown = format!("{keys:?}");
    assert!(
        !shown.contains("48, 49") && !shown.contains("0123"),
        "{shown}"
    );
}
