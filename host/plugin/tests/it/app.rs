//! An app of hyper's: in the clear or under TLS, with HTTP/1.1 or HTTP/2, and
//! with a memory of what it was asked. The path says what it does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// Who vouches for certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// A certificate for `name`, from yesterday on for so many days.
    pub(crate) fn certificate(&self, name: &str, days: u32) -> Arc<CertifiedKey> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let yesterday = SystemTime::now() - DAY;
        params.not_before = yesterday.into();
        params.not_after = (yesterday + DAY * days).into();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let chain = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialized_der().to_vec()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        Arc::new(CertifiedKey::from_der(chain, key, &provider).unwrap())
    }
}

/// How an app speaks TLS.
pub(crate) struct Secure {
    pub(crate) certificate: Arc<CertifiedKey>,
    /// Whose certificates it wants to see.
    pub(crate) clients: Option<Arc<RootCertStore>>,
    /// What it speaks, the best first.
    pub(crate) protocols: &'static [&'static str],
}

impl Secure {
    pub(crate) fn by(certificate: Arc<CertifiedKey>) -> Self {
        Self {
            certificate,
            clients: None,
            protocols: &["h2", "http/1.1"],
        }
    }

    fn acceptor(self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match self.clients {
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .unwrap(),
            ),
            None => builder.with_no_client_auth(),
        };
        let identity = SingleCertAndKey::from(self.certificate);
        let mut config = builder.with_cert_resolver(Arc::new(identity));
        let protocols = self.protocols.iter();
        config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
    bodies: Mutex<Vec<String>>,
    /// Ends the connections in good order.
    go_away: Notify,
    /// Cuts the connections.
    cut: Notify,
    /// Lets the connections fall silent, sockets open.
    freeze: Notify,
}

impl App {
    pub(crate) async fn plain() -> Self {
        Self::start(None).await
    }

    pub(crate) async fn secure(secure: Secure) -> Self {
        Self::start(Some(secure.acceptor())).await
    }

    async fn start(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (state, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, Version::HTTP_11, state).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else {
                                return;
                            };
                            let version = match stream.get_ref().1.alpn_protocol() {
                                Some(b"h2") => Version::HTTP_2,
                                _ => Version::HTTP_11,
                            };
                            serve(stream, version, state).await;
                        }
                    }
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// `METHOD target VERSION` and the header of each request so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }

    /// Bodies and trailers of the requests so far.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.state.bodies.lock().unwrap().clone()
    }
}

async fn serve<S>(stream: S, version: Version, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let answering = Arc::clone(&state);
    let service = service_fn(move |request| answer(request, Arc::clone(&answering)));
    if version == Version::HTTP_11 {
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(io, service).await;
        return;
    }
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = state.cut.notified() => return,
            () = state.go_away.notified() => connection.as_mut().graceful_shutdown(),
            () = state.freeze.notified() => std::future::pending().await,
        }
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let head = head(&parts);
    state.heads.lock().unwrap().push(head.clone());
    let body = body.collect().await.map_err(|_| Cut)?;
    let trailers = format!("{:?}", body.trailers());
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    state
        .bodies
        .lock()
        .unwrap()
        .push(format!("{text} {trailers}"));
    let (mut sent, mut content) = Response::new(Full::from("well").boxed()).into_parts();
    let headers = &mut sent.headers;
    match parts.uri.path().rsplit('/').next().unwrap_or_default() {
        "echo" => {
            headers.insert("authorization", "Bearer reflected".parse().unwrap());
            headers.insert("x-mine", "yes".parse().unwrap());
            content = Full::from(head).boxed();
        }
        "many-headers" => {
            for n in 0..1_000 {
                let name = http::HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap();
                headers.insert(name, "y".repeat(100).parse().unwrap());
            }
        }
        "endless" => content = endless().boxed(),
        "reset" => return Err(Cut),
        "cut" => {
            state.cut.notify_one();
            std::future::pending::<()>().await;
        }
        "go-away" => state.go_away.notify_one(),
        "freeze" => {
            state.freeze.notify_one();
            std::future::pending::<()>().await;
        }
        "silent" => std::future::pending().await,
        // `/301?https://…`
        code => {
            if let (Ok(status), Some(location)) = (code.parse(), parts.uri.query()) {
                sent.status = status;
                headers.insert("location", location.parse().unwrap());
            }
        }
    }
    Ok(Response::from_parts(sent, content))
}

/// The service's way to reset a stream.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

fn head(parts: &http::request::Parts) -> String {
    let mut head = format!("{} {} {:?}", parts.method, parts.uri.path(), parts.version);
    for (name, value) in &parts.headers {
        head.push_str(&format!(" {name}={}", value.to_str().unwrap_or("?")));
    }
    head
}

fn endless() -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send + Sync {
    let chunks = futures_util::stream::repeat_with(|| {
        Ok(Frame::data(Bytes::from_static(&[b' '; 16 << 10])))
    });
    StreamBody::new(chunks)
}
