//! The app of one case: what it is asked, and how it answers.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use muster_plugin::Origin;
use parking_lot::Mutex;

use crate::fixture::{Exchange, Fault, Reply};
use crate::stage::{Answer, Answering, App};

/// The app of the case that is tried now.
#[derive(Default)]
pub(super) struct Scene(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// With the ones that were asked.
    exchanges: Vec<(Exchange, Asked)>,
    differences: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    NotYet,
    Once,
}

impl Scene {
    /// A new case.
    pub(super) fn begin(&self, app: &[Exchange]) {
        let exchanges = app.iter().map(|it| (it.clone(), Asked::NotYet));
        *self.0.lock() = State {
            exchanges: exchanges.collect(),
            differences: Vec::new(),
        };
    }

    /// What was asked otherwise than expected.
    pub(super) fn end(&self) -> Vec<String> {
        let mut state = self.0.lock();
        let mut differences = std::mem::take(&mut state.differences);
        let never = state.exchanges.iter();
        let never = never.filter(|(_, asked)| *asked == Asked::NotYet);
        differences.extend(never.map(|(exchange, _)| {
            let (method, target) = (&exchange.method, &exchange.target);
            format!("the app was not asked: {method} {target}")
        }));
        differences
    }
}

impl App for Scene {
    fn accepts(&self, _: &Origin) -> bool {
        let mut state = self.0.lock();
        let mut refusals = state.exchanges.iter_mut();
        let refusal = refusals.find(|(it, _)| it.reply.fault == Some(Fault::Unreachable));
        match refusal {
            Some((_, asked)) => {
                *asked = Asked::Once;
                false
            }
            None => true,
        }
    }

    fn answer(&self, request: Request<Bytes>) -> Answering {
        let reply = self.0.lock().reply(&request);
        Box::pin(act(reply))
    }
}

impl State {
    /// Entries that are alike are answered in their order, each once.
    fn reply(&mut self, request: &Request<Bytes>) -> Option<Reply> {
        let method = request.method();
        let target = request.uri().path_and_query().map_or("", |it| it.as_str());
        let mut left = self.exchanges.iter_mut();
        let next = left.find(|(exchange, asked)| {
            *asked == Asked::NotYet && exchange.method == method && exchange.target == target
        });
        let Some((exchange, asked)) = next else {
            let what =
                format!("the app was asked what the fixture has no answer to: {method} {target}");
            self.differences.push(what);
            return None;
        };
        *asked = Asked::Once;
        for (name, value) in &exchange.headers {
            let found = request.headers().get(name);
            if found != Some(value) {
                let found = found.map_or("absent".to_owned(), |it| format!("{it:?}"));
                self.differences.push(format!(
                    "{method} {target}: the header {name} is {found}, expected {value:?}"
                ));
            }
        }
        if let Some(body) = &exchange.body
            && !body.matches(request.body())
        {
            let found = String::from_utf8_lossy(request.body());
            self.differences.push(format!(
                "{method} {target}: the body is {found}, expected {body}"
            ));
        }
        Some(exchange.reply.clone())
    }
}

async fn act(reply: Option<Reply>) -> Answer {
    let Some(reply) = reply else {
        let mut unknown = Response::new(Bytes::new());
        *unknown.status_mut() = StatusCode::NOT_IMPLEMENTED;
        return Answer::Response(unknown);
    };
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    match reply.fault {
        None => Answer::Response(response),
        Some(Fault::Cut) => Answer::Cut(response),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset | Fault::Unreachable) => Answer::Reset,
    }
}
