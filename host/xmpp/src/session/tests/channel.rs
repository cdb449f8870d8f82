//! STARTTLS, and streams whose elements come each on its own.

use super::login::has_failure;
use super::*;

fn starttls(required: bool) -> Stream {
    let config = SessionConfig {
        encryption_required: required,
        ..config()
    };
    let channel = Channel {
        framing: Framing::Stream,
        encryption: Encryption::StartTls,
    };
    Stream::over(config, channel)
}

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

#[test]
fn tls_is_offered_and_demanded_before_any_mechanism() {
    let mut stream = starttls(true);
    let features = stream.ask(HEADER);
    assert!(features.contains("<required/>") && !features.contains("mechanism"));
    assert!(has_failure(&stream.ask(PLAIN), "encryption-required"));
    let mut stream = starttls(false);
    let features = stream.ask(HEADER);
    assert!(features.contains("xmpp-tls\"></starttls>") && features.contains("PLAIN"));
}

#[test]
fn nothing_that_was_sent_in_the_clear_is_taken_for_something_under_tls() {
    let mut stream = starttls(true);
    stream.ask(HEADER);
    let actions = stream.say(&format!("{STARTTLS}{HEADER}{PLAIN}"));
    assert!(matches!(actions.as_slice(), [Action::StartTls]));
    assert_eq!(
        stream.heard(),
        "<proceed xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>"
    );
    assert!(!stream.session.wants_read());
    assert!(stream.actions().is_empty());
    stream.session.secured(ChannelBindings::default());
    assert_eq!(stream.ask(""), "", "a new header is due");
    let features = stream.ask(HEADER);
    assert!(features.contains("PLAIN") && !features.contains("starttls"));
    assert!(matches!(
        stream.say(PLAIN).as_slice(),
        [Action::VerifyPassword { .. }]
    ));
}

#[test]
fn tls_cannot_be_started_twice_or_where_it_is_not_on_offer() {
    let mut stream = starttls(true);
    stream.ask(HEADER);
    stream.say(STARTTLS);
    stream.session.secured(ChannelBindings::default());
    stream.ask(HEADER);
    stream.heard();
    assert!(stream.last(STARTTLS).contains("<failure"));
}

const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.test' version='1.0'/>";

fn framed(framing: Framing) -> Stream {
    let channel = Channel {
        framing,
        encryption: Encryption::Tls(ChannelBindings::default()),
    };
    Stream::over(config(), channel)
}

impl Stream {
    fn frame(&mut self, frame: &str) -> Vec<Action> {
        self.session.receive_frame(frame.as_bytes());
        self.actions()
    }

    fn next_frame(&mut self) -> String {
        let frame = self.session.output().frame().unwrap();
        String::from_utf8(frame.to_vec()).unwrap()
    }
}

#[test]
fn a_framed_stream_opens_restarts_and_closes_by_elements() {
    let mut stream = framed(Framing::WebSocket);
    assert!(stream.frame(OPEN).is_empty());
    assert!(
        stream.next_frame().starts_with(
            "<open xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" from=\"example.test\""
        )
    );
    assert!(stream.next_frame().starts_with(
        "<stream:features xmlns:stream=\"http://etherx.jabber.org/streams\"><mechanisms"
    ));
    stream.frame(PLAIN);
    stream.session.password_verified(Verdict::Accepted);
    assert!(stream.next_frame().starts_with("<success"));
    assert!(stream.frame(OPEN).is_empty());
    assert!(stream.next_frame().starts_with("<open"));
    assert!(stream.next_frame().contains("<bind"));
    let bind = stream.frame("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    assert!(matches!(bind.as_slice(), [Action::Bind { .. }]));
    let jid = FullJid::new("john@example.test/phone").unwrap();
    stream.session.bound(Ok(jid));
    assert!(
        stream
            .next_frame()
            .starts_with("<iq xmlns=\"jabber:client\"")
    );
    let close = stream.frame("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    assert!(matches!(close.as_slice(), [Action::Close]));
    assert_eq!(stream.next_frame(), encode::FRAMED_END);
}

#[test]
fn a_frame_that_ends_within_an_element_ends_the_stream() {
    let half = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.test'";
    let rest = " version='1.0'/>";
    // Read one by one, or both before either is looked at.
    for frames in [&[half][..], &[half, rest]] {
        let mut stream = framed(Framing::WebSocket);
        for frame in frames {
            stream.session.receive_frame(frame.as_bytes());
        }
        let actions = stream.actions();
        assert!(matches!(actions.as_slice(), [Action::Close]));
        assert!(stream.heard().contains("<not-well-formed"));
    }
}

#[test]
fn frames_that_wait_for_each_other_are_taken_in_order() {
    let mut stream = framed(Framing::WebSocket);
    for frame in [" ", OPEN, "", "\n", PLAIN] {
        stream.session.receive_frame(frame.as_bytes());
    }
    let actions = stream.actions();
    assert!(matches!(
        actions.as_slice(),
        [Action::VerifyPassword { .. }]
    ));
}

#[test]
fn the_elements_of_a_framed_stream_mean_nothing_in_another() {
    let mut stream = Stream::opened();
    assert!(has_error(&stream.last(OPEN), "unsupported-stanza-type"));
}

#[test]
fn a_stream_within_bodies_has_no_tags_of_its_own() {
    let mut stream = framed(Framing::Bosh);
    let open = || StreamOpen {
        to: Some("example.test".to_owned()),
        version: Some("1.0".to_owned()),
        ..StreamOpen::default()
    };
    stream.session.open(open());
    assert!(stream.next_frame().starts_with("<stream:features "));
    stream.frame(PLAIN);
    stream.session.password_verified(Verdict::Accepted);
    assert!(stream.next_frame().starts_with("<success"));
    stream.session.open(open());
    assert!(stream.next_frame().contains("<bind"));
    stream
        .session
        .close(Some(StreamCondition::SystemShutdown.into()));
    // Its wrapper is for the binding to write.
    assert!(stream.session.output().is_empty());
    let condition = stream.session.error().map(|error| error.condition);
    assert_eq!(condition, Some(StreamCondition::SystemShutdown));
}
