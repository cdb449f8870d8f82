//! The command line as a whole: its definition is sound, and faults have their exit codes.

use std::path::Path;
use std::process::ExitCode;

use super::*;

fn muster(arguments: &[&str]) -> ExitCode {
    let arguments = std::iter::once("muster").chain(arguments.iter().copied());
    run(arguments.map(OsString::from))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn exit_codes_are_those_of_sysexits() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("faulty.toml"), "[xmpp]").unwrap();
    std::fs::write(
        path("good.toml"),
        include_str!("../../../../muster.example.toml"),
    )
    .unwrap();
    let users = path("users");
    let cases: [(&[&str], u8); 9] = [
        (&["version"], 0),
        (&["--help"], 0),
        (&["completions", "zsh"], 0),
        (&["check-config", &path("good.toml")], 0),
        (&["no-such-command"], 64),
        (&["serve", "--config", &path("faulty.toml")], 64),
        (
            &[
                "user",
                "add",
                "a b",
                "--users-file",
                &users,
                "--password-stdin",
            ],
            65,
        ),
        (&["refresh", "john", "--url", "ftp://127.0.0.1"], 64),
        (&["check-config", &path("missing.toml")], 74),
    ];
    for (arguments, code) in cases {
        assert_eq!(muster(arguments), ExitCode::from(code), "{arguments:?}");
    }
    assert!(!Path::new(&users).exists());
}

#[test]
fn a_self_signed_certificate_is_what_a_server_takes() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().to_str().unwrap();
    let make = |domain: &str| muster(&["cert", "self-signed", domain, "--out", out]);
    assert_eq!(make("example.test"), ExitCode::SUCCESS);
    let (certificate, key) = (
        directory.path().join("example.test.crt"),
        directory.path().join("example.test.key"),
    );
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let config = directory.path().join("muster.toml");
    let text = "admin.tokens = [\"0123456789abcdef\"]\n[[virtual_host]]\ndomain = \"example.test\"\n\
        auth = { kind = \"static\", users = { john = \"secret\" } }\n\
        roster.http_roster_url = \"http://127.0.0.1:8080/contacts/%s\"\n\
        [virtual_host.tls]\ncertificate = \"example.test.crt\"\nkey = \"example.test.key\"\n";
    std::fs::write(&config, text).unwrap();
    let config = crate::config::Config::load(&config).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);

    // Neither of the two is replaced by another one.
    let before = std::fs::read(&key).unwrap();
    assert_eq!(make("example.test"), ExitCode::from(74));
    std::fs::rename(&key, directory.path().join("elsewhere")).unwrap();
    assert_eq!(make("example.test"), ExitCode::from(74));
    assert!(!key.exists() && certificate.exists());
    assert_eq!(
        std::fs::read(directory.path().join("elsewhere")).unwrap(),
        before
    );
    assert_eq!(make("no domain"), ExitCode::from(65));
}

/// Answers like the refresh route: john is fine, nobody else is. With more than two users it
/// answers as a job, whose events end with the answer.
async fn server() -> std::net::SocketAddr {
    use axum::http::{HeaderMap, StatusCode};
    let report = |body: &str| {
        let names: Vec<String> = serde_json::from_str(body).unwrap();
        let user = |name: &String| match name.as_str() {
            "john" => serde_json::json!({"username": name, "outcome": "updated", "added": 1}),
            _ => {
                serde_json::json!({"username": name, "outcome": "failed", "error": {"message": "no", "temporary": true}})
            }
        };
        let updated = names.iter().filter(|name| *name == "john").count();
        let users: Vec<_> = names.iter().map(user).collect();
        serde_json::json!({"updated": updated, "users": users})
    };
    let answer = async move |headers: HeaderMap, body: String| {
        if headers
            .get("authorization")
            .is_none_or(|token| token != "Bearer right")
        {
            return (StatusCode::UNAUTHORIZED, HeaderMap::new(), "no".to_owned());
        }
        let names: Vec<String> = serde_json::from_str(&body).unwrap();
        let mut fields = HeaderMap::new();
        if names.len() < 3 {
            return (StatusCode::OK, fields, report(&body).to_string());
        }
        fields.insert("location", "/roster_admin/jobs/1".parse().unwrap());
        (StatusCode::ACCEPTED, fields, "{}".to_owned())
    };
    let events = async move || {
        let body = report(r#"["john","john","john"]"#);
        let job =
            serde_json::json!({"state": "done", "done": 3, "answer": {"code": 200, "body": body}});
        format!(
            "event: progress\ndata: {{\"state\":\"running\",\"done\":1,\"total\":3}}\n\n:\n\nevent: end\ndata: {job}\n\n"
        )
    };
    let router = axum::Router::new()
        .route("/roster_admin/refresh", axum::routing::post(answer))
        .route("/roster_admin/jobs/1", axum::routing::get(events));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

#[test]
fn a_refresh_tells_by_its_exit_code_what_came_of_it() {
    let runtime = runtime().unwrap();
    let url = format!("http://{}", runtime.block_on(server()));
    let refresh = |url: &str, arguments: &[&str]| {
        let all = ["refresh", "--url", url]
            .into_iter()
            .chain(arguments.iter().copied());
        muster(&all.collect::<Vec<_>>())
    };
    assert_eq!(
        refresh(&url, &["john", "--token", "right"]),
        ExitCode::SUCCESS
    );
    assert_eq!(
        refresh(&url, &["john", "marie", "--token", "right", "--json"]),
        ExitCode::from(1)
    );
    assert_eq!(
        refresh(&url, &["john", "--token", "wrong"]),
        ExitCode::from(77)
    );
    assert_eq!(
        refresh(
            &url,
            &["john", "john", "john", "--token", "right", "--dry-run"]
        ),
        ExitCode::SUCCESS
    );
    let route = format!("{url}/roster_admin/refresh");
    assert_eq!(
        refresh(&route, &["john", "--token", "right"]),
        ExitCode::SUCCESS
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "# for the app\nright\n").unwrap();
    assert_eq!(
        refresh(&url, &["john", "--token-file", file.to_str().unwrap()]),
        ExitCode::SUCCESS
    );

    std::fs::write(directory.path().join("names"), "john\n# marie\n").unwrap();
    let names = directory.path().join("names");
    assert_eq!(
        refresh(
            &url,
            &["--file", names.to_str().unwrap(), "--token", "right"]
        ),
        ExitCode::SUCCESS
    );
    assert_eq!(refresh(&url, &["--token", "right"]), ExitCode::from(64));

    let nobody = runtime.block_on(async {
        tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
    });
    assert_eq!(
        refresh(&format!("http://{nobody}"), &["john", "--token", "right"]),
        ExitCode::from(69)
    );
}
