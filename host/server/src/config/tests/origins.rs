//! Where a plugin may go, as whom, and whom it trusts there.

use super::*;

/// `SMALLEST` with an origin for its host.
fn with_origin(keys: &str) -> String {
    format!("{SMALLEST}[[virtual_host.origin]]\n{keys}\n")
}

#[test]
fn the_origin_of_the_roster_is_always_allowed_and_may_have_more() {
    use http::Method;
    use muster_plugin::PrivateAddresses;

    let config = parse(SMALLEST).unwrap();
    let origins = &config.virtual_hosts[0].egress.origins;
    assert_eq!(origins.len(), 1);
    assert_eq!(origins[0].origin.to_string(), "http://127.0.0.1:8080");
    assert_eq!(origins[0].methods, [Method::GET]);
    assert_eq!(origins[0].redirects, 0);

    let keys = "url = \"http://127.0.0.1:8080/\"\nmethods = [\"POST\"]\nredirects = 2\n\
                private_addresses = [\"10.0.0.0/8\"]\n[[virtual_host.origin]]\n\
                url = \"https://events.example.com\"\nmethods = [\"GET\", \"PUT\"]\nhttp2 = false";
    let config = parse(&with_origin(keys)).unwrap();
    let origins = &config.virtual_hosts[0].egress.origins;
    let [app, events] = origins.as_slice() else {
        panic!("{origins:?}")
    };
    assert_eq!(app.methods, [Method::POST, Method::GET]);
    assert_eq!(app.redirects, 2);
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    assert_eq!(app.private_addresses, PrivateAddresses::Within(networks));
    assert_eq!(events.origin.port(), 443);
    assert_eq!(events.methods, [Method::GET, Method::PUT]);
    assert!(!events.http2);

    let text = with_origin("url = \"https://app.example.com\"");
    let text = text.replace(URL, "roster = { http_roster_url = \"https://app.example.com/%s\", allow_private_addresses = true }");
    let config = parse(&text).unwrap();
    let origins = &config.virtual_hosts[0].egress.origins;
    assert_eq!(origins.len(), 1);
    assert_eq!(origins[0].private_addresses, PrivateAddresses::All);
}

#[test]
fn each_rule_of_origins_has_its_words() {
    let origin = "virtual_host[0].origin[0]";
    let url = "url = \"https://app.example.com\"";
    for (keys, expected) in [
        (
            "",
            "8:1: error: ORIGIN.url: the key is missing\n    help: add `url = \"https://app.example.com\"`".to_owned(),
        ),
        (
            "url = \"https://app.example.com/api\"",
            "9:7: error: ORIGIN.url: \"https://app.example.com/api\" is not an origin\n    help: an origin is a scheme, a host and perhaps a port: \"https://app.example.com\"".to_owned(),
        ),
        (
            "url = \"ftp://app.example.com\"",
            "9:7: error: ORIGIN.url: the scheme \"ftp\" is not http or https".to_owned(),
        ),
        (
            "url = \"https://me@app.example.com\"",
            "9:7: error: ORIGIN.url: a user name or password in the URL is not accepted".to_owned(),
        ),
        (
            "url = \"https://app.example.com\"\n[[virtual_host.origin]]\nurl = \"https://APP.example.com:443/\"",
            "11:7: error: virtual_host[0].origin[1].url: the origin https://app.example.com:443 is there twice; the first one is on line 9".to_owned(),
        ),
        (
            "methods = [\"get\", \"CONNECT\"]",
            "10:12: error: ORIGIN.methods[0]: \"get\" is not a method that a plugin can use\n    help: write for example \"GET\" or \"POST\"\n10:19: error: ORIGIN.methods[1]: \"CONNECT\" is not a method that a plugin can use\n    help: write for example \"GET\" or \"POST\"".to_owned(),
        ),
        (
            "methods = []",
            "10:11: error: ORIGIN.methods: must not be empty".to_owned(),
        ),
        (
            "redirects = 11",
            "10:13: error: ORIGIN.redirects: must be at most 10".to_owned(),
        ),
        (
            "private_addresses = [\"app\"]",
            "10:22: error: ORIGIN.private_addresses[0]: \"app\" is not a network\n    help: write for example \"10.0.0.0/8\" or \"127.0.0.1\"".to_owned(),
        ),
        (
            "ca_file = \"missing.crt\"",
            "10:11: error: ORIGIN.ca_file: cannot read missing.crt: No such file or directory (os error 2)".to_owned(),
        ),
        (
            "client_certificate = \"muster.crt\"",
            "8:1: error: ORIGIN.client_key: the key is missing\n    help: add `client_key = \"muster.key\"`".to_owned(),
        ),
        (
            "authorization = { env = \"MUSTER_TESTS_NOT_SET\" }",
            "10:25: error: ORIGIN.authorization.env: the environment variable MUSTER_TESTS_NOT_SET is not set, or not UTF-8\n    help: set it where the server is started, or write file = \"…\"".to_owned(),
        ),
        (
            "authorization = { file = \"missing.token\" }",
            "10:26: error: ORIGIN.authorization.file: cannot read missing.token: No such file or directory (os error 2)".to_owned(),
        ),
        (
            "authorization = { scheme = \"Bearer\" }",
            "10:17: error: ORIGIN.authorization.env: there is neither env nor file to take the secret from\n    help: write authorization = { env = \"APP_TOKEN\" } or { file = \"app.token\" }".to_owned(),
        ),
        (
            "authorization = { env = \"PATH\", file = \"x\" }",
            "10:25: error: ORIGIN.authorization.env: only one of env and file can be used".to_owned(),
        ),
    ] {
        let keys = match keys {
            "" => String::new(),
            keys if keys.starts_with("url") => keys.to_owned(),
            keys => format!("{url}\n{keys}"),
        };
        check(&with_origin(&keys), &expected.replace("ORIGIN", origin));
    }
}

