//! The configuration as the operator meets it: what is accepted, and the words for what is not.

use std::path::Path;

use muster_xmpp::sasl::{AccountCredentials, MIN_ITERATIONS};
use secrecy::ExposeSecret;

use super::*;
use crate::tls::testing::{Pair, pair};

const EXAMPLE: &str = include_str!("../../../../muster.example.toml");

/// The smallest configuration that is accepted; `{}` goes before the virtual host.
const SMALLEST: &str = r#"
xmpp.require_tls = false
admin.tokens = ["0123456789abcdef"]
[[virtual_host]]
domain = "example.test"
auth = { kind = "any" }
roster.http_roster_url = "http://127.0.0.1:8080/contacts/%s"
"#;

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse(text, Path::new("muster.toml"))
}

/// The errors of `text`, one a line, without the file's name.
fn errors(text: &str) -> String {
    let faults = parse(text).expect_err("the text has faults");
    let lines = faults
        .iter()
        .map(|fault| fault.to_string().replace("muster.toml:", ""));
    lines.collect::<Vec<_>>().join("\n")
}

/// `SMALLEST` with one line replaced.
fn with(line: &str, replacement: &str) -> String {
    assert!(SMALLEST.contains(line), "{line}");
    SMALLEST.replace(line, replacement)
}

const AUTH: &str = r#"auth = { kind = "any" }"#;
const URL: &str = r#"roster.http_roster_url = "http://127.0.0.1:8080/contacts/%s""#;
const TLS: &str = "xmpp.require_tls = false";
const TOKENS: &str = r#"admin.tokens = ["0123456789abcdef"]"#;

/// Asserts that the one fault of `text` reads as `expected`.
#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(errors(text), expected);
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(config.xmpp.listen, ["127.0.0.1:5222".parse().unwrap()]);
    assert_eq!(config.http.listen, ["127.0.0.1:5280".parse().unwrap()]);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.storage.directory, Path::new("data"));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.level, "info");
    assert!(!config.admin.allow_unauthenticated);
    assert_eq!(config.virtual_hosts.len(), 1);
    assert_eq!(config.virtual_hosts[0].domain.as_str(), "example.test");
    assert!(matches!(config.virtual_hosts[0].auth, Auth::Any));
    assert!(config.virtual_hosts[0].offline_messages);
    let roster = &config.virtual_hosts[0].roster;
    assert_eq!(roster.plugin, PluginSource::Builtin);
    assert_eq!(roster.on_backend_failure, OnBackendFailure::Stale);
    assert_eq!(roster.stale_after, std::time::Duration::from_secs(2));
    assert!(config.warnings.is_empty());
}

#[test]
fn the_example_is_accepted_and_states_the_defaults() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.storage.directory, Path::new("data"));
    assert_eq!(config.xmpp.listen, ["127.0.0.1:5222".parse().unwrap()]);
    assert_eq!(config.http.listen, ["127.0.0.1:5280".parse().unwrap()]);
    let Auth::Static { users } = &config.virtual_hosts[0].auth else {
        panic!("the example shows static users")
    };
    assert!(!users.is_empty());
    assert_eq!(config.virtual_hosts[0].guard, Guard::default());
}

#[test]
fn a_guard_has_an_order_of_its_numbers() {
    let host = "[[virtual_host]]\ndomain = \"example.test\"\nauth.kind = \"any\"\n\
        roster.http_roster_url = \"http://127.0.0.1/%s\"\n[virtual_host.guard]\n";
    let told = |keys: &str| {
        let text = format!(
            "admin.tokens = [\"0123456789abcdef\"]\nxmpp.require_tls = false\n{host}{keys}"
        );
        parse(&text).map(drop).map_err(|faults| faults.to_string())
    };
    assert_eq!(told("min_users = 5\nmax_users = 5"), Ok(()));
    for (keys, expected) in [
        ("min_users = 2000", "must be at most 1000"),
        ("max_users = 10", "is too little for min_users"),
        ("lost_percent = 101", "must be at most 100"),
        ("users_percent = 0", "must be above 0"),
    ] {
        let faults = told(keys).unwrap_err();
        assert!(faults.contains(expected), "{keys}: {faults}");
    }
}

