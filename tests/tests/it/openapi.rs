//! The OpenAPI document against the routes that there are: in the source, and in
//! a running server.

use std::collections::{BTreeMap, BTreeSet};

use muster_tests::http::{exchange, request};
use muster_tests::muster::TOKEN;
use muster_tests::stage::{DOMAIN, Stage};
use serde_json::Value;

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
        let target = path
            .replace("{vhost}", DOMAIN)
            .replace("{username}", "john")
            .replace("{id}", "1f0c2a9b-5d0f6f7b1f6e4c0d9a3b7c1e2f405162");
        assert!(
            !target.contains('{'),
            "{path}: how is its parameter called?"
        );
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
