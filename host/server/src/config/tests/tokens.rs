//! The keys of tokens.

use super::*;

#[test]
fn tokens_need_a_key_that_suits_its_algorithm() {
    let jwt = |keys: &str| with(AUTH, &format!("auth = {{ kind = \"jwt\", {keys} }}"));
    let secret = "0123456789abcdef0123456789abcdef";
    let config = parse(&jwt(&format!("algorithm = \"HS256\", key = \"{secret}\""))).unwrap();
    let Auth::Jwt(jwt_auth) = &config.virtual_hosts[0].auth else {
        panic!("tokens")
    };
    assert_eq!(jwt_auth.username_claim, "sub");
    assert_eq!((&jwt_auth.issuer, &jwt_auth.audience), (&None, &None));
    assert_eq!(jwt_auth.leeway, std::time::Duration::from_secs(30));
    assert!(!format!("{config:?}").contains("0123456789abcdef0"));
    for (keys, expected) in [
        (
            "issuer = \"x\"",
            "6:8: error: virtual_host[0].auth.key: no token could be verified: there is neither key nor key_file nor jwks_file\n    help: write key_file = \"…\" with algorithm = \"HS256\", or jwks_file = \"…\"",
        ),
        (
            "key = \"x\"",
            "6:8: error: virtual_host[0].auth.algorithm: the key is missing\n    help: add `algorithm = \"HS256\"`",
        ),
        (
            "algorithm = \"HS256\", key = \"short\"",
            "6:51: error: virtual_host[0].auth.key: a secret for HS256 has at least 32 bytes, and this one 5\n    help: make one with `openssl rand -hex 32`",
        ),
        (
            "algorithm = \"RS256\", key = \"short\"",
            "6:51: error: virtual_host[0].auth.key: this is no public key in PEM for RS256",
        ),
        (
            "algorithm = \"none\", key = \"short\"",
            "6:36: error: virtual_host[0].auth.algorithm: \"none\" is not one of \"HS256\", \"RS256\", \"ES256\", \"EdDSA\"",
        ),
        (
            "algorithm = \"HS256\", key = \"x\", key_file = \"y\"",
            "6:67: error: virtual_host[0].auth.key_file: only one of key, key_file and jwks_file can be used",
        ),
    ] {
        check(&jwt(keys), expected);
    }
    let users = with(AUTH, "auth = { kind = \"any\", issuer = \"x\" }");
    check(
        &users,
        "6:33: error: virtual_host[0].auth.issuer: the key belongs to kind = \"jwt\", and this is kind = \"any\"",
    );
}

#[test]
fn keys_of_tokens_may_be_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("muster.toml");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("secret", "0123456789abcdef0123456789abcdef\n");
    write(
        "jwks.json",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}",
    );
    write("bad.json", "[]");
    let read = |keys: &str| {
        let text = with(AUTH, &format!("auth = {{ kind = \"jwt\", {keys} }}"));
        Config::parse(&text, &origin).map_err(|faults| faults.to_string())
    };
    read("algorithm = \"HS256\", key_file = \"secret\"").unwrap();
    read("jwks_file = \"jwks.json\"").unwrap();
    for (keys, expected) in [
        ("jwks_file = \"bad.json\"", "no JSON Web Key Set"),
        ("jwks_file = \"missing\"", "cannot read"),
        (
            "algorithm = \"HS256\", key_file = \"missing\"",
            "cannot read",
        ),
        (
            "algorithm = \"EdDSA\", key_file = \"secret\"",
            "no public key in PEM for EdDSA",
        ),
        (
            "algorithm = \"HS256\", jwks_file = \"jwks.json\"",
            "each key of a jwks_file tells its own",
        ),
    ] {
        let told = read(keys).unwrap_err();
        assert!(told.contains(expected), "{keys}: {told}");
    }
}