#[test]
fn the_example_has_every_key() {
    let document = Document::parse(EXAMPLE, Path::new("muster.toml"));
    Config::read(&document);
    let words: Vec<_> = EXAMPLE
        .lines()
        .map(|line| line.trim_start_matches(['#', ' ', '[']))
        .map(|line| line.split(['=', ']', ' ']).next().unwrap())
        .collect();
    // A section that has only sections appears with their paths.
    let holds = |key: &str| {
        let start = format!("{key}.");
        words.iter().any(|word| word.starts_with(&start))
    };
    for key in document.known() {
        // A section appears with its path, a key with its name.
        let leaf = key.rsplit('.').next().unwrap();
        assert!(
            words.contains(&leaf) || words.contains(&key.as_str()) || holds(&key),
            "{key} is not in the example"
        );
    }
}

#[test]
fn every_fault_is_told_at_once_in_the_order_of_the_file() {
    let text = r#"
[xmpp]
listne = ["127.0.0.1:5222"]
require_tls = "no"
[http]
listen = ["localhost:5280", 5280]
token = "x"
[limits.xmpp]
auth_timeout = 30
mailbox_bytes = "1MB"
attributes = 0
before_auth.depth = 1000
[log]
format = "jsn"
[[virtual_host]]
domain = "exa mple"
auth.kind = "statc"
"#;
    check(
        text,
        r#"1:1: error: admin.tokens: without a token nobody could ask for a refresh
    help: make one with `openssl rand -hex 32` and put it into tokens or into the token_file; for development on loopback, allow_unauthenticated = true does without
3:1: error: xmpp.listne: there is no such key
    help: did you mean `listen`?
4:15: error: xmpp.require_tls: expected true or false, found string
6:11: error: http.listen[0]: "localhost:5280" is not an IP address and a port
    help: write for example "127.0.0.1:5222" or "[::1]:5222"
6:29: error: http.listen[1]: expected an IP address and a port, such as "127.0.0.1:5222", found integer
7:1: error: http.token: there is no such key
    help: there is `admin.tokens`
9:16: error: limits.xmpp.auth_timeout: expected a duration with its unit, such as "500ms", "30s" or "5m", found integer
10:17: error: limits.xmpp.mailbox_bytes: "1MB" is not a size with its unit, such as "512B", "8KiB" or "4MiB"
11:14: error: limits.xmpp.attributes: must be above 0
12:21: error: limits.xmpp.before_auth.depth: must be at most 256
14:10: error: log.format: "jsn" is not one of "text", "json"
    help: did you mean "json"?
15:1: error: virtual_host[0].roster.http_roster_url: the key is missing
    help: add `http_roster_url = "http://127.0.0.1:8080/contacts/%s"`
16:10: error: virtual_host[0].domain: "exa mple" is not a domain: domain doesn’t pass idna validation
17:13: error: virtual_host[0].auth.kind: "statc" is not one of "static", "http", "jwt", "any"
    help: did you mean "static"?"#,
    );
}

