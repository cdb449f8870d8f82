//! The client reads what a peer sends, however it is cut.

use super::framer::{Framer, Received};
use super::*;
use tokio::net::TcpListener;

const STREAM: &str = "<?xml version='1.0'?><stream:stream id='1' from='a>b' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
    <stream:features/> <message id=\"2>\"><body>a &lt; b</body></message></stream:stream>";

fn outline(framer: &mut Framer) -> Vec<String> {
    std::iter::from_fn(|| framer.next())
        .map(|received| match received {
            Received::Open(_) => "open".to_owned(),
            Received::Element(element) => format!("{} {}", element.name(), element.texts().count()),
            Received::Close => "close".to_owned(),
            Received::End => "end".to_owned(),
        })
        .collect()
}

#[test]
fn cuts_do_not_matter() {
    let whole = ["open", "features 0", "message 0", "close"];
    for size in 1..STREAM.len() {
        let mut framer = Framer::default();
        let mut seen = Vec::new();
        for piece in STREAM.as_bytes().chunks(size) {
            framer.push(piece);
            seen.extend(outline(&mut framer));
        }
        assert_eq!(seen, whole, "in pieces of {size}");
    }
}

/// RFC 7677, section 3, except for the server's part of the nonce.
#[test]
fn scram_answers_as_the_rfc_does() {
    let mut exchange = ScramExchange::new(Mechanism::ScramSha1, "n,,", "user", "pencil");
    assert_eq!(exchange.first(), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
    // RFC 5802, section 5.
    let answer =
        exchange.answer("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
    assert_eq!(
        answer,
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    );
    assert!(exchange.verifies("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="));
    assert!(!exchange.verifies("v=AAAAAAAAAAAAAAAAAAAAAAAAAAA="));
}

#[tokio::test]
async fn what_is_not_awaited_stays_pending() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let peer = async {
        let (mut socket, _) = listener.accept().await.expect("a client");
        socket
            .write_all(STREAM.as_bytes())
            .await
            .expect("it is read");
    };
    let script = async {
        let mut client = Client::connect(address, "example.test").await;
        assert_eq!(client.open().await.name(), "features");
        client
            .pending
            .push_back("<presence xmlns='jabber:client'/>".parse().expect("XML"));
        assert_eq!(
            client
                .expect("a message", |stanza| stanza.name() == "message")
                .await
                .name(),
            "message"
        );
        assert_eq!(client.element("what is left").await.name(), "presence");
        assert!(matches!(client.receive().await, Received::Close));
        assert!(matches!(client.receive().await, Received::End));
    };
    tokio::join!(peer, script);
}
