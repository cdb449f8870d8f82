//! The configuration as the operator meets it: what is accepted, and the words for what is not.

use std::path::Path;

use muster_xmpp::sasl::{AccountCredentials, MIN_ITERATIONS};
use secrecy::ExposeSecret;

use super::*;
use crate::tls::testing::{Pair, pair};

mod limits;
mod origins;
mod settings;
mod tls;
mod tokens;

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

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
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