#[test]
fn each_rule_has_its_words() {
    let beyond = "xmpp = { require_tls = false, listen = [\"192.0.2.1:5222\"] }";
    let cases = [
        (
            with(URL, &format!("{URL}\nroster.on_backend_failure = \"stal\"")),
            "8:29: error: virtual_host[0].roster.on_backend_failure: \"stal\" is not one of \"stale\", \"reject\", \"empty\"\n    help: did you mean \"stale\"?",
        ),
        (
            with(TLS, ""),
            "4:1: error: virtual_host[0].tls: xmpp.require_tls is true, and example.test has no certificate: nobody could log in\n    help: add certificate = \"…\" and key = \"…\" to [virtual_host.tls]; `muster cert self-signed example.test` makes a pair for development; without TLS only loopback is served: require_tls = false",
        ),
        (
            with(
                TLS,
                "xmpp = { require_tls = false, listen_tls = [\"127.0.0.1:5223\"] }",
            ),
            "4:1: error: virtual_host[0].tls: xmpp.listen_tls is set, and no virtual host has a certificate\n    help: add certificate = \"…\" and key = \"…\" to [virtual_host.tls]; `muster cert self-signed example.test` makes a pair for development",
        ),
        (
            with(
                TLS,
                "xmpp.require_tls = false\nhttp.listen_tls = [\"127.0.0.1:5280\"]",
            ),
            "3:20: error: http.listen_tls[0]: 127.0.0.1:5280 is listed twice\n5:1: error: virtual_host[0].tls: http.listen_tls is set, and no virtual host has a certificate\n    help: add certificate = \"…\" and key = \"…\" to [virtual_host.tls]; `muster cert self-signed example.test` makes a pair for development",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"any\" }\ntls = { certificate = \"missing.crt\" }",
            ),
            "7:7: error: virtual_host[0].tls.key: the key is missing\n    help: add `key = \"example.test.key\"`",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"any\" }\ntls = { certificate = \"missing.crt\", key = \"missing.key\" }",
            ),
            "7:23: error: virtual_host[0].tls.certificate: cannot read missing.crt: No such file or directory (os error 2)",
        ),
        (
            with(TLS, beyond),
            "2:41: error: xmpp.listen[0]: 192.0.2.1:5222 is not on loopback; logins without TLS are accepted on loopback only\n    help: listen on \"127.0.0.1:5222\" instead\n6:17: error: virtual_host[0].auth.kind: kind = \"any\" accepts every password, and clients can connect at 192.0.2.1:5222, which is not on loopback\n    help: use kind = \"static\" or kind = \"http\"",
        ),
        (
            with(TLS, "xmpp = { require_tls = false, listen = [] }"),
            "2:40: error: xmpp.listen: must not be empty",
        ),
        (
            with(
                TLS,
                "xmpp = { require_tls = false, listen = [\"[::1]:1\", \"[::1]:1\"] }",
            ),
            "2:52: error: xmpp.listen[1]: [::1]:1 is listed twice",
        ),
        (
            with(TOKENS, "admin.tokens = []"),
            "3:16: error: admin.tokens: without a token nobody could ask for a refresh\n    help: make one with `openssl rand -hex 32` and put it into tokens or into the token_file; for development on loopback, allow_unauthenticated = true does without",
        ),
        (
            with(
                TOKENS,
                "admin.allow_unauthenticated = true\nhttp.listen = [\"0.0.0.0:5280\"]\nweb = { websocket = false, bosh = false }",
            ),
            "3:31: error: admin.allow_unauthenticated: [http] listens on 0.0.0.0:5280, which is not on loopback; without a token only loopback is accepted\n    help: set allow_unauthenticated = false and a token; make one with `openssl rand -hex 32`",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"any\" }\npublic_url = \"https://a.test/?b\"",
            ),
            "7:14: error: virtual_host[0].public_url: a query (?) has no meaning here: paths are appended to the URL",
        ),
        (
            with(
                TOKENS,
                "admin.tokens = [\"0123456789abcdef\"]\nhttp.listen = [\"192.0.2.1:5280\"]",
            ),
            "1:1: error: web.listen: 192.0.2.1:5280 is not on loopback; without TLS, web clients are served on loopback only\n    help: set web.listen to a loopback address, or websocket = false and bosh = false; with require_tls = true, streams must be under TLS or come from a trusted proxy that says so\n7:17: error: virtual_host[0].auth.kind: kind = \"any\" accepts every password, and clients can connect at 192.0.2.1:5280, which is not on loopback\n    help: use kind = \"static\" or kind = \"http\"",
        ),
        (
            with(
                TOKENS,
                "admin.tokens = [\"0123456789abcdef\"]\nweb.origins = [\"https://a.test/b\"]",
            ),
            "4:16: error: web.origins[0]: \"https://a.test/b\" is not an origin\n    help: an origin is a scheme, a host and perhaps a port: \"https://a.test\"",
        ),
        (
            with(
                TOKENS,
                "admin.tokens = [\"0123456789abcdef\"]\nweb.trusted_proxies = [\"nginx\"]",
            ),
            "4:24: error: web.trusted_proxies[0]: \"nginx\" is not a network\n    help: write for example \"10.0.0.0/8\" or \"127.0.0.1\"",
        ),
        (
            with(
                TOKENS,
                "admin.tokens = [\"not printable \\u0007 in a header\"]",
            ),
            "3:17: error: admin.tokens[0]: a token has a character that no Authorization header can carry (RFC 6750 §2.1)\n    help: make one with `openssl rand -hex 32`",
        ),
        (
            with(TOKENS, "admin.token_file = \"missing\""),
            "3:20: error: admin.token_file: cannot read missing: No such file or directory (os error 2)",
        ),
        (
            with(AUTH, "auth = { kind = \"static\" }"),
            "6:8: error: virtual_host[0].auth.users: nobody could log in: there are neither users nor a users_file\n    help: write users = { john = \"…\" }, or make a users_file with `muster user add`",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"static\", users = { \"a b\" = \"secret\" } }",
            ),
            "6:37: error: virtual_host[0].auth.users.a b: \"a b\" is not a user name: localpart doesn’t pass nodeprep validation",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"static\", users = { john = \"s\", JOHN = \"t\" } }",
            ),
            "6:37: error: virtual_host[0].auth.users.john: the user john is there twice",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"static\", users = { john = \"\\u0007\" } }",
            ),
            "6:37: error: virtual_host[0].auth.users.john: no client can send this password: it is empty, too long, or SASLprep (RFC 4013) forbids a character",
        ),
        (
            with(AUTH, "auth = { kind = \"any\", users = { john = \"s\" } }"),
            "6:32: error: virtual_host[0].auth.users: the key belongs to kind = \"static\", and this is kind = \"any\"",
        ),
        (
            with(AUTH, "auth = { kind = \"http\" }"),
            "6:8: error: virtual_host[0].auth.url: the key is missing\n    help: add `url = \"http://127.0.0.1:8080/auth\"`",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"http\", url = \"http://app.example.com/auth\" }",
            ),
            "6:31: error: virtual_host[0].auth.url: passwords would travel in the clear to app.example.com\n    help: use https or a loopback address; on a network that you trust, set allow_plain_http = true",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"http\", url = \"ftp://app.example.com/\" }",
            ),
            "6:31: error: virtual_host[0].auth.url: the scheme \"ftp\" is not http or https",
        ),
        (
            with(AUTH, "auth = { kind = \"http\", url = \"/auth\" }"),
            "6:31: error: virtual_host[0].auth.url: not a URL: relative URL without a base\n    help: write for example \"http://127.0.0.1:8080/auth\"",
        ),
        (
            with(
                URL,
                "roster.http_roster_url = \"http://127.0.0.1/contacts\"",
            ),
            "7:26: error: virtual_host[0].roster.http_roster_url: must contain %s, which stands for the username, in its path or query\n    help: write for example \"https://app.example.com/contacts/%s\"",
        ),
        (
            with(
                AUTH,
                "auth = { kind = \"any\" }\nroster.plugin = \"missing.wasm\"",
            ),
            "7:17: error: virtual_host[0].roster.plugin: cannot read missing.wasm: No such file or directory (os error 2)",
        ),
        (
            format!("log.level = \"=\"\n{SMALLEST}"),
            "1:13: error: log.level: this log filter cannot be parsed\n    help: write for example \"info\" or \"warn,muster_server=debug\"",
        ),
        (
            format!(
                "{SMALLEST}\n[[virtual_host]]\ndomain = \"EXAMPLE.test\"\nauth.kind = \"any\"\n{URL}"
            ),
            "10:10: error: virtual_host[1].domain: the domain example.test is there twice; the first one is on line 5",
        ),
        (
            format!("{TLS}\n{TOKENS}"),
            "1:1: error: virtual_host: there is no virtual host, so nobody could log in\n    help: add a section [[virtual_host]] with domain = \"example.test\"",
        ),
    ];
    for (text, expected) in cases {
        check(&text, expected);
    }
}

