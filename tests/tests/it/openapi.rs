//! The OpenAPI document against the routes that there are: in the source, and in
//! a running server.

use std::collections::{BTreeMap, BTreeSet};

use muster_tests::http::{exchange, request};
use muster_tests::muster::TOKEN;
use muster_tests::stage::{DOMAIN, Stage};
use serde_json::{Value, json};

use crate::tidy::{files, none, read};

const METHODS: [&str; 6] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"];

async fn document(stage: &Stage) -> Value {
    let reply = exchange(stage.http(), &request("GET", "/openapi.json", &[], b"")).await;
    assert_eq!(reply.status, 200);
    reply.json()
}

/// The methods of each path.
fn operations(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = |item: &Value| {
        let methods = item.as_object().expect("operations").keys();
        methods.map(|method| method.to_uppercase()).collect()
    };
    paths
        .iter()
        .map(|(path, item)| (path.clone(), methods(item)))
        .collect()
}

/// A path with values in the place of its parameters.
fn target(path: &str) -> String {
    let target = path
        .replace("{vhost}", DOMAIN)
        .replace("{username}", "john")
        .replace("{id}", "1f0c2a9b-5d0f6f7b1f6e4c0d9a3b7c1e2f405162");
    assert!(
        !target.contains('{'),
        "{path}: how is its parameter called?"
    );
    target
}

/// The paths that the source routes, those of `/admin` nested.
fn routed() -> BTreeSet<String> {
    let sources = files(&[".rs"]).into_iter();
    let sources = sources.filter(|path| path.starts_with("host/server/src/http"));
    let mut routes = BTreeSet::new();
    for path in sources {
        let text = read(&path);
        let constant = |name: &str| {
            let start = format!("const {name}: &str = \"");
            let rest = text.split(&start).nth(1).expect("the constant of a route");
            rest.split('"').next().unwrap_or_default().to_owned()
        };
        for call in text.split(".route(").skip(1) {
            let argument = call.split(',').next().unwrap_or_default().trim();
            let route = match argument.strip_prefix('"') {
                Some(rest) => rest.trim_end_matches('"').to_owned(),
                None => constant(argument),
            };
            let nested = path.to_string_lossy().contains("/control");
            routes.insert(if nested {
                format!("/admin{route}")
            } else {
                route
            });
        }
    }
    routes
}

/// What is below the one route that the server tells apart by itself.
const BELOW: &str = "/roster_admin/{*path}";

#[tokio::test]
async fn every_route_is_described_and_every_description_has_a_route() {
    let stage = Stage::own("").await;
    let described = operations(&document(&stage).await);
    let routed = routed();
    assert!(routed.contains(BELOW) && routed.len() > 10, "{routed:?}");
    let is_below = |path: &&String| path.starts_with("/roster_admin/");
    let silent = routed.iter().filter(|path| *path != BELOW);
    let silent = silent.filter(|path| !described.contains_key(*path));
    none("routes that the document does not have", silent.cloned());
    let imagined = described.keys().filter(|path| !is_below(path));
    let imagined = imagined.filter(|path| !routed.contains(*path));
    none("descriptions without a route", imagined.cloned());
    // The rooms below `/roster_admin/`, by the words that `admin` looks for.
    let admin = read("host/server/src/http/admin/mod.rs");
    let arms = admin
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\""));
    let rooms = arms.filter_map(|rest| rest.split('"').next());
    for room in rooms.chain(["refresh"]) {
        let path = format!("/roster_admin/{room}");
        assert!(described.keys().any(|it| it.starts_with(&path)), "{path}");
    }
}

