//! The machine against a scripted client.

mod network;

use super::*;
use crate::error::{StreamCondition, StreamError};

type Requests = Machine<&'static str>;

fn body(rid: u64, more: &str) -> Body {
    let xml = format!("<body rid='{rid}' xmlns='{HTTPBIND}' xmlns:xmpp='{XBOSH}' {more}");
    Body::parse(&Bytes::from(xml)).unwrap()
}

/// A request with an element inside.
fn saying(rid: u64, content: &str) -> Body {
    body(rid, &format!(">{content}</body>"))
}

/// A request with nothing but attributes.
fn with(rid: u64, attributes: &str) -> Body {
    body(rid, &format!("{attributes}/>"))
}

fn empty(rid: u64) -> Body {
    with(rid, "")
}

/// A session that was answered once.
fn begun(now: Instant) -> Requests {
    let mut machine = beginning("wait='60' hold='1' ver='1.6' to='example.test'", now);
    machine.send(Bytes::from_static(b"<features/>"));
    machine.poll(now).unwrap();
    machine
}

fn beginning(attributes: &str, now: Instant) -> Requests {
    let beginning = Beginning {
        sid: "sid".to_owned(),
        secure: true,
    };
    let request = with(100, attributes);
    let mut machine = Machine::new(&Limits::default(), beginning, request, "first", now);
    assert!(matches!(machine.next_input(), Some(Input::Open(_))));
    machine
}

fn inputs<R>(machine: &mut Machine<R>) -> Vec<Input> {
    std::iter::from_fn(|| machine.next_input()).collect()
}

fn answers(machine: &mut Requests, now: Instant) -> Vec<(&'static str, String)> {
    let text =
        |(responder, answer): (_, Bytes)| (responder, String::from_utf8(answer.to_vec()).unwrap());
    std::iter::from_fn(|| machine.poll(now).map(text)).collect()
}

fn content(text: &'static str) -> Input {
    Input::Content(Bytes::from_static(text.as_bytes()))
}

const EMPTY: &str = "<body xmlns=\"http://jabber.org/protocol/httpbind\"/>";

fn wrapped(content: &str) -> String {
    format!("<body xmlns=\"{HTTPBIND}\">{content}</body>")
}

