//! Silence, signs of life, and clients that nobody looks at.

use super::*;

const IDLE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(30);

impl Stream {
    fn wait(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.actions()
    }
}

#[test]
fn a_silent_client_is_asked_and_then_given_up() {
    let mut stream = Stream::bound();
    assert!(stream.actions().is_empty());
    assert_eq!(stream.session.deadline(), Some(stream.now + IDLE));
    assert!(stream.wait(IDLE - Duration::from_millis(1)).is_empty());
    assert_eq!(stream.heard(), "");
    assert!(stream.wait(Duration::from_millis(1)).is_empty());
    let ping = stream.heard();
    assert!(
        ping.starts_with("<iq from=\"example.test\" to=\"john@example.test/phone\" id=\"")
            && ping.ends_with("type=\"get\"><ping xmlns=\"urn:xmpp:ping\"/></iq>"),
        "{ping}"
    );
    assert_eq!(stream.session.deadline(), Some(stream.now + PATIENCE));
    let actions = stream.wait(PATIENCE);
    assert!(matches!(&*actions, [Action::Close]), "{actions:?}");
    assert!(has_error(&stream.heard(), "connection-timeout"));
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut stream = Stream::bound();
    stream.actions();
    for _ in 0..3 {
        stream.wait(IDLE);
        assert!(stream.heard().contains("urn:xmpp:ping"));
        stream.now += PATIENCE - Duration::from_millis(1);
        assert!(stream.say(" ").is_empty());
        assert_eq!(stream.session.deadline(), Some(stream.now + IDLE));
    }
    // Even one that arrives together with the deadline.
    stream.now += IDLE;
    stream.session.receive(b" ");
    let now = stream.now;
    stream.session.timeout(now);
    assert_eq!(stream.heard(), "");
    // The answer itself goes nowhere.
    stream.ask("<iq type='result' id='x' to='example.test'/>");
}

/// Row 74: ten minutes pass at once, as they do for a machine that slept. Who
/// has answered meanwhile is heard first; who has not is asked anew.
#[test]
fn a_sleep_of_ten_minutes_costs_nobody_the_stream() {
    const SLEEP: Duration = Duration::from_secs(600);
    let mut stream = Stream::bound();
    stream.actions();
    assert!(stream.wait(SLEEP).is_empty());
    assert!(stream.heard().contains("urn:xmpp:ping"));
    // Asleep again, with the question on its way; the answer waits in the socket.
    stream.now += SLEEP;
    assert!(stream.say(" ").is_empty());
    assert_eq!(stream.session.deadline(), Some(stream.now + IDLE));
    assert_eq!(stream.heard(), "");
}

#[test]
fn a_slow_reader_is_no_dead_one() {
    let mut stream = Stream::bound();
    stream.actions();
    stream.session.send(Bytes::from(vec![b' '; 100]));
    stream.wait(IDLE);
    for _ in 0..3 {
        let _ = stream.session.output().stream().split_to(10);
        assert!(stream.wait(PATIENCE).is_empty());
    }
    assert!(matches!(&*stream.wait(PATIENCE), [Action::Close]));
}

#[test]
fn a_resumable_session_survives_its_silent_peer() {
    let mut stream = Stream::bound();
    stream.say("<enable xmlns='urn:xmpp:sm:3' resume='1'/>");
    stream.session.enabled("x".to_owned(), Some(IDLE));
    stream.heard();
    assert!(stream.wait(IDLE).is_empty());
    assert_eq!(stream.heard(), "<r xmlns=\"urn:xmpp:sm:3\"/>");
    let actions = stream.wait(PATIENCE);
    assert!(matches!(&*actions, [Action::Lost]), "{actions:?}");
    assert!(stream.session.suspend().is_some());
    assert!(stream.actions().is_empty(), "it is said once");
}

