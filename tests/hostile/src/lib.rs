//! A plugin that does what a plugin must not do; for tests of the sandbox.
//!
//! The username of a `fetch`, or the path of an HTTP request, chooses the
//! deed, unless one is written into the component ([`every_call`]). A username
//! is a deed, then, behind a blank or a `+`, what it is done to (percent-encoded
//! behind a `+`, where usernames have no blanks); what follows a dot in the deed
//! only tells users apart. What the plugin saw of the host comes back in the
//! text of `fetch-error.malformed`, or as the body of the response.

mod answers;
mod every_call;
mod exhaustion;
mod lies;
mod logs;
mod network;
mod refreshing;

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        // More than plugins need, and no more than the linker has.
        inline: "
            package muster:hostile;
            world hostile {
                include muster:roster/plugin@0.1.0;
                import wasi:cli/stdin@0.3.2;
                import wasi:clocks/monotonic-clock@0.3.2;
                import wasi:random/random@0.3.2;
            }
        ",
        world: "muster:hostile/hostile",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::exports::muster::roster::roster;
use bindings::exports::wasi::http::handler;
use bindings::muster::roster::types::{Contact, ContactList, FetchError, Fetched, Subscription};
use bindings::wasi::http::types::{ErrorCode, Request, Response};

/// Whom the host asks for before it lets a plugin serve.
const SELF_TEST: &str = "muster-self-test";

struct Plugin;

impl roster::Guest for Plugin {
    async fn fetch(username: String, _known: Option<String>) -> Result<Fetched, FetchError> {
        match every_call::deed() {
            "" => {
                let (deed, rest) = parse(&username);
                perform(deed, &rest).await
            }
            "asks" => network::asks(&username).await,
            "trap-handle" => honest(),
            // Good enough to be loaded.
            "trap" | "never" if username == SELF_TEST => honest(),
            "some" => some(&username),
            "trap-test" => exhaustion::trap(),
            "never-test" => exhaustion::never().await,
            deed => perform(deed, "").await,
        }
    }
}

impl handler::Guest for Plugin {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let path = path.strip_prefix("/roster_admin").unwrap_or(&path);
        match every_call::deed() {
            "" => answers::answer(request, path).await,
            "trap-handle" => exhaustion::trap(),
            _ => Ok(refreshing::refresh(request, path).await),
        }
    }
}

/// Bad for some users, and of no use to others.
fn some(username: &str) -> Result<Fetched, FetchError> {
    match username.chars().last() {
        _ if username == SELF_TEST => honest(),
        Some('3') => exhaustion::trap(),
        Some('7') => exhaustion::spin(),
        _ => Err(FetchError::Unavailable),
    }
}

/// A deed and what it is done to.
fn parse(username: &str) -> (&str, String) {
    let (deed, rest) = match username.split_once(' ') {
        Some((deed, rest)) => (deed, rest.to_owned()),
        None => match username.split_once('+') {
            Some((deed, rest)) => (deed, decode(rest)),
            None => (username, String::new()),
        },
    };
    (deed.split('.').next().unwrap_or(deed), rest)
}

/// `%41` is `A`, `+` a blank.
fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        decoded.extend(u8::from_str_radix(digits, 16).map(char::from));
        decoded.push_str(rest);
    }
    decoded
}

async fn perform(deed: &str, rest: &str) -> Result<Fetched, FetchError> {
    match deed {
        "trap" => exhaustion::trap(),
        "panic" => panic!("a panic\n2026-01-01T00:00:00Z ERROR muster: forged"),
        "exit" => std::process::exit(0),
        "spin" => exhaustion::spin(),
        "spin-later" => exhaustion::spin_later().await,
        "grow" => exhaustion::grow(),
        "recurse" => said(exhaustion::recurse(1).to_string()),
        "handles" => exhaustion::handles(),
        "fields" => exhaustion::fields(),
        "hoard-fields" => exhaustion::hoard_fields(),
        "hoard-requests" => exhaustion::hoard_requests(rest),
        "tasks" => exhaustion::tasks().await,
        "never" => exhaustion::never().await,
        "sleep" => exhaustion::sleep_for_years().await,
        "block" => exhaustion::block(600_000),
        "slow" => exhaustion::block(300),
        "random" => exhaustion::random(),
        "stdin" => exhaustion::stdin().await,
        "many" => lies::many(),
        "lie" => lies::lie(),
        "strangers" => lies::strangers(),
        "markup" => lies::markup(),
        "counts" => lies::counts(),
        "groups" => lies::groups(),
        "unchanged" => Ok(Fetched::Unchanged),
        "malformed" => said("as always".to_owned()),
        "quotes" => said("a\r\n<b>'\u{1b}[31m".repeat(10_000)),
        "environment" => lies::environment(),
        "flood" => logs::flood(),
        "forge" => logs::forge(),
        "refresh" => refreshing::from_a_fetch().await,
        "get" => network::get(rest).await,
        "send" => network::send(rest).await,
        "header" => network::header(rest).await,
        "trailers" => network::trailers().await,
        "body" => network::body(rest).await,
        "no-time" => network::no_time().await,
        "forget" => network::forget().await,
        "leak" => network::leak(rest).await,
        "missing" => Err(FetchError::NotFound),
        _ => honest(),
    }
}

fn honest() -> Result<Fetched, FetchError> {
    Ok(list(vec![contact("marie@example.test")]))
}

fn said(text: String) -> Result<Fetched, FetchError> {
    Err(FetchError::Malformed(text))
}

fn list(contacts: Vec<Contact>) -> Fetched {
    Fetched::Roster(ContactList {
        contacts,
        validator: Some("\"v1\"".to_owned()),
        skipped: 0,
    })
}

fn contact(jid: &str) -> Contact {
    Contact {
        jid: jid.to_owned(),
        name: None,
        groups: Vec::new(),
        subscription: Subscription::Both,
    }
}
