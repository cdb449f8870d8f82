//! States and events of a stream, under virtual time.

mod bind;
mod channel;
mod idle;
mod intake;
mod login;
mod management;
mod services;
mod stanzas;
mod stream;

use std::time::Duration;

use super::*;
use crate::limits::Limits;
use crate::sasl::{MAX_PASSWORD_BYTES, Mechanism};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.test' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const PLAIN: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGpvaG4Ac2VjcmV0</auth>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>phone</resource></bind></iq>";

/// A session with its clock.
struct Stream {
    session: Session,
    now: Instant,
}

fn config() -> SessionConfig {
    let host = Host {
        mechanisms: Mechanism::FOR_PASSWORDS.to_vec(),
        secret_bytes: MAX_PASSWORD_BYTES,
        offline_messages: true,
        contact_addresses: vec![(
            "abuse-addresses".to_owned(),
            vec!["mailto:abuse@example.test".to_owned()],
        )],
    };
    let domain = |name: &str| DomainPart::new(name).unwrap().into_owned();
    SessionConfig {
        limits: Limits::default(),
        hosts: [
            (domain("example.test"), host.clone()),
            (domain("other.test"), host),
        ]
        .into(),
        encryption_required: false,
        software: Software {
            name: "Muster".to_owned(),
            version: "0 & <1>".to_owned(),
        },
    }
}

impl Stream {
    fn new(config: SessionConfig) -> Self {
        Self::over(
            config,
            Channel {
                framing: Framing::Stream,
                encryption: Encryption::None,
            },
        )
    }

    fn over(config: SessionConfig, channel: Channel) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(Arc::new(config), channel, [1; 32], now),
            now,
        }
    }

    /// Sends `xml`; returns every action until the session rests.
    fn say(&mut self, xml: &str) -> Vec<Action> {
        self.session.receive(xml.as_bytes());
        self.actions()
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.poll(self.now)).collect()
    }

    /// What was written since the last call.
    fn heard(&mut self) -> String {
        let output = self.session.output();
        let bytes: Vec<u8> = match output.framing() {
            Framing::Stream => output.stream().split().to_vec(),
            _ => std::iter::from_fn(|| output.frame()).flatten().collect(),
        };
        String::from_utf8(bytes).unwrap()
    }

    /// Sends `xml`, which the session answers by itself.
    fn ask(&mut self, xml: &str) -> String {
        let actions = self.say(xml);
        assert!(actions.is_empty(), "{xml}: {actions:?}");
        self.heard()
    }

    /// Sends `xml`, which ends the stream; returns what was written.
    fn last(&mut self, xml: &str) -> String {
        let actions = self.say(xml);
        assert!(
            matches!(actions.as_slice(), [Action::Close]),
            "{xml}: {actions:?}"
        );
        assert!(self.session.is_closed() && !self.session.wants_read());
        let heard = self.heard();
        assert!(heard.ends_with("</stream:stream>"), "{heard}");
        assert_eq!(heard.matches("</stream:stream>").count(), 1);
        // Nothing that comes later matters.
        assert!(self.say("<message/>").is_empty());
        assert_eq!(self.heard(), "");
        heard
    }

    /// Before SASL, features read.
    fn opened() -> Self {
        Self::opened_with(config())
    }

    fn opened_with(config: SessionConfig) -> Self {
        let mut stream = Self::new(config);
        stream.ask(HEADER);
        stream
    }

    /// SASL done, the second header not sent.
    fn authenticated() -> Self {
        Self::opened().authenticate()
    }

    fn authenticate(mut self) -> Self {
        let stream = &mut self;
        let actions = stream.say(PLAIN);
        assert!(matches!(
            actions.as_slice(),
            [Action::VerifyPassword { .. }]
        ));
        stream.session.password_verified(Verdict::Accepted);
        assert_eq!(
            stream.heard(),
            "<success xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"/>"
        );
        self
    }

    /// Ready to bind.
    fn restarted() -> Self {
        let mut stream = Self::authenticated();
        stream.ask(HEADER);
        stream
    }

    fn bound() -> Self {
        Self::bound_with(config())
    }

    fn bound_with(config: SessionConfig) -> Self {
        let mut stream = Self::opened_with(config).authenticate();
        stream.ask(HEADER);
        let actions = stream.say(BIND);
        assert!(matches!(actions.as_slice(), [Action::Bind { .. }]));
        let jid = FullJid::new("john@example.test/phone").unwrap();
        stream.session.bound(Ok(jid));
        assert!(
            stream
                .heard()
                .contains("<jid>john@example.test/phone</jid>")
        );
        stream
    }
}

fn has_error(heard: &str, condition: &str) -> bool {
    heard.contains(&format!(
        "<stream:error><{condition} xmlns=\"urn:ietf:params:xml:ns:xmpp-streams\"/>"
    ))
}