#[test]
fn a_broken_text_is_one_fault_at_its_place() {
    let faults = parse("[xmpp\nlisten = 1").unwrap_err();
    let first = faults.iter().next().unwrap();
    assert!(matches!(first.problem, Problem::Syntax { .. }), "{first}");
    assert_eq!(first.position, Position { line: 1, column: 6 });
}

#[test]
fn an_app_on_a_trusted_network_can_be_asked_without_tls() {
    let text = with(
        AUTH,
        r#"auth = { kind = "http", url = "http://app:8080/auth", allow_plain_http = true }"#,
    );
    let config = parse(&text).unwrap();
    assert!(
        matches!(&config.virtual_hosts[0].auth, Auth::Http { url, .. } if url.as_str() == "http://app:8080/auth")
    );
}

#[test]
fn files_are_found_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let credentials =
        AccountCredentials::from_password("secret", [[1; 16], [2; 16]], MIN_ITERATIONS).unwrap();
    users_file::set(
        &directory.path().join("users"),
        &"john".parse().unwrap(),
        &credentials,
    )
    .unwrap();
    std::fs::write(
        directory.path().join("tokens"),
        "# for the app\n0123456789abcdef\n",
    )
    .unwrap();
    open_to_all(&directory.path().join("tokens"));
    let text = with(AUTH, r#"auth = { kind = "static", users_file = "users" }"#);
    let text = text.replace(TOKENS, "admin.token_file = \"tokens\"");

    let config = Config::parse(&text, &directory.path().join("muster.toml")).unwrap();
    assert_eq!(config.admin.tokens[0].expose_secret(), "0123456789abcdef");
    let Auth::Static { users } = &config.virtual_hosts[0].auth else {
        panic!("static")
    };
    assert!(
        matches!(users.values().next(), Some(Credential::Scram(keys)) if keys.verify_plain("secret"))
    );
    // The users file is private, the tokens are not.
    let [warning] = config.warnings.as_slice() else {
        panic!("{:?}", config.warnings)
    };
    assert!(
        matches!(warning.problem, Problem::ReadableByAll { mode: 0o644, .. }),
        "{warning}"
    );
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

/// A configuration beside the files of `pair`, with a certificate and nothing to say about TLS.
fn with_certificate(pair: &Pair) -> (tempfile::TempDir, Result<Config, Faults>) {
    let directory = tempfile::tempdir().unwrap();
    pair.write(directory.path());
    let text = SMALLEST.replace(TLS, "");
    let text = format!("{text}\ntls = {{ certificate = \"crt\", key = \"key\" }}");
    let config = Config::parse(&text, &directory.path().join("muster.toml"));
    (directory, config)
}

#[test]
fn a_certificate_is_all_that_tls_needs() {
    let (directory, config) = with_certificate(&pair("example.test", 90));
    let config = config.unwrap();
    assert!(config.xmpp.require_tls && config.warnings.is_empty());
    let tls = config.virtual_hosts[0].tls.as_ref().unwrap();
    assert_eq!(tls.files.key, directory.path().join("key"));
}

#[test]
fn what_clients_would_refuse_is_a_warning() {
    for (pair, expected) in [
        (
            pair("example.com", 90),
            "example.test: the certificate is not for this domain; clients refuse it\n    help: the certificate needs example.test among its subject alternative names",
        ),
        (
            pair("example.test", 0),
            "example.test: the certificate has expired; clients refuse it",
        ),
        (
            pair("example.test", 10),
            "example.test: the certificate expires in 9 days",
        ),
    ] {
        let (_directory, config) = with_certificate(&pair);
        let [warning] = &config.unwrap().warnings[..] else {
            panic!("one warning: {expected}")
        };
        assert!(warning.to_string().ends_with(expected), "{warning}");
        assert_eq!(warning.key, "virtual_host[0].tls.certificate");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (_directory, config) = with_certificate(&Pair {
        key: pair("example.test", 90).key,
        ..pair("example.test", 90)
    });
    let faults = config.unwrap_err();
    let told = faults.to_string();
    assert!(
        told.contains("key is not the one of the certificate in"),
        "{told}"
    );
}

#[test]
fn a_wrong_line_of_the_users_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("users"), "john:secret\n").unwrap();
    let text = with(AUTH, r#"auth = { kind = "static", users_file = "users" }"#);
    let faults = Config::parse(&text, &directory.path().join("muster.toml")).unwrap_err();
    let told = faults.to_string();
    assert!(
        told.contains("users:1: not of the form MECHANISM$"),
        "{told}"
    );
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn a_short_token_is_a_warning() {
    let config = parse(&with(TOKENS, "admin.tokens = [\"short\"]")).unwrap();
    let told: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "muster.toml:3:17: warning: admin.tokens[0]: this token has 5 characters; it can be guessed\n    help: make one with `openssl rand -hex 32`"
        ]
    );
}

