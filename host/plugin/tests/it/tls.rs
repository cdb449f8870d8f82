//! Real handshakes: whom the gate believes, who it is, and HTTP/2 where the app
//! offers it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_plugin::{AllowedOrigin, Limits, Origin, Plugin, PrivateAddresses, Settings, TlsAccess};
use tokio::net::TcpListener;

use crate::app::{App, Authority, Secure};
use crate::counted;
use crate::egress::Scripted;
use crate::host::{prying, reaching, seen};

const NAME: &str = "app.example.test";

/// Settings that reach `https://app.example.test` at the app's port.
fn settings(vhost: &str, port: u16, tls: TlsAccess) -> Settings {
    let origin = Origin::of_url(&format!("https://{NAME}:{port}")).unwrap();
    let allowed = AllowedOrigin {
        private_addresses: PrivateAddresses::Within(vec!["127.0.0.0/8".parse().unwrap()]),
        tls,
        ..AllowedOrigin::get(origin)
    };
    let mut settings = reaching(vhost, vec![allowed]);
    settings.resolver = Scripted::new(&[&["127.0.0.1"]]);
    settings
}

fn trusting(authority: &Authority) -> TlsAccess {
    TlsAccess {
        roots: Some(authority.roots()),
        ..TlsAccess::default()
    }
}