/// Each description is answered by something, and what is not described is
/// refused with the methods that are.
#[tokio::test]
async fn a_running_server_takes_what_is_described_and_nothing_else() {
    let stage = Stage::own("").await;
    let document = document(&stage).await;
    let token = format!("Bearer {TOKEN}");
    let fields = [("Host", DOMAIN), ("Authorization", token.as_str())];
    for (path, methods) in operations(&document) {
        let target = target(&path);
        for method in METHODS {
            let reply = exchange(stage.http(), &request(method, &target, &fields, b"")).await;
            let status = reply.status.to_string();
            let item = &document["paths"][&path][method.to_lowercase()];
            if methods.contains(method) {
                assert!(
                    !item["responses"][&status].is_null(),
                    "{method} {path}: {status}"
                );
                continue;
            }
            assert_eq!(reply.status, 405, "{method} {path}");
            let allowed = reply.header("allow").expect("which are allowed");
            for method in allowed.split(',').map(str::trim).filter(|it| *it != "HEAD") {
                assert!(methods.contains(method), "{path} allows {method}");
            }
        }
    }
}

/// Whoever describes a route says who may use it and what it answers.
#[tokio::test]
async fn what_needs_a_token_is_described_so() {
    let stage = Stage::own("").await;
    let document = document(&stage).await;
    assert_eq!(document["openapi"], "3.1.0");
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(schemas.contains_key(name), "{name}");
    }
    for (path, methods) in operations(&document) {
        let guarded =
            path.starts_with("/admin/") || path.starts_with("/roster_admin/") || path == "/metrics";
        for method in methods {
            let operation = &document["paths"][&path][method.to_lowercase()];
            assert_eq!(operation["security"].is_array(), guarded, "{method} {path}");
            let told = !operation["responses"]["401"].is_null();
            assert_eq!(told, guarded, "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
}

/// What is sent in place of the token.
fn instead_of_the_token() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let field = |value: String| vec![("Authorization", value)];
    let right = format!("Bearer {TOKEN}");
    vec![
        ("nothing", Vec::new()),
        ("another", field("Bearer wrong".to_owned())),
        (
            "its beginning",
            field(format!("Bearer {}", &TOKEN[..TOKEN.len() - 1])),
        ),
        ("its end", field(format!("Bearer {}", &TOKEN[1..]))),
        ("more than it", field(format!("{right}x"))),
        ("an empty one", field("Bearer ".to_owned())),
        ("another scheme", field(format!("Basic {TOKEN}"))),
        ("no scheme", field(TOKEN.to_owned())),
        (
            "two of them",
            vec![
                ("Authorization", "Bearer wrong".to_owned()),
                ("Authorization", right.clone()),
            ],
        ),
        ("for a proxy", vec![("Proxy-Authorization", right)]),
        ("a cookie", vec![("Cookie", format!("token={TOKEN}"))]),
        (
            "of another site",
            vec![("Origin", "http://evil.test".to_owned())],
        ),
    ]
}

/// Promise 6: without the token no route that wants it does anything, or tells
/// whether there is what it names.
#[tokio::test]
async fn what_needs_a_token_does_nothing_without_it() {
    let stage = Stage::own("").await;
    let mut john = stage.online("john").await;
    stage.contacts("john", json!({"marie": {}}));
    let document = document(&stage).await;
    let asked = stage.app.requests().len();
    let (mut operations_tried, mut refused) = (0, 0);
    let ways = instead_of_the_token();
    for (path, methods) in operations(&document) {
        let guarded = |method: &&String| {
            document["paths"][&path][method.to_lowercase()]["security"].is_array()
        };
        for method in methods.iter().filter(guarded) {
            operations_tried += 1;
            for (way, credentials) in &ways {
                let mut fields = vec![("Host", DOMAIN), ("Content-Type", "application/json")];
                fields.extend(
                    credentials
                        .iter()
                        .map(|(name, value)| (*name, value.as_str())),
                );
                let request = request(method, &target(&path), &fields, b"[\"john\"]");
                let reply = exchange(stage.http(), &request).await;
                assert_eq!(reply.status, 401, "{method} {path}: {way}");
                let challenge = reply.header("www-authenticate");
                assert!(
                    challenge.is_some_and(|it| it.starts_with("Bearer")),
                    "{method} {path}"
                );
                refused += 1;
            }
        }
    }
    assert!(operations_tried > 15, "{operations_tried}");
    println!(
        "promise 6: {refused} requests without the token to {operations_tried} operations, in {} \
         ways: all 401",
        ways.len()
    );
    assert_eq!(stage.app.requests().len(), asked);
    assert!(john.settle().await.is_empty());
}
