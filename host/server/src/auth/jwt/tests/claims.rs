//! What a token says: until when, from whom, for whom, and of whom.

use super::*;

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
