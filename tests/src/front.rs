//! TLS in front of an app: what a proxy of the operator's does.
//!
//! Owns the handshake alone; the bytes inside go to the app as they are.

use crate::tls::Identity;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A front that runs until this is dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Front {
    /// Takes connections for `app` as `identity`; where `client` is given, from
    /// that client only.
    pub async fn start(app: SocketAddr, identity: &Identity, client: Option<&Identity>) -> Front {
        let acceptor = acceptor(identity, client);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound address");
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(acceptor.clone(), near, app));
            }
        });
        Front { address, accepting }
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(acceptor: TlsAcceptor, near: TcpStream, app: SocketAddr) {
    let (Ok(mut near), Ok(mut far)) = (acceptor.accept(near).await, TcpStream::connect(app).await)
    else {
        return;
    };
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

fn acceptor(identity: &Identity, client: Option<&Identity>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match client {
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.der.clone()).expect("a certificate");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let config = builder.with_single_cert(vec![identity.der.clone()], key);
    TlsAcceptor::from(Arc::new(config.expect("a certificate")))
}
