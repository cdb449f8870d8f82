//! The policy as tables: one line a case.

use super::*;

fn origin(url: &str) -> AllowedOrigin {
    AllowedOrigin::get(Origin::of_url(url).unwrap())
}

fn policy(url: &str) -> EgressPolicy {
    EgressPolicy::for_url(url).unwrap()
}

fn admit(policy: &EgressPolicy, method: &str, uri: &str) -> Result<String, Denial> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    // What http::Uri itself refuses never becomes a request.
    let uri: Uri = uri.parse().map_err(|_| Denial::Target)?;
    policy
        .admit(&method, &uri)
        .map(|admitted| admitted.target.to_string())
}

#[test]
fn the_origin_of_a_template() {
    let table = [
        ("http://127.0.0.1:8080/contacts/%s", Ok(8080)),
        ("https://app.example.test/c?user=%s", Ok(443)),
        ("http://APP.example.test/%s", Ok(80)),
        ("http://[::1]:8080/%s", Ok(8080)),
        ("ftp://app.example.test/%s", Err(OriginError::Scheme)),
        ("http://u:p@app.example.test/", Err(OriginError::UserInfo)),
        ("app.example.test/%s", Err(OriginError::NotAUrl)),
        ("/contacts/%s", Err(OriginError::NotAUrl)),
        ("", Err(OriginError::NotAUrl)),
    ];
    for (url, expected) in table {
        let port = Origin::of_url(url).map(|origin| origin.port());
        assert_eq!(port, expected, "{url}");
    }
}

#[test]
fn only_the_configured_origin_is_asked() {
    let policy = policy("http://app.example.test:8080/contacts/%s");
    let allowed = [
        "http://app.example.test:8080/contacts/john",
        "http://APP.EXAMPLE.TEST:8080/contacts/john",
        "http://app.example.test:8080/",
        "http://app.example.test:8080/a?b=c%20d",
        "http://app.example.test:8080//evil.example.com/",
    ];
    for uri in allowed {
        assert!(admit(&policy, "GET", uri).is_ok(), "{uri}");
    }
    let denied = [
        "https://app.example.test:8080/",
        "http://app.example.test/",
        "http://app.example.test:80/",
        "http://app.example.test.:8080/",
        "http://app.example.test:08081/",
        "http://app.example.test:/",
        "http://app.example.test:8080@evil.example.com/",
        "http://evil.example.com@app.example.test:8080/",
        "http://evil.example.com:8080/",
        "http://app.example.test.evil.example.com:8080/",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:8080/",
        "http://2130706433:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
        "ftp://app.example.test:8080/",
        "/contacts/john",
    ];
    for uri in denied {
        assert!(admit(&policy, "GET", uri).is_err(), "{uri}");
    }
}

#[test]
fn an_address_literal_is_compared_as_an_address() {
    let v4 = policy("http://127.0.0.1:8080/%s");
    assert!(admit(&v4, "GET", "http://127.0.0.1:8080/john").is_ok());
    for uri in [
        "http://2130706433:8080/john",
        "http://0x7f.1:8080/john",
        "http://127.1:8080/john",
        "http://0177.0.0.1:8080/john",
        "http://[::ffff:127.0.0.1]:8080/john",
        "http://localhost:8080/john",
    ] {
        assert_eq!(admit(&v4, "GET", uri), Err(Denial::Origin), "{uri}");
    }
    let v6 = policy("http://[::1]:8080/%s");
    assert!(admit(&v6, "GET", "http://[::1]:8080/john").is_ok());
    assert!(admit(&v6, "GET", "http://[0:0:0:0:0:0:0:1]:8080/john").is_ok());
    assert!(admit(&v6, "GET", "http://[::2]:8080/john").is_err());
}

#[test]
fn other_methods_are_denied() {
    let policy = policy("http://app.example.test/%s");
    let uri = "http://app.example.test/john";
    assert!(admit(&policy, "GET", uri).is_ok());
    for method in ["POST", "PUT", "DELETE", "CONNECT", "TRACE", "HEAD", "BREW"] {
        assert_eq!(admit(&policy, method, uri), Err(Denial::Method), "{method}");
    }
}

#[test]
fn the_target_is_always_in_origin_form() {
    let policy = policy("http://app.example.test/%s");
    let target = admit(&policy, "GET", "http://app.example.test/a/b?c").unwrap();
    assert_eq!(target, "/a/b?c");
    for uri in [
        "http://app.example.test/a\\b",
        "http://app.example.test/a b",
        "http://app.example.test/a\r\nHost: evil.example.com",
    ] {
        assert!(admit(&policy, "GET", uri).is_err(), "{uri:?}");
    }
}