#[test]
fn no_secret_is_shown() {
    let text = with(
        AUTH,
        r#"auth = { kind = "static", users = { john = "hunter2" } }"#,
    );
    let config = parse(&text).unwrap();
    let Auth::Static { users } = &config.virtual_hosts[0].auth else {
        panic!("static")
    };
    let Some(Credential::Password(password)) = users.values().next() else {
        panic!("a password")
    };
    assert_eq!(password.expose_secret(), "hunter2");
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("0123456789abcdef"),
        "{shown}"
    );
}

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

#[test]
fn one_host_can_have_limits_of_its_own() {
    let text = format!(
        "{SMALLEST}[virtual_host.plugin]\ndeny_all_stubs = true\nlimits.memory_bytes = \"128MiB\"\n\
         [virtual_host.backend.limits]\ntimeout = \"10s\"\n[limits.plugin]\nturn = \"50ms\"\n"
    );
    let config = parse(&text).unwrap();
    let host = &config.virtual_hosts[0];
    assert!(host.plugin.deny_all_stubs);
    let limits = config.limits.of_host(host);
    assert_eq!(limits.plugin.memory_bytes, 128 << 20);
    assert_eq!(limits.plugin.turn, std::time::Duration::from_millis(50));
    assert_eq!(limits.backend.request(), std::time::Duration::from_secs(9));
    assert_eq!(limits.backend.connect(), std::time::Duration::from_secs(3));
    assert_eq!(config.limits.plugin.memory_bytes, 64 << 20);
    check(
        &format!("{SMALLEST}[virtual_host.plugin.limits]\nwasm_stack_bytes = \"1MiB\"\n"),
        "9:1: error: virtual_host[0].plugin.limits.wasm_stack_bytes: there is no such key\n    help: there is `limits.plugin.wasm_stack_bytes`",
    );
}