#[test]
fn no_secret_travels_in_the_clear_unless_the_operator_says_so() {
    let origin = |url: &str, more: &str| {
        with_origin(&format!(
            "url = \"{url}\"\nauthorization = {{ env = \"PATH\" }}\n{more}"
        ))
    };
    check(
        &origin("http://app.example.com", ""),
        "10:17: error: virtual_host[0].origin[0].authorization: the authorization would travel in the clear to app.example.com\n    help: use https; on a network that you trust, set allow_plain_http = true for this origin",
    );
    for (url, more) in [
        ("https://app.example.com", ""),
        ("http://127.0.0.1:8080", ""),
        ("http://localhost:8080", ""),
        ("http://app.example.com", "allow_plain_http = true"),
    ] {
        assert!(parse(&origin(url, more)).is_ok(), "{url}");
    }
    check(
        &with_origin("url = \"http://app.example.com\"\nhttp2 = true"),
        "10:9: error: virtual_host[0].origin[0].http2: the key has no effect without TLS, and the URL is http",
    );
}

#[test]
fn secrets_towards_the_app_are_read_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("muster.toml");
    std::fs::write(directory.path().join("token"), "john:hunter2\n").unwrap();
    open_to_all(&directory.path().join("token"));
    let keys = "url = \"https://app.example.com\"\nauthorization = { file = \"token\", scheme = \"Basic\" }";
    let config = Config::parse(&with_origin(keys), &origin).unwrap();
    let [warning] = config.warnings.as_slice() else {
        panic!("{:?}", config.warnings)
    };
    assert_eq!(warning.key, "virtual_host[0].origin[0].authorization.file");
    let policy = config.virtual_hosts[0].egress.policy().unwrap();
    let shown = format!("{config:?}{policy:?}");
    assert!(shown.contains("authorization"), "{shown}");
    for secret in ["hunter2", "am9objpodW50ZXIy"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    std::fs::write(directory.path().join("token"), "hun\u{7}ter2").unwrap();
    let told = Config::parse(&with_origin(keys), &origin)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("no colon") && !told.contains("ter2"),
        "{told}"
    );
}

#[test]
fn authorities_of_ones_own_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("muster.toml");
    let files = pair("app.example.com", 90).write(directory.path());
    std::fs::write(directory.path().join("not"), "no certificate").unwrap();
    let parse = |text: &str| Config::parse(text, &origin).map_err(|faults| faults.to_string());
    let keys = "url = \"https://app.example.com\"\nca_file = \"crt\"\n\
                client_certificate = \"crt\"\nclient_key = \"key\"";
    let config = parse(&with_origin(keys)).unwrap();
    let policy = config.virtual_hosts[0].egress.policy().unwrap();
    assert_eq!(policy.origins[0].tls.roots.as_ref().unwrap().len(), 1);
    assert!(policy.origins[0].tls.identity.is_some());
    let told = parse(&with_origin(
        &keys.replace("ca_file = \"crt\"", "ca_file = \"not\""),
    ));
    assert!(told.unwrap_err().contains("holds no whole certificate"));
    let auth = |keys: &str| with(AUTH, &format!("auth = {{ kind = \"http\", {keys} }}"));
    let secure = "url = \"https://app.example.com/auth\", ca_file = \"crt\"";
    let config = parse(&auth(secure)).unwrap();
    let Auth::Http { ca_file, .. } = &config.virtual_hosts[0].auth else {
        panic!("http")
    };
    assert_eq!(ca_file.as_ref().unwrap().path, files.certificate);
    let plain = parse(&auth("url = \"http://127.0.0.1/auth\", ca_file = \"crt\""));
    assert!(plain.unwrap_err().contains("no effect without TLS"));
}