fn terminated(condition: &str) -> String {
    format!("<body xmlns=\"{HTTPBIND}\" type=\"terminate\" condition=\"{condition}\"/>")
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[test]
fn the_first_answer_has_the_terms() {
    let now = Instant::now();
    let mut machine = beginning("wait='300' hold='5' ver='1.6' to='example.test'", now);
    assert_eq!(machine.poll(now), None, "it waits for the features");
    machine.send(Bytes::from_static(b"<features/>"));
    assert_eq!(
        answers(&mut machine, now),
        [(
            "first",
            "<body xmlns=\"http://jabber.org/protocol/httpbind\" sid=\"sid\" wait=\"60\" hold=\"1\" \
             requests=\"2\" inactivity=\"45\" polling=\"2\" maxpause=\"120\" ver=\"1.6\" \
             from=\"example.test\" secure=\"true\" xmlns:xmpp=\"urn:xmpp:xbosh\" \
             xmpp:version=\"1.0\" xmpp:restartlogic=\"true\"><features/></body>"
                .to_owned()
        )]
    );
    for (attributes, terms) in [
        ("", "wait=\"60\" hold=\"1\""),
        ("wait='5' hold='1' ver='1.6.1'", "wait=\"5\" hold=\"1\""),
        ("wait='0' hold='1' ver='2.0'", "wait=\"0\" hold=\"0\""),
        ("wait='60' hold='0' ver='1.11'", "wait=\"60\" hold=\"0\""),
    ] {
        let mut machine = beginning(attributes, now);
        machine.send(Bytes::from_static(b"<features/>"));
        let (_, answer) = answers(&mut machine, now).remove(0);
        assert!(answer.contains(terms), "{attributes}: {answer}");
        assert!(answer.contains(" ver=\"1.11\""), "{attributes}: {answer}");
    }
}

#[test]
fn a_request_waits_for_news_and_makes_room_for_the_next() {
    let now = Instant::now();
    let mut machine = begun(now);
    machine.receive(empty(101), "a", now);
    assert_eq!(answers(&mut machine, now), []);
    assert_eq!(machine.deadline(), Some(now + seconds(60)));
    // What the client says is handled before its older request is given back:
    // that one may carry the answer.
    machine.receive(saying(102, "<x/>"), "b", now + seconds(1));
    assert_eq!(answers(&mut machine, now), []);
    assert_eq!(inputs(&mut machine), [content("<x/>")]);
    machine.send(Bytes::from_static(b"<y/>"));
    machine.send(Bytes::from_static(b"<z/>"));
    assert_eq!(
        answers(&mut machine, now),
        [("a", wrapped("<y/><z/>"))],
        "one is left to hold"
    );
    // Nothing comes until the time is up.
    let late = now + seconds(61);
    assert_eq!(machine.deadline(), Some(late));
    assert_eq!(answers(&mut machine, late), [("b", EMPTY.to_owned())]);
    assert_eq!(machine.deadline(), Some(late + seconds(45)));
    assert!(!machine.is_abandoned(late + seconds(44)));
    assert!(machine.is_abandoned(late + seconds(45)));
}

#[test]
fn requests_are_handled_in_order() {
    let now = Instant::now();
    let mut machine = begun(now);
    machine.receive(saying(102, "<b/>"), "b", now);
    assert_eq!(
        (inputs(&mut machine), answers(&mut machine, now)),
        (vec![], vec![])
    );
    machine.receive(saying(101, "<a/>"), "a", now);
    assert_eq!(inputs(&mut machine), [content("<a/>"), content("<b/>")]);
    assert_eq!(answers(&mut machine, now), [("a", EMPTY.to_owned())]);
}

#[test]
fn what_is_asked_again_is_answered_again() {
    let now = Instant::now();
    let mut machine = begun(now);
    machine.receive(saying(101, "<a/>"), "a", now);
    assert_eq!(inputs(&mut machine), [content("<a/>")]);
    // Before there is an answer: both copies get the same, at once.
    machine.receive(saying(101, "<a/>"), "again", now);
    let expected = [("a", EMPTY.to_owned()), ("again", EMPTY.to_owned())];
    assert_eq!(answers(&mut machine, now), expected);
    machine.receive(empty(102), "b", now);
    machine.send(Bytes::from_static(b"<news/>"));
    let news = wrapped("<news/>");
    assert_eq!(answers(&mut machine, now), [("b", news.clone())]);
    // After it, as often as the client likes, and the one before as well.
    for _ in 0..3 {
        machine.receive(empty(102), "b", now);
        machine.receive(empty(101), "a", now);
        let expected = [("b", news.clone()), ("a", EMPTY.to_owned())];
        assert_eq!(answers(&mut machine, now), expected);
    }
    assert_eq!(inputs(&mut machine), [], "nothing is handled twice");
    // A copy of a request that came before its turn.
    machine.receive(saying(104, "<d/>"), "d", now);
    machine.receive(saying(104, "<d/>"), "d again", now);
    let error = format!("<body xmlns=\"{HTTPBIND}\" type=\"error\"/>");
    assert_eq!(answers(&mut machine, now), [("d", error)]);
    machine.receive(saying(103, "<c/>"), "c", now);
    assert_eq!(inputs(&mut machine), [content("<c/>"), content("<d/>")]);
}

#[test]
fn a_place_out_of_reach_ends_the_session() {
    for rid in [1, 98, 104, (1 << 53) - 1] {
        let now = Instant::now();
        let mut machine = begun(now);
        machine.receive(empty(101), "a", now);
        machine.receive(empty(rid), "b", now);
        let answers = answers(&mut machine, now);
        for name in ["a", "b"] {
            let expected = (name, terminated("item-not-found"));
            assert!(answers.contains(&expected), "{rid}: {answers:?}");
        }
        assert!(machine.is_done());
    }
}

#[test]
fn too_many_requests_end_the_session() {
    let now = Instant::now();
    // Three at once, while the session is busy.
    let mut machine = begun(now);
    for (rid, name) in [(101, "a"), (102, "b"), (103, "c")] {
        machine.receive(saying(rid, "<x/>"), name, now);
    }
    let all = answers(&mut machine, now);
    assert_eq!(all.len(), 3);
    assert!(
        all.iter()
            .all(|(_, answer)| *answer == terminated("policy-violation")),
        "{all:?}"
    );
    // Nothing to say, twice at once.
    let mut machine = begun(now);
    machine.receive(empty(101), "a", now);
    machine.receive(empty(102), "b", now + seconds(1));
    assert_eq!(
        machine.ended().and_then(End::condition),
        Some("policy-violation")
    );
    // After a while it is fine.
    let mut machine = begun(now);
    machine.receive(empty(101), "a", now);
    machine.receive(empty(102), "b", now + seconds(2));
    assert_eq!(machine.ended(), None);
    // A client that polls has to take its time, unless something came.
    let polling = |news: bool, gap| {
        let mut machine = beginning("wait='60' hold='0'", now);
        machine.send(Bytes::from_static(b"<features/>"));
        machine.poll(now).unwrap();
        machine.receive(empty(101), "a", now);
        if news {
            machine.send(Bytes::from_static(b"<x/>"));
        }
        assert_eq!(answers(&mut machine, now).len(), 1, "nothing is held");
        machine.receive(empty(102), "b", now + gap);
        machine.ended().and_then(End::condition)
    };
    assert_eq!(polling(false, seconds(1)), Some("policy-violation"));
    assert_eq!(polling(false, seconds(2)), None);
    assert_eq!(polling(true, seconds(1)), None);
}

#[test]
fn what_waits_for_the_session_is_bounded() {
    let now = Instant::now();
    let mut machine = begun(now);
    let large = format!("<x>{}</x>", "y".repeat(100_000));
    // Asking again is how a client gets rid of a held request.
    for rid in 101..120 {
        machine.receive(saying(rid, &large), "a", now);
        machine.receive(empty(rid), "a again", now);
        answers(&mut machine, now);
        if machine.ended().is_some() {
            break;
        }
    }
    assert_eq!(
        machine.ended().and_then(End::condition),
        Some("policy-violation")
    );
    let waiting: usize = inputs(&mut machine)
        .iter()
        .map(|input| match input {
            Input::Content(content) => content.len(),
            _ => 0,
        })
        .sum();
    assert!(
        waiting <= Limits::default().input_bytes + 2 * large.len(),
        "{waiting}"
    );
    let mut machine = begun(now);
    for rid in 101..200 {
        machine.receive(saying(rid, "<x/>"), "a", now);
        machine.receive(empty(rid), "a again", now);
        answers(&mut machine, now);
    }
    assert_eq!(inputs(&mut machine).len(), INPUTS);
}

#[test]
fn a_pause_gives_everything_back_and_time_to_return() {
    let now = Instant::now();
    let mut machine = begun(now);
    machine.receive(empty(101), "a", now);
    machine.receive(with(102, "pause='100'"), "b", now);
    let expected = [("a", EMPTY.to_owned()), ("b", EMPTY.to_owned())];
    assert_eq!(answers(&mut machine, now), expected);
    // News stay for later.
    machine.send(Bytes::from_static(b"<news/>"));
    assert!(!machine.is_abandoned(now + seconds(99)));
    assert!(machine.is_abandoned(now + seconds(100)));
    let back = now + seconds(99);
    machine.receive(empty(103), "c", back);
    assert_eq!(answers(&mut machine, back), [("c", wrapped("<news/>"))]);
    assert!(machine.is_abandoned(back + seconds(45)));
    // The answer to a pause has no content even if there is some.
    machine.send(Bytes::from_static(b"<more/>"));
    machine.receive(with(104, "pause='1'"), "d", back);
    assert_eq!(answers(&mut machine, back), [("d", EMPTY.to_owned())]);
    assert_eq!(machine.backlog(), "<more/>".len());
    // Nobody pauses for a day.
    machine.receive(with(105, "pause='86400'"), "e", back);
    assert_eq!(answers(&mut machine, back), [("e", wrapped("<more/>"))]);
    assert!(machine.is_abandoned(back + seconds(45)));
}

#[test]
fn a_restart_opens_a_stream() {
    let now = Instant::now();
    for attributes in ["to='example.test' xmpp:version='1.0'", ""] {
        let mut machine = begun(now);
        machine.receive(
            with(101, &format!("xmpp:restart='true' {attributes}")),
            "a",
            now,
        );
        let open = StreamOpen {
            to: Some("example.test".to_owned()),
            version: Some("1.0".to_owned()),
            ..StreamOpen::default()
        };
        assert_eq!(inputs(&mut machine), [Input::Open(open)]);
    }
}

#[test]
fn the_client_ends_the_session() {
    let now = Instant::now();
    let mut machine = begun(now);
    machine.receive(empty(101), "a", now);
    // Both places are taken; a farewell may come all the same.
    machine.receive(saying(102, "<x/>"), "b", now);
    machine.receive(body(103, "type='terminate'><presence/></body>"), "c", now);
    assert_eq!(
        inputs(&mut machine),
        [content("<x/>"), content("<presence/>"), Input::End]
    );
    machine.send(Bytes::from_static(b"<last/>"));
    machine.end(End::Orderly);
    let closed = format!("<body xmlns=\"{HTTPBIND}\" type=\"terminate\"");
    assert_eq!(
        answers(&mut machine, now),
        [
            ("a", format!("{closed}><last/></body>")),
            ("b", format!("{closed}/>")),
            ("c", format!("{closed}/>"))
        ]
    );
    assert!(machine.is_done());
}

#[test]
fn the_server_ends_the_session() {
    let now = Instant::now();
    for (error, expected) in [
        (
            StreamCondition::Conflict,
            format!(
                "<body xmlns=\"{HTTPBIND}\" type=\"terminate\" condition=\"remote-stream-error\">\
                 <conflict xmlns=\"urn:ietf:params:xml:ns:xmpp-streams\"/></body>"
            ),
        ),
        (
            StreamCondition::SystemShutdown,
            terminated("system-shutdown"),
        ),
    ] {
        let error = StreamError::new(error);
        let mut machine = begun(now);
        machine.receive(empty(101), "a", now);
        machine.end(End::from(error.clone()));
        machine.end(End::Orderly);
        assert_eq!(answers(&mut machine, now), [("a", expected.clone())]);
        assert!(machine.is_done());
        // Nobody is there to be told: the next one is.
        let mut machine = begun(now);
        machine.send(Bytes::from_static(b"<last/>"));
        machine.end(End::from(error));
        assert_eq!(machine.poll(now), None);
        assert!(!machine.is_done());
        machine.receive(empty(101), "a", now);
        let (_, answer) = answers(&mut machine, now).remove(0);
        assert!(
            answer.contains("<last/>") && answer.contains("type=\"terminate\""),
            "{answer}"
        );
        assert!(machine.is_done());
    }
    let unknown = End::from(StreamError::new(StreamCondition::HostUnknown));
    assert_eq!(unknown.condition(), Some("host-unknown"));
    assert_eq!(refusal(Condition::BadRequest), terminated("bad-request"));
}

#[test]
fn answers_are_cut_between_elements() {
    let now = Instant::now();
    let mut machine = begun(now);
    let element = format!("<x>{}</x>", "y".repeat(40_000));
    for _ in 0..3 {
        machine.send(Bytes::from(element.clone()));
    }
    for (rid, elements) in [(101, 2), (102, 1)] {
        machine.receive(empty(rid), "a", now);
        let expected = wrapped(&element.repeat(elements));
        assert_eq!(answers(&mut machine, now), [("a", expected)]);
    }
    assert_eq!(machine.backlog(), 0);
}