/// `SMALLEST` with settings for the plugin of its host.
fn with_settings(pairs: &str) -> String {
    format!("{SMALLEST}[virtual_host.plugin.settings]\n{pairs}\n")
}

#[test]
fn a_plugin_has_settings_of_its_own_that_nobody_shows() {
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("muster.toml");
    std::fs::write(directory.path().join("webhook"), "hunter2 \n").unwrap();
    let text = with_settings(
        "page_size = \"100\"\nempty = \"\"\nwebhook_secret = { file = \"webhook\" }\nhome = { env = \"PATH\" }",
    );
    let config = Config::parse(&text, &origin).unwrap();
    let settings = &config.virtual_hosts[0].plugin.settings;
    let path = std::env::var("PATH").unwrap();
    let expected = [
        ("empty", ""),
        ("home", path.as_str()),
        ("page_size", "100"),
        ("webhook_secret", "hunter2"),
    ];
    let mut pairs: Vec<_> = settings.iter().collect();
    pairs.sort_unstable();
    assert_eq!(pairs, expected);
    let shown = format!("{config:?}");
    assert!(shown.contains("webhook_secret"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn settings_that_a_plugin_cannot_have_are_faults() {
    for (pair, problem) in [
        (
            "domain = \"x\"",
            "domain: the plugin has this setting from the server\n    help: give it another name; this one follows from the virtual host and the limits",
        ),
        (
            "http_rosters_url = \"x\"",
            "http_rosters_url: the plugin has this setting from the server",
        ),
        (
            "Page = \"x\"",
            "Page: the name of a setting has a-z, 0-9 and _, begins with a letter, and has at most 64 bytes",
        ),
        ("a-b = \"x\"", "a-b: the name of a setting has"),
        ("_a = \"x\"", "_a: the name of a setting has"),
        (
            "number = 7",
            "number: expected a string in quotes, { env = \"…\" } or { file = \"…\" }, found integer",
        ),
        (
            "both = { env = \"PATH\", file = \"x\" }",
            "both: expected a string in quotes",
        ),
        (
            "other = { path = \"x\" }",
            "other: expected a string in quotes",
        ),
        (
            "unset = { env = \"MUSTER_TEST_UNSET\" }",
            "unset: the environment variable MUSTER_TEST_UNSET is not set",
        ),
        (
            "gone = { file = \"/nowhere/at/all\" }",
            "gone: cannot read /nowhere/at/all",
        ),
    ] {
        let told = parse(&with_settings(pair)).unwrap_err().to_string();
        let expected = format!("error: virtual_host[0].plugin.settings.{problem}");
        assert!(told.contains(&expected), "{pair}: {told}");
    }
    let long = format!("long = \"{}\"", "x".repeat(8193));
    let told = parse(&with_settings(&long)).unwrap_err().to_string();
    assert!(
        told.contains("at most 8192 bytes") && !told.contains("xxx"),
        "{told}"
    );
    let many: String = (0..65).map(|n| format!("a{n} = \"x\"\n")).collect();
    let told = parse(&with_settings(&many)).unwrap_err().to_string();
    assert!(
        told.contains("plugin.settings: there are more than 64 settings"),
        "{told}"
    );
}

#[test]
fn limits_that_depend_on_others_are_faults_with_the_remedy() {
    for (limits, expected) in [
        (
            "[limits.backend]\nrequest_timeout = \"5s\"",
            "9:19: error: limits.backend.request_timeout: must be at most 4500ms: a tenth of timeout is for the plugin to tell the reason\n    help: lower it, or raise timeout",
        ),
        (
            "[limits.backend]\ntimeout = \"2s\"\nconnect_timeout = \"3s\"",
            "10:19: error: limits.backend.connect_timeout: must be at most 1800ms: a request begins with its connection\n    help: lower it, or raise request_timeout",
        ),
        (
            "[limits.backend]\nhttp2_stream_bytes = \"8MiB\"",
            "9:22: error: limits.backend.http2_stream_bytes: must be at most 4MiB: a stream cannot use more than its connection\n    help: lower it, or raise http2_connection_bytes",
        ),
        (
            "[limits.plugin]\nlog_bytes_per_second = \"4KiB\"",
            "9:24: error: limits.plugin.log_bytes_per_second: is too little for log_line_bytes, which is 8KiB and could be 4KiB: no whole line could be logged\n    help: raise it, or lower log_line_bytes here",
        ),
        (
            "[limits.plugin]\nhandle_calls = 8",
            "9:16: error: limits.plugin.handle_calls: must be at least 20, which is limits.refresh.requests (16) and limits.refresh.running_jobs (4) together: what has its turn would be answered 429\n    help: raise it, or lower limits.refresh.requests or running_jobs",
        ),
        (
            "[limits.refresh]\nrequests = 30",
            "9:12: error: limits.refresh.requests: with limits.refresh.running_jobs (4) it is more than limits.plugin.handle_calls, which is 32: what has its turn would be answered 429\n    help: lower it or running_jobs, or raise limits.plugin.handle_calls",
        ),
        (
            "[virtual_host.plugin.limits]\nhandle_calls = 8",
            "9:16: error: virtual_host[0].plugin.limits.handle_calls: must be at least 20, which is limits.refresh.requests (16) and limits.refresh.running_jobs (4) together: what has its turn would be answered 429\n    help: raise it, or lower limits.refresh.requests or running_jobs",
        ),
        (
            "[limits.plugin]\nturn = \"5ms\"",
            "9:8: error: limits.plugin.turn: must be at least 10ms",
        ),
        (
            "[limits.plugin]\nwasm_stack_bytes = \"1KiB\"",
            "9:20: error: limits.plugin.wasm_stack_bytes: must be at least 64KiB",
        ),
    ] {
        check(&format!("{SMALLEST}{limits}\n"), expected);
    }
}

const LIMITS: &str = include_str!("../../../../docs/limits.md");

/// A row of the tables in docs/limits.md.
struct Documented<'t> {
    key: &'t str,
    default: &'t str,
    metric: &'t str,
}

fn documented_limits() -> Vec<Documented<'static>> {
    let rows = LIMITS.lines().filter(|line| line.starts_with("| `limits."));
    let cell = |cell: &'static str| cell.trim().trim_matches('`');
    rows.map(
        |row| match row.split('|').map(cell).collect::<Vec<_>>()[..] {
            ["", key, default, _, metric, ""] => Documented {
                key,
                default,
                metric,
            },
            _ => panic!("not four cells: {row}"),
        },
    )
    .collect()
}

#[test]
fn every_limit_is_documented() {
    let document = Document::parse(EXAMPLE, Path::new("muster.toml"));
    Config::read(&document);
    let known = document.known();
    let is_section = |key: &str| {
        known
            .iter()
            .any(|other| other.starts_with(&format!("{key}.")))
    };
    let keys = known.iter().map(String::as_str);
    let keys: std::collections::BTreeSet<_> = keys
        .filter(|key| key.starts_with("limits.") && !is_section(key))
        .collect();
    let rows: std::collections::BTreeSet<_> =
        documented_limits().iter().map(|row| row.key).collect();
    let missing: Vec<_> = keys.difference(&rows).collect();
    let unknown: Vec<_> = rows.difference(&keys).collect();
    assert!(missing.is_empty(), "docs/limits.md lacks {missing:?}");
    assert!(
        unknown.is_empty(),
        "docs/limits.md has {unknown:?}, which are no keys"
    );
}

#[test]
fn the_documented_defaults_are_those_of_the_example() {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    for Documented { key, default, .. } in documented_limits() {
        let mut value = Some(toml::Value::Table(example.clone()));
        for part in key.split('.') {
            value = value.and_then(|value| value.get(part).cloned());
        }
        let stated = value.map(|value| match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        });
        assert_eq!(stated.unwrap_or_default(), default, "{key}");
    }
}

#[test]
fn every_limit_has_a_metric() {
    let described = crate::telemetry::described();
    let rows = documented_limits();
    for Documented { key, metric, .. } in &rows {
        assert!(
            described.contains(metric),
            "{key}: `{metric}` is not described"
        );
    }
    for limit in crate::limit::Limit::ALL {
        let key = limit.key();
        let row = rows.iter().find(|row| row.key == key);
        let row = row.unwrap_or_else(|| panic!("{key} is counted and not documented"));
        assert_eq!(row.metric, "muster_limit_reached_total", "{key}");
    }
    for limit in muster_plugin::Limit::ALL {
        let key = limit.key();
        let row = rows.iter().find(|row| row.key == key);
        let row = row.unwrap_or_else(|| panic!("{key} is counted and not documented"));
        assert_eq!(row.metric, "muster_plugin_limit_reached_total", "{key}");
    }
}

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