async fn ask(plugin: &Plugin, app: &App, path: &str) -> String {
    seen(
        plugin,
        &format!("ask GET https {NAME}:{} {path}", app.port()),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operators_authority_is_believed() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let table = [
        (
            "right",
            authority.certificate(NAME, 90),
            Some(&authority),
            "200",
        ),
        (
            "other",
            authority.certificate(NAME, 90),
            Some(&other),
            "ErrorCode::TlsCertificateError",
        ),
        (
            "mozilla",
            authority.certificate(NAME, 90),
            None,
            "ErrorCode::TlsCertificateError",
        ),
        (
            "expired",
            authority.certificate(NAME, 0),
            Some(&authority),
            "ErrorCode::TlsCertificateError",
        ),
        (
            "name",
            authority.certificate("app.example.com", 90),
            Some(&authority),
            "ErrorCode::TlsCertificateError",
        ),
    ];
    for (case, certificate, believed, expected) in table {
        let app = App::secure(Secure::by(certificate)).await;
        let tls = believed.map_or_else(TlsAccess::default, trusting);
        let vhost = format!("{case}.example.test");
        let plugin = prying(settings(&vhost, app.port(), tls)).await;
        let answer = ask(&plugin, &app, "/").await;
        assert!(answer.starts_with(expected), "{case}: {answer}");
        let failures = counted::counter(
            "muster_egress_connect_failures_total",
            &[("vhost", &vhost), ("reason", "certificate")],
        );
        assert_eq!(failures, u64::from(expected != "200"), "{case}");
        assert_eq!(app.heads().len(), usize::from(expected == "200"), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_sees_our_certificate_if_there_is_one() {
    let (authority, clients, other) = (
        Authority::new("ours"),
        Authority::new("clients"),
        Authority::new("others"),
    );
    let table = [
        ("shown", Some(clients.certificate("muster", 90)), true),
        ("missing", None, false),
        ("unknown", Some(other.certificate("muster", 90)), false),
        ("late", Some(clients.certificate("muster", 0)), false),
    ];
    for (case, identity, accepted) in table {
        let app = App::secure(Secure {
            clients: Some(clients.roots()),
            ..Secure::by(authority.certificate(NAME, 90))
        })
        .await;
        let tls = TlsAccess {
            identity,
            ..trusting(&authority)
        };
        let plugin = prying(settings(&format!("{case}.example.test"), app.port(), tls)).await;
        let answer = ask(&plugin, &app, "/").await;
        assert_eq!(answer.starts_with("200"), accepted, "{case}: {answer}");
        assert_eq!(app.heads().len(), usize::from(accepted), "{case}");
    }
}

/// A client that accepts and then says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn silence_in_the_handshake_ends_with_the_connect_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let vhost = "mute.example.test";
    let mut settings = settings(vhost, port, TlsAccess::default());
    settings.limits = Limits {
        connect: Duration::from_millis(300),
        ..settings.limits
    };
    let plugin = prying(settings).await;
    let started = Instant::now();
    let answer = seen(&plugin, &format!("ask GET https {NAME}:{port} /")).await;
    assert_eq!(answer, "ErrorCode::ConnectionTimeout");
    // Well before the 4.5 s that the request has.
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(counted::limit(vhost, "limits.backend.connect_timeout"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_where_both_want_it() {
    let authority = Authority::new("ours");
    let table: [(&str, bool, &'static [&'static str], &str); 4] = [
        ("both", true, &["h2", "http/1.1"], "HTTP/2.0"),
        ("unwanted", false, &["h2", "http/1.1"], "HTTP/1.1"),
        ("unoffered", true, &["http/1.1"], "HTTP/1.1"),
        ("unnamed", true, &[], "HTTP/1.1"),
    ];
    for (case, http2, protocols, expected) in table {
        let app = App::secure(Secure {
            protocols,
            ..Secure::by(authority.certificate(NAME, 90))
        })
        .await;
        let tls = TlsAccess {
            http2,
            ..trusting(&authority)
        };
        let plugin = prying(settings(&format!("{case}.example.test"), app.port(), tls)).await;
        let answer = ask(&plugin, &app, "/echo").await;
        assert!(answer.contains(expected), "{case}: {answer}");
    }
}

async fn speaking_http2(vhost: &str, limits: Limits) -> (App, Plugin) {
    let authority = Authority::new("ours");
    let app = App::secure(Secure::by(authority.certificate(NAME, 90))).await;
    let mut settings = settings(vhost, app.port(), trusting(&authority));
    settings.limits = Limits {
        workers: 1,
        ..limits
    };
    (app, prying(settings).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_one_connection_of_http2() {
    // The number is the subject, not the time that a busy machine takes.
    let patient = Limits {
        call: Duration::from_secs(60),
        request: Duration::from_secs(50),
        ..Limits::default()
    };
    let (app, plugin) = speaking_http2("shared.example.test", patient).await;
    assert!(ask(&plugin, &app, "/echo").await.starts_with("200"));
    let calls = (0..200).map(|_| ask(&plugin, &app, "/echo"));
    let calls = futures_util::future::join_all(calls).await;
    assert!(
        calls.iter().all(|answer| answer.starts_with("200")),
        "{calls:?}"
    );
    assert_eq!((app.connections(), app.heads().len()), (1, 201));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_http2_carries_is_bounded_too() {
    let vhost = "bounded.example.test";
    let limits = Limits {
        response_header_bytes: 16 << 10,
        response_bytes: 100 << 10,
        ..Limits::default()
    };
    let (app, plugin) = speaking_http2(vhost, limits).await;
    let answer = ask(&plugin, &app, "/many-headers").await;
    assert!(answer.starts_with("ErrorCode"), "{answer}");
    let answer = ask(&plugin, &app, "/endless").await;
    assert!(
        answer.starts_with("200 ErrorCode::HttpResponseBodySize"),
        "{answer}"
    );
    assert_eq!(counted::limit(vhost, "limits.backend.response_bytes"), 1);
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
}

/// A reset, a cut and a farewell cost the calls in question and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_of_http2_is_replaced() {
    let once = Limits {
        retry_share: 0,
        ..Limits::default()
    };
    let (app, plugin) = speaking_http2("broken.example.test", once).await;
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
    let reset = ask(&plugin, &app, "/reset").await;
    assert!(reset.starts_with("ErrorCode"), "{reset}");
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
    assert_eq!(app.connections(), 1, "a reset is about one stream");

    let cut = ask(&plugin, &app, "/cut").await;
    assert!(cut.starts_with("ErrorCode"), "{cut}");
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
    assert_eq!(app.connections(), 2);

    assert!(ask(&plugin, &app, "/go-away").await.starts_with("200"));
    for _ in 0..5 {
        assert!(ask(&plugin, &app, "/").await.starts_with("200"));
    }
    assert!(app.connections() <= 3);
}

/// The socket stays open, and nothing comes over it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_connection_of_http2_is_noticed_by_its_pings() {
    let limits = Limits {
        http2_ping: Duration::from_millis(100),
        http2_ping_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let (app, plugin) = speaking_http2("dead.example.test", limits).await;
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
    let started = Instant::now();
    let (first, second) =
        tokio::join!(ask(&plugin, &app, "/freeze"), ask(&plugin, &app, "/silent"),);
    for answer in [first, second] {
        assert!(answer.starts_with("ErrorCode"), "{answer}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "the request has 4.5 s"
    );
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
}

/// Without pings in time: who gave up takes the connection along.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_timeout_the_next_request_has_a_connection_of_its_own() {
    let limits = Limits {
        request: Duration::from_millis(500),
        connect: Duration::from_millis(500),
        http2_ping: Duration::from_secs(60),
        ..Limits::default()
    };
    let vhost = "late.example.test";
    let (app, plugin) = speaking_http2(vhost, limits).await;
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
    assert_eq!(
        ask(&plugin, &app, "/freeze").await,
        "ErrorCode::HttpResponseTimeout"
    );
    assert_eq!(counted::limit(vhost, "limits.backend.request_timeout"), 1);
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
    assert_eq!(app.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_authority_holds_from_the_next_request_on() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let app = App::secure(Secure::by(authority.certificate(NAME, 90))).await;
    let wrong = settings("exchanged.example.test", app.port(), trusting(&other));
    let right = settings("exchanged.example.test", app.port(), trusting(&authority)).egress;
    let (back, plugin) = (wrong.egress.clone(), Arc::new(prying(wrong).await));
    assert!(ask(&plugin, &app, "/").await.starts_with("ErrorCode"));
    plugin.renew_egress(right).unwrap();
    assert!(ask(&plugin, &app, "/").await.starts_with("200"));
    plugin.renew_egress(back).unwrap();
    assert!(ask(&plugin, &app, "/").await.starts_with("ErrorCode"));
}
