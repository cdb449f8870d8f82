//! Both ends of a handshake, in memory: what a login may be bound to must be the same on both.

use std::sync::Arc;
use std::time::Duration;

use muster_xmpp::DomainPart;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::store::{Certificates, Entry};
use crate::tls::testing::pair;

fn server() -> Arc<Tls> {
    let directory = tempfile::tempdir().unwrap();
    let files = pair("example.test", 30).write(directory.path());
    let certificate = Arc::new(files.load().unwrap());
    let domain = DomainPart::new("example.test").unwrap().into_owned();
    let entry = Entry::new(domain, files, certificate).unwrap();
    Tls::new(Certificates::new([entry]).unwrap(), Duration::from_secs(10))
}

fn client(tls: &Tls, version: &'static SupportedProtocolVersion) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let context = tls.certificates.choose(None, None);
    roots
        .add(context.certificate.chain.cert[0].clone())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

type Ends = (
    Secured<DuplexStream>,
    tokio_rustls::client::TlsStream<DuplexStream>,
);

async fn shake(tls: &Tls, client: &TlsConnector) -> Ends {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("example.test").unwrap();
    let (server, client) = tokio::join!(
        tls.accept(near, Purpose::Direct, None),
        client.connect(name, far)
    );
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    // What follows a handshake of TLS 1.3, the tickets, is read along with data.
    server.stream.write_all(b"x").await.unwrap();
    server.stream.flush().await.unwrap();
    client.read_exact(&mut [0]).await.unwrap();
    (server, client)
}

fn exported(client: &tokio_rustls::client::TlsStream<DuplexStream>) -> [u8; 32] {
    let label = b"EXPORTER-Channel-Binding";
    let (_, connection) = client.get_ref();
    connection
        .export_keying_material([0; 32], label, Some(b""))
        .unwrap()
}

#[tokio::test]
async fn both_ends_know_the_same_and_each_connection_something_else() {
    let tls = server();
    let client = client(&tls, &TLS13);
    let mut seen = Vec::new();
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (server, client) = shake(&tls, &client).await;
        assert_eq!(client.get_ref().1.handshake_kind(), Some(kind));
        let exporter = **server.bindings.exporter.unwrap();
        assert_eq!(exporter, exported(&client));
        assert!(!seen.contains(&exporter));
        seen.push(exporter);
        let certificates = client.get_ref().1.peer_certificates().unwrap();
        assert_eq!(
            server.bindings.end_point.as_deref(),
            Some(&Sha256::digest(&certificates[0])[..])
        );
    }
}

#[tokio::test]
async fn tls_12_binds_to_the_certificate_alone() {
    let tls = server();
    let (server, _client) = shake(&tls, &client(&tls, &TLS12)).await;
    assert!(server.bindings.exporter.is_none());
    assert!(server.bindings.end_point.is_some());
}

#[tokio::test]
async fn a_session_ends_with_the_certificate_that_it_was_made_with() {
    let tls = server();
    let client = client(&tls, &TLS13);
    let _first = shake(&tls, &client).await;
    let entry = tls.certificates.iter().next().unwrap();
    // The same certificate, so that the client goes on to trust it.
    entry
        .replace(Arc::clone(&entry.current().certificate))
        .unwrap();
    let (_, second) = shake(&tls, &client).await;
    assert_eq!(
        second.get_ref().1.handshake_kind(),
        Some(HandshakeKind::Full)
    );
}
