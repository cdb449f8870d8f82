//! What a plugin asks of the owner of rosters.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use crate::answers::{body, response};
use crate::bindings::muster::roster::rosters;
use crate::bindings::muster::roster::types::{Failure, FetchError, Fetched, Outcome};
use crate::bindings::wasi::http::types::{Request, Response};
use crate::said;

/// Refreshes whom the path or the body names, and answers as the built-in
/// plugin does. The body is taken for the list that it should be: every other
/// piece between quotation marks is a name.
pub(crate) async fn refresh(request: Request, path: &str) -> Response {
    let names = match path.strip_prefix("/refresh/") {
        Some(name) => vec![name.to_owned()],
        None => names(request).await,
    };
    let outcomes = rosters::refresh(names).await;
    let errors = outcomes.iter().filter(|it| it.result.is_err()).count();
    let updated = outcomes.len() - errors;
    let status = if errors > 0 && updated == 0 {
        "error"
    } else {
        "ok"
    };
    let summary = format!(
        "{{\"status\":\"{status}\",\"message\":\"done\",\"updated\":{updated},\"errors\":{errors}}}"
    );
    response(summary.into_bytes())
}

async fn names(request: Request) -> Vec<String> {
    let body = body(request).await;
    let pieces = body.split('"').skip(1).step_by(2);
    pieces.map(str::to_owned).collect()
}

/// What became of whom the body names, or of john and marie.
pub(crate) async fn outcomes(request: Request) -> Response {
    let mut names = names(request).await;
    if names.is_empty() {
        names = vec!["john".to_owned(), "marie".to_owned()];
    }
    told(&rosters::refresh(names).await)
}

/// A refresh from within a fetch, which would call itself for ever.
pub(crate) async fn from_a_fetch() -> Result<Fetched, FetchError> {
    let outcomes = rosters::refresh(vec!["john".to_owned()]).await;
    said(format!("{:?}", outcomes[0].result))
}

/// A million names.
pub(crate) async fn million() -> Response {
    let names = (0..1_000_000).map(|n| format!("u{n}")).collect();
    counted(vec![rosters::refresh(names).await])
}

/// One name of four megabytes.
pub(crate) async fn long_name() -> Response {
    let outcomes = rosters::refresh(vec!["x".repeat(4 << 20)]).await;
    response(format!("{:?}", outcomes[0].result).into_bytes())
}

/// A thousand refreshes at once, each of as many names as one may have.
pub(crate) async fn crowd() -> Response {
    let names: Vec<String> = (0..10_000).map(|n| format!("u{n}")).collect();
    let refreshes = (0..1_000).map(|_| rosters::refresh(names.clone()));
    counted(all(refreshes.collect()).await)
}

/// How many succeeded, and how many were refused for each reason.
fn counted(refreshes: Vec<Vec<Outcome>>) -> Response {
    let (mut done, mut overloaded, mut other) = (0, 0, 0);
    for outcome in refreshes.iter().flatten() {
        match outcome.result {
            Ok(_) => done += 1,
            Err(Failure::Overloaded) => overloaded += 1,
            Err(_) => other += 1,
        }
    }
    response(format!("{done} done, {overloaded} overloaded, {other} other").into_bytes())
}

fn told(outcomes: &[Outcome]) -> Response {
    response(format!("{outcomes:?}").into_bytes())
}

/// All of these, at the same time.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<Option<Pin<Box<F>>>> =
        futures.into_iter().map(|it| Some(Box::pin(it))).collect();
    let mut ready = Vec::new();
    std::future::poll_fn(move |cx| {
        for slot in &mut waiting {
            if let Some(future) = slot
                && let Poll::Ready(output) = future.as_mut().poll(cx)
            {
                ready.push(output);
                *slot = None;
            }
        }
        match waiting.iter().all(Option::is_none) {
            true => Poll::Ready(std::mem::take(&mut ready)),
            false => Poll::Pending,
        }
    })
    .await
}