#[test]
fn bosh_has_rules_of_its_own() {
    let mut stream = Stream::over(
        config(),
        Channel {
            framing: Framing::Bosh,
            encryption: Encryption::None,
        },
    );
    let open = StreamOpen {
        to: Some("example.test".to_owned()),
        version: Some("1.0".to_owned()),
        ..StreamOpen::default()
    };
    stream.session.open(open.clone());
    stream.session.receive_frame(PLAIN.as_bytes());
    stream.actions();
    stream.session.password_verified(Verdict::Accepted);
    stream.session.open(open);
    stream.session.receive_frame(BIND.as_bytes());
    stream.actions();
    let jid = FullJid::new("john@example.test/phone").unwrap();
    stream.session.bound(Ok(jid));
    assert!(stream.actions().is_empty());
    assert_eq!(stream.session.deadline(), None);
    // Stream management is to be had all the same.
    stream.heard();
    stream
        .session
        .receive_frame(b"<enable xmlns='urn:xmpp:sm:3'/>");
    stream.actions();
    assert_eq!(stream.heard(), "<enabled xmlns=\"urn:xmpp:sm:3\"/>");
}

fn presence(from: &str, show: &str) -> Bytes {
    Bytes::from(format!(
        "<presence from=\"{from}\" to=\"john@example.test\"><show>{show}</show></presence>"
    ))
}

fn chat(from: &str, payload: &str) -> Bytes {
    Bytes::from(format!(
        "<message from=\"{from}\" type=\"chat\">{payload}</message>"
    ))
}

const COMPOSING: &str = "<composing xmlns=\"http://jabber.org/protocol/chatstates\"/><no-store xmlns=\"urn:xmpp:hints\"/>";
const PAUSED: &str = "<paused xmlns=\"http://jabber.org/protocol/chatstates\"/>";

fn inactive() -> Stream {
    let mut stream = Stream::bound();
    assert_eq!(stream.ask("<inactive xmlns='urn:xmpp:csi:0'/>"), "");
    stream
}

#[test]
fn an_inactive_client_is_told_the_last_word_of_each() {
    let mut stream = inactive();
    for stanza in [
        presence("a@b/1", "away"),
        chat("c@d/1", COMPOSING),
        presence("c@d/1", "dnd"),
        presence("a@b/1", "xa"),
        chat("c@d/1", PAUSED),
    ] {
        stream.session.send(stanza);
    }
    assert_eq!(stream.heard(), "");
    let heard = stream.ask("<active xmlns='urn:xmpp:csi:0'/>");
    let expected = [
        presence("a@b/1", "xa"),
        chat("c@d/1", PAUSED),
        presence("c@d/1", "dnd"),
    ];
    assert_eq!(heard.as_bytes(), expected.concat());
    stream.session.send(presence("a@b/1", "away"));
    assert!(
        stream.heard().contains("away"),
        "an active client waits for nothing"
    );
}

#[test]
fn what_matters_takes_along_what_waits() {
    for important in [
        chat("c@d/1", "<body>x</body>"),
        chat("c@d/1", &format!("{PAUSED}<body>x</body>")),
        chat("c@d/1", &format!("{PAUSED}<x xmlns=\"other\"/>")),
        chat(
            "c@d/1",
            "<sent xmlns=\"urn:xmpp:carbons:2\"><forwarded/></sent>",
        ),
        Bytes::from_static(b"<presence from=\"a@b\" type=\"subscribe\"/>"),
        Bytes::from_static(b"<iq from=\"a@b/1\" id=\"1\" type=\"get\"><x/></iq>"),
        Bytes::from_static(b"<message from=\"a@b\" type=\"error\"/>"),
    ] {
        let mut stream = inactive();
        let waits = presence("a@b/1", "away");
        stream.session.send(waits.clone());
        stream.session.send(important.clone());
        assert_eq!(
            stream.heard().as_bytes(),
            [waits.clone(), important].concat()
        );
        stream.session.send(waits);
        assert_eq!(stream.heard(), "", "it is still inactive");
    }
}

#[test]
fn what_waits_for_an_inactive_client_is_bounded_and_survives_a_resumption() {
    let mut stream = inactive();
    for number in 0..=100 {
        assert_eq!(stream.heard(), "");
        stream
            .session
            .send(presence(&format!("a@b/{number}"), "away"));
    }
    assert_eq!(stream.heard().matches("<presence").count(), 101);
    stream.say("<enable xmlns='urn:xmpp:sm:3' resume='1'/>");
    stream.session.enabled("x".to_owned(), Some(IDLE));
    stream.session.send(presence("a@b/1", "away"));
    let suspended = stream.session.suspend().unwrap();
    stream.session.reclaim(suspended);
    assert_eq!(stream.session.take_unacknowledged().len(), 1);
}