#[test]
fn an_empty_policy_lets_nothing_out() {
    let policy = EgressPolicy::default();
    let denied = admit(&policy, "GET", "http://app.example.test/");
    assert_eq!(denied, Err(Denial::Origin));
}

/// Several origins, each with its own methods.
#[test]
fn each_origin_has_its_own_methods() {
    let mut events = origin("https://events.example.test");
    events.methods = vec![Method::POST, Method::PUT];
    let policy = EgressPolicy {
        origins: vec![origin("http://app.example.test/%s"), events],
    };
    let table = [
        ("GET", "http://app.example.test/john", Ok(())),
        ("POST", "http://app.example.test/john", Err(Denial::Method)),
        ("POST", "https://events.example.test/", Ok(())),
        ("PUT", "https://events.example.test:443/", Ok(())),
        ("GET", "https://events.example.test/", Err(Denial::Method)),
        ("POST", "http://events.example.test/", Err(Denial::Origin)),
        ("GET", "https://app.example.test/john", Err(Denial::Origin)),
        ("POST", "https://other.example.test/", Err(Denial::Origin)),
    ];
    for (method, uri, expected) in table {
        let verdict = admit(&policy, method, uri).map(drop);
        assert_eq!(verdict, expected, "{method} {uri}");
    }
}

#[test]
fn addresses_that_are_never_dialled() {
    let mut allowed = origin("http://app.example.test/%s");
    let everything = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    for private in [
        PrivateAddresses::All,
        PrivateAddresses::Within(everything.to_vec()),
    ] {
        allowed.private_addresses = private;
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "ff02::1",
            "fe80::1",
            "fec0::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            let verdict = allowed.admit_address(address.parse().unwrap());
            assert_eq!(verdict, Err(Denial::Address), "{address}");
        }
    }
}

#[test]
fn private_addresses_need_the_operators_word() {
    let private = [
        "127.0.0.1",
        "10.0.0.7",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "::1",
        "fd12::1",
    ];
    let mut by_name = origin("http://app.example.test/%s");
    for address in private {
        let verdict = by_name.admit_address(address.parse().unwrap());
        assert_eq!(verdict, Err(Denial::Address), "{address}");
    }
    by_name.private_addresses = PrivateAddresses::All;
    for address in private {
        let verdict = by_name.admit_address(address.parse().unwrap());
        assert_eq!(verdict, Ok(()), "{address}");
    }
    assert_eq!(
        by_name.admit_address("93.184.216.34".parse().unwrap()),
        Ok(())
    );
}

#[test]
fn the_operators_word_is_about_networks() {
    let networks = ["10.1.0.0/16".parse().unwrap(), "fd12::/16".parse().unwrap()];
    let mut by_name = origin("http://app.example.test/%s");
    by_name.private_addresses = PrivateAddresses::Within(networks.to_vec());
    let table = [
        ("10.1.2.3", true),
        ("10.2.0.1", false),
        ("127.0.0.1", false),
        ("192.168.1.1", false),
        ("fd12::7", true),
        ("fd13::7", false),
        ("::ffff:10.1.2.3", false),
        // A public address needs no permission.
        ("93.184.216.34", true),
    ];
    for (address, expected) in table {
        let verdict = by_name.admit_address(address.parse().unwrap());
        assert_eq!(verdict.is_ok(), expected, "{address}");
    }
}

#[test]
fn a_written_down_private_origin_is_allowed_and_only_itself() {
    let table = [
        ("http://127.0.0.1:8080/%s", "127.0.0.1", true),
        ("http://127.0.0.1:8080/%s", "127.0.0.2", false),
        ("http://10.0.0.7/%s", "10.0.0.7", true),
        ("http://[::1]:8080/%s", "::1", true),
        ("http://localhost:8080/%s", "127.0.0.1", true),
        ("http://localhost:8080/%s", "::1", true),
        ("http://localhost:8080/%s", "10.0.0.7", false),
        ("http://169.254.169.254/%s", "169.254.169.254", false),
    ];
    for (url, address, expected) in table {
        let verdict = origin(url).admit_address(address.parse().unwrap());
        assert_eq!(verdict.is_ok(), expected, "{url} {address}");
    }
}

#[test]
fn a_policy_shows_no_secret() {
    let mut allowed = origin("https://app.example.test");
    let secret = secrecy::SecretString::from("hunter2");
    allowed.authorization = Some(Authorization::new("Bearer", &secret).unwrap());
    let policy = EgressPolicy {
        origins: vec![allowed],
    };
    let shown = format!("{policy:?}");
    assert!(
        shown.contains("Authorization") && !shown.contains("hunter2"),
        "{shown}"
    );
}
