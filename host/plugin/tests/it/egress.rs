//! Where requests go and as whom: names that change their addresses, redirects,
//! secrets, and what a prying plugin sees of all that.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use http::Method;
use muster_plugin::{
    AllowedOrigin, Authorization, Limits, Origin, PrivateAddresses, Resolve, Resolving,
};
use secrecy::SecretString;

use crate::app::App;
use crate::counted;
use crate::host::{prying, reaching, seen};

/// A resolver that has an answer for each lookup, and then the last one again.
pub(crate) struct Scripted(Mutex<VecDeque<Vec<&'static str>>>);

impl Scripted {
    pub(crate) fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Arc::new(Self(Mutex::new(answers)))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _name: &'a str, port: u16) -> Resolving<'a> {
        let mut answers = self.0.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap_or_default(),
        };
        let at = |address: &str| SocketAddr::new(address.parse().unwrap(), port);
        let answer = answer.into_iter().map(at).collect();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn get(url: &str) -> AllowedOrigin {
    AllowedOrigin::get(Origin::of_url(url).unwrap())
}

fn known_by(url: &str, secret: &str) -> AllowedOrigin {
    let secret = SecretString::from(secret);
    AllowedOrigin {
        authorization: Some(Authorization::new("Bearer", &secret).unwrap()),
        ..get(url)
    }
}

/// Whether anybody has connected to the listener.
fn was_dialled(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    match listener.accept() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

/// The address of the operator's app is 127.0.0.1; on 127.0.0.2 is somebody
/// whom no plugin may reach.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_address_is_judged_again() {
    let app = App::plain().await;
    let inside = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), app.port());
    let inside = TcpListener::bind(inside).unwrap();
    let mut allowed = get(&format!("http://app.example.test:{}", app.port()));
    allowed.private_addresses = PrivateAddresses::Within(vec!["127.0.0.1/32".parse().unwrap()]);
    let vhost = "rebinding.example.test";
    let mut settings = reaching(vhost, vec![allowed]);
    let resolver = Scripted::new(&[
        &["127.0.0.1"],
        &["127.0.0.2"],
        &["169.254.169.254", "::ffff:127.0.0.1"],
        &[],
        &["127.0.0.2", "127.0.0.1", "169.254.169.254"],
        &["127.0.0.2"],
    ]);
    settings.resolver = Arc::clone(&resolver) as _;
    // Each question is told apart.
    settings.limits.retry_share = 0;
    let plugin = prying(settings).await;
    let ask = |path| format!("ask GET http app.example.test:{} {path}", app.port());

    let well = seen(&plugin, &ask("/a")).await;
    assert!(well.starts_with("200"), "{well}");
    // The connection is kept: the name is not looked up again, so nobody can
    // exchange what was checked.
    let well = seen(&plugin, &ask("/b")).await;
    assert!(well.starts_with("200"), "{well}");
    assert_eq!((app.connections(), resolver.left()), (1, 5));
    // It ends with this answer, and the next request needs another.
    let cut = seen(&plugin, &ask("/reset")).await;
    assert!(cut.starts_with("ErrorCode"), "{cut}");

    for expected in [
        "ErrorCode::DestinationIpProhibited",
        "ErrorCode::DestinationIpProhibited",
        "ErrorCode::DestinationNotFound",
    ] {
        assert_eq!(seen(&plugin, &ask("/c")).await, expected);
    }
    assert_eq!(app.connections(), 1);
    // Both at once: the allowed one is dialled, the other is not.
    let well = seen(&plugin, &ask("/d")).await;
    assert!(well.starts_with("200"), "{well}");
    assert_eq!((app.connections(), resolver.left()), (2, 1));
    assert!(!was_dialled(&inside));
    let denied = [("vhost", vhost), ("reason", "address")];
    assert_eq!(counted::counter("muster_egress_denied_total", &denied), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_an_answer_unless_it_is_to_be_followed() {
    let (app, other) = (App::plain().await, App::plain().await);
    let origins = vec![
        known_by(&format!("http://{}", app.address), "for the app"),
        get(&format!("http://{}", other.address)),
    ];
    let plugin = prying(reaching("answers.example.test", origins)).await;
    for code in [301, 302, 303, 307, 308] {
        let ask = format!(
            "ask GET http {} /{code}?http://{}/echo",
            app.address, other.address
        );
        let answer = seen(&plugin, &ask).await;
        assert!(answer.starts_with(&code.to_string()), "{answer}");
    }
    assert_eq!(other.connections(), 0);
}

/// Each hop is admitted anew, and gets the secret of its own origin or none.
#[tokio::test(flavor = "multi_thread")]
async fn hops_are_admitted_anew_and_keep_secrets_apart() {
    let apps = [
        App::plain().await,
        App::plain().await,
        App::plain().await,
        App::plain().await,
    ];
    let [first, second, bare, posting] = &apps;
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = |app: &App| format!("http://{}", app.address);
    let vhost = "hops.example.test";
    let origins = vec![
        AllowedOrigin {
            redirects: 2,
            methods: vec![Method::GET, Method::POST],
            ..known_by(&url(first), "first")
        },
        AllowedOrigin {
            redirects: 2,
            ..known_by(&url(second), "second")
        },
        get(&url(bare)),
        AllowedOrigin {
            methods: vec![Method::POST],
            ..known_by(&url(posting), "posting")
        },
    ];
    let plugin = prying(reaching(vhost, origins)).await;
    let ask = async |deed: &str, path: String| {
        let method = if deed == "post" { "POST" } else { "GET" };
        seen(
            &plugin,
            &format!("{deed} {method} http {} {path}", first.address),
        )
        .await
    };

    let echoed = ask("ask", format!("/302?{}/echo", url(second))).await;
    assert!(echoed.contains("authorization=Bearer second"), "{echoed}");
    let echoed = ask("ask", format!("/302?{}/echo", url(bare))).await;
    assert!(
        echoed.starts_with("200") && !echoed.contains("Bearer"),
        "{echoed}"
    );
    let echoed = ask("ask", "/307?echo".to_owned()).await;
    assert!(echoed.contains("authorization=Bearer first"), "{echoed}");
    // Two hops, and no third.
    let chain = format!("/302?{}/302?{}/echo", url(second), url(bare));
    assert!(ask("ask", chain).await.starts_with("200"));
    let chain = format!("/302?{0}/302?{0}/302?{1}/echo", url(second), url(bare));
    let end = ask("ask", chain).await;
    assert!(end.starts_with("302"), "{end}");
    // An origin that has no redirects of its own ends the chain.
    let end = ask("ask", format!("/302?{}/302?{}/echo", url(bare), url(first))).await;
    assert!(end.starts_with("302"), "{end}");
    // Nobody that is not listed, not with this method, nothing with a body.
    for target in [
        format!("http://{}/", stranger.local_addr().unwrap()),
        format!("https://{}/", second.address),
        format!("http://x@{}/", second.address),
        format!("{}/", url(posting)),
        "http://169.254.169.254/".to_owned(),
        "ftp://app.example.test/".to_owned(),
    ] {
        let refused = ask("ask", format!("/302?{target}")).await;
        assert_eq!(refused, "ErrorCode::HttpRequestDenied", "{target}");
    }
    let answer = ask("post", format!("/307?{}/echo", url(second))).await;
    assert!(answer.starts_with("307"), "{answer}");
    assert!(!was_dialled(&stranger));
    assert_eq!(posting.connections(), 0);
    let heads = bare.heads();
    assert!(
        heads.iter().all(|head| !head.contains("authorization")),
        "{heads:?}"
    );
    let followed = counted::counter("muster_egress_redirects_total", &[("vhost", vhost)]);
    assert_eq!(followed, 3 + 2 + 2 + 1);
}

/// An app that sends what it was sent does show the secret: the plugin reads
/// the answers. Nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_unreadable_in_the_sandbox() {
    let (app, other) = (App::plain().await, App::plain().await);
    let origins = vec![
        known_by(&format!("http://{}", app.address), "hunter2"),
        get(&format!("http://{}", other.address)),
    ];
    let settings = reaching("secrets.example.test", origins);
    assert!(!format!("{settings:?}").contains("hunter2"));
    let plugin = prying(settings).await;
    assert!(!format!("{plugin:?}").contains("hunter2"));

    // The guest asserts that it can set no header of the host's; it sees no
    // `authorization` among those of an answer.
    let answer = seen(&plugin, &format!("ask GET http {} /echo", app.address)).await;
    assert!(answer.contains("x-mine: yes"), "{answer}");
    assert!(!answer.contains("reflected"), "{answer}");
    assert!(app.heads()[0].contains("authorization=Bearer hunter2"));
    let config = seen(&plugin, "config").await;
    assert!(!config.contains("hunter2"), "{config}");
    let answer = seen(&plugin, &format!("ask GET http {} /echo", other.address)).await;
    assert!(
        answer.starts_with("200") && !answer.contains("hunter2"),
        "{answer}"
    );
    assert!(!other.heads()[0].contains("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_can_be_exchanged_while_the_plugin_runs() {
    let app = App::plain().await;
    let url = format!("http://{}", app.address);
    let plugin = prying(reaching(
        "renewed.example.test",
        vec![known_by(&url, "old")],
    ))
    .await;
    let ask = format!("ask GET http {} /echo", app.address);
    assert!(seen(&plugin, &ask).await.contains("Bearer old"));
    let origins = vec![known_by(&url, "new")];
    plugin
        .renew_egress(muster_plugin::EgressPolicy { origins })
        .unwrap();
    assert!(seen(&plugin, &ask).await.contains("Bearer new"));
    assert_eq!(app.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_not_sent() {
    let app = App::plain().await;
    let mut allowed = get(&format!("http://{}", app.address));
    allowed.methods = vec![Method::POST];
    let plugin = prying(reaching("trailers.example.test", vec![allowed])).await;
    let answer = seen(&plugin, &format!("post POST http {} /", app.address)).await;
    assert!(answer.starts_with("200"), "{answer}");
    assert_eq!(app.bodies(), ["body None"]);
    let head = &app.heads()[0];
    assert!(head.contains("content-length=4"), "{head}");
    for name in ["trailer", "te=", "transfer-encoding"] {
        assert!(!head.contains(name), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_bound_wait_and_bodies_are_bounded() {
    let app = App::plain().await;
    let mut allowed = get(&format!("http://{}", app.address));
    allowed.methods.push(Method::POST);
    let vhost = "bounds.example.test";
    let mut settings = reaching(vhost, vec![allowed]);
    settings.limits = Limits {
        concurrent_requests: 1,
        request_bytes: 3,
        ..settings.limits
    };
    let plugin = prying(settings).await;
    let ask = format!("ask GET http {} /echo", app.address);
    let calls = futures_util::future::join_all((0..5).map(|_| seen(&plugin, &ask))).await;
    assert!(
        calls.iter().all(|answer| answer.starts_with("200")),
        "{calls:?}"
    );
    assert_eq!(app.connections(), 1);
    assert!(counted::limit(vhost, "limits.backend.concurrent_requests") > 0);
    let refused = seen(&plugin, &format!("post POST http {} /", app.address)).await;
    assert!(refused.contains("HttpRequestBodySize"), "{refused}");
    assert_eq!(counted::limit(vhost, "limits.backend.request_bytes"), 1);
}
