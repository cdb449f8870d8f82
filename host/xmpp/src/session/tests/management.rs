//! Stream management: counting, asking, and going on over another connection.

use super::*;
use crate::encode::Head;
use crate::stanza::Stanza;
use proptest::prelude::*;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>";
const MINUTE: Duration = Duration::from_secs(60);

fn failed(condition: &str, h: &str) -> String {
    format!(
        "<failed xmlns=\"urn:xmpp:sm:3\"{h}><{condition} xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></failed>"
    )
}

fn message(number: usize) -> Bytes {
    Bytes::from(format!("<message from=\"a@b\" id=\"{number}\"/>"))
}

fn ack(handled: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")
}

/// A bound stream that can be resumed, and its identifier.
fn managed(config: SessionConfig) -> (Stream, String) {
    let mut stream = Stream::bound_with(config);
    let actions = stream.say(ENABLE);
    let [Action::Enable { id, max }] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(*max, Some(MINUTE));
    stream.session.enabled(id.clone(), Some(MINUTE));
    assert_eq!(
        stream.heard(),
        format!("<enabled xmlns=\"urn:xmpp:sm:3\" id=\"{id}\" resume=\"true\" max=\"60\"/>")
    );
    assert_eq!(stream.session.resumable_for(), Some(MINUTE));
    assert_eq!(stream.session.resumption_id(), Some(id.as_str()));
    (stream, id.clone())
}

/// A stream that asks to resume `id`, up to the shell's answer.
fn resuming(id: &str, handled: u32) -> Stream {
    let mut stream = Stream::restarted();
    let actions = stream.say(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{handled}'/><message id='early'/>"
    ));
    let [Action::Resume { account, previd }] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (account.as_str(), previd.as_str()),
        ("john@example.test", id)
    );
    stream
}

#[test]
fn it_is_offered_after_sasl_and_enabled_after_binding() {
    let mut stream = Stream::new(config());
    assert!(!stream.ask(HEADER).contains("urn:xmpp:sm"));
    assert_eq!(stream.ask(ENABLE), failed("unexpected-request", ""));
    let mut stream = Stream::authenticated();
    assert!(stream.ask(HEADER).contains("<sm xmlns=\"urn:xmpp:sm:3\"/>"));
    assert_eq!(stream.ask(ENABLE), failed("unexpected-request", ""));
    let mut stream = Stream::bound();
    assert_eq!(
        stream.ask("<enable xmlns='urn:xmpp:sm:3'/>"),
        "<enabled xmlns=\"urn:xmpp:sm:3\"/>"
    );
    assert_eq!(stream.session.resumable_for(), None);
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>";
    assert_eq!(stream.ask(resume), failed("unexpected-request", ""));
    assert!(has_error(&stream.last(ENABLE), "policy-violation"));
}

#[test]
fn stanzas_of_the_client_are_counted_and_nothing_else() {
    let (mut stream, _) = managed(config());
    let counted = "<message to='x@y'/><iq type='nonsense'/><presence/>";
    assert_eq!(stream.say(counted).len(), 2);
    stream.heard();
    let heard = stream.ask(&format!("<r xmlns='urn:xmpp:sm:3'/>{} ", ack(0)));
    assert!(
        heard.starts_with("<a xmlns=\"urn:xmpp:sm:3\" h=\"3\"/>"),
        "{heard}"
    );
    let last = stream.last("</stream:stream>");
    assert!(
        last.starts_with("<a xmlns=\"urn:xmpp:sm:3\" h=\"3\"/>"),
        "{last}"
    );
}

#[test]
fn without_management_its_elements_mean_nothing() {
    let mut stream = Stream::bound();
    assert_eq!(
        stream.ask(&format!("<r xmlns='urn:xmpp:sm:3'/>{}", ack(7))),
        ""
    );
    assert!(stream.session.suspend().is_none());
}

#[test]
fn an_acknowledgement_is_asked_for_behind_what_was_sent() {
    let (mut stream, _) = managed(config());
    const ASK: &str = "<r xmlns=\"urn:xmpp:sm:3\"/>";
    stream.session.send(message(1));
    stream.session.send(message(2));
    assert!(stream.actions().is_empty());
    assert!(stream.heard().ends_with(&format!("id=\"2\"/>{ASK}")));
    stream.session.send(message(3));
    assert!(stream.actions().is_empty());
    assert!(!stream.heard().contains(ASK), "one question at a time");
    assert_eq!(stream.ask(&ack(2)), ASK);
    assert_eq!(stream.ask(&ack(3)), "");
    assert!(stream.session.take_unacknowledged().is_empty());
}

#[test]
fn a_count_that_cannot_be_ends_the_stream() {
    let (mut stream, _) = managed(config());
    stream.session.send(message(1));
    let last = stream.last(&ack(2));
    assert!(
        last.contains("<stream:error><undefined-condition ")
            && last.contains(
                "<handled-count-too-high xmlns=\"urn:xmpp:sm:3\" h=\"2\" send-count=\"1\"/>"
            ),
        "{last}"
    );
    let left = stream.session.take_unacknowledged();
    assert_eq!(left.len(), 1, "what is not acknowledged is not lost");
    let (mut stream, _) = managed(config());
    assert!(has_error(
        &stream.last("<a xmlns='urn:xmpp:sm:3' h='-1'/>"),
        "invalid-xml"
    ));
    let mut stream = Stream::restarted();
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='x'/>";
    assert!(has_error(&stream.last(resume), "invalid-xml"));
}

#[test]
fn a_resumed_session_goes_on_where_it_was() {
    let (mut old, id) = managed(config());
    for number in 1..=3 {
        old.session.send(message(number));
    }
    assert_eq!(old.say("<message to='x@y'/>").len(), 1);
    // Read, and not handled: the client has to send it again.
    old.session.receive(b"<message to='x@y'");
    let suspended = old.session.suspend().unwrap();
    assert_eq!(suspended.handled(), 1);
    old.session.close(Some(StreamCondition::Conflict.into()));
    assert!(old.session.take_unacknowledged().is_empty());

    let mut new = resuming(&id, 1);
    new.session.resumed(Ok(suspended));
    assert_eq!(
        new.heard(),
        format!("<resumed xmlns=\"urn:xmpp:sm:3\" h=\"1\" previd=\"{id}\"/>")
            + "<message from=\"a@b\" id=\"2\"/><message from=\"a@b\" id=\"3\"/>"
    );
    assert_eq!(new.session.jid(), old.session.jid());
    let actions = new.actions();
    assert!(
        matches!(&*actions, [Action::Route(Stanza::Message(it))] if it.id.as_deref() == Some("early"))
    );
    assert!(new.heard().contains("<r "), "the old question is void");
    assert!(new.ask("<r xmlns='urn:xmpp:sm:3'/>").contains("h=\"2\""));
    assert_eq!(new.session.resumption_id(), Some(id.as_str()));
}

#[test]
fn a_session_that_cannot_be_resumed_leaves_room_for_another() {
    for (handled, h) in [(None, ""), (Some(7), " h=\"7\"")] {
        let mut stream = resuming("gone", 0);
        stream.session.resumed(Err(NotResumed { handled }));
        assert_eq!(stream.heard(), failed("item-not-found", h));
        let mut stream = Stream::restarted();
        stream.say("<resume xmlns='urn:xmpp:sm:3' previd='gone' h='0'/>");
        stream.session.resumed(Err(NotResumed { handled }));
        assert!(matches!(&*stream.say(BIND), [Action::Bind { .. }]));
    }
}

#[test]
fn a_resumption_that_acknowledges_too_much_ends_both() {
    let (mut old, id) = managed(config());
    old.session.send(message(1));
    let suspended = old.session.suspend().unwrap();
    let mut new = resuming(&id, 2);
    new.session.resumed(Ok(suspended));
    assert!(matches!(&*new.actions(), [Action::Close]));
    let heard = new.heard();
    assert!(heard.contains("<handled-count-too-high ") && !heard.contains("<resumed"));
    assert_eq!(new.session.take_unacknowledged().len(), 1);
}

#[test]
fn what_was_handed_over_in_vain_is_taken_back() {
    let (mut stream, _) = managed(config());
    stream.session.send(message(1));
    let suspended = stream.session.suspend().unwrap();
    assert_eq!(stream.session.resumable_for(), None);
    stream.session.reclaim(suspended);
    assert_eq!(stream.session.resumable_for(), Some(MINUTE));
    assert_eq!(stream.session.take_unacknowledged().len(), 1);
}

#[test]
fn what_is_not_acknowledged_is_bounded() {
    let mut config = config();
    config.limits.unacknowledged_stanzas = 2;
    let (mut stream, _) = managed(config);
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    assert!(stream.session.wants_mail());
    stream.ask(&ping.repeat(2));
    assert!(!stream.session.wants_mail(), "mail waits");
    stream.ask(&ping.repeat(2));
    stream.ask(&ack(3));
    assert!(stream.session.wants_mail());
    let last = stream.last(&ping.repeat(4));
    assert!(has_error(&last, "policy-violation"));
    assert_eq!(stream.session.take_unacknowledged().len(), 5);
}

/// A client that keeps the rules of XEP-0198, and one end of the wire.
#[derive(Default)]
struct Peer {
    handled: u32,
    /// Sent and not acknowledged.
    queue: std::collections::VecDeque<(u32, String)>,
    acknowledged: u32,
    sent: u32,
    got: Vec<String>,
    unread: Vec<u8>,
}

impl Peer {
    fn say(&mut self) -> String {
        let stanza = format!("<message to='marie@example.test' id='{}'/>", self.sent);
        self.sent += 1;
        self.queue.push_back((self.sent, stanza.clone()));
        stanza
    }

    fn acknowledged(&mut self, handled: u32) {
        assert!(self.acknowledged <= handled && handled <= self.sent);
        self.acknowledged = handled;
        self.queue.retain(|(number, _)| *number > handled);
    }

    /// Reads whole elements out of `bytes`; returns what it answers.
    fn hear(&mut self, bytes: &[u8]) -> String {
        let mut answer = String::new();
        self.unread.extend_from_slice(bytes);
        while let Some(end) = self.unread.windows(2).position(|it| it == b"/>") {
            let element: Vec<u8> = self.unread.drain(..end + 2).collect();
            let element = String::from_utf8(element).unwrap();
            let number = |name: &str| {
                let value = element.split_once(&format!(" {name}=\"")).unwrap().1;
                value.split_once('"').unwrap().0.to_owned()
            };
            if element.starts_with("<message ") {
                self.handled += 1;
                self.got.push(number("id"));
            } else if element.starts_with("<r ") {
                answer.push_str(&ack(self.handled));
            } else if element.starts_with("<a ") || element.starts_with("<resumed ") {
                self.acknowledged(number("h").parse().unwrap());
            }
        }
        answer
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Cut the wire wherever you like: what either side sent arrives once and
    /// in order.
    #[test]
    fn nothing_is_lost_or_doubled_however_the_wire_is_cut(
        steps in prop::collection::vec((0_u8..6, 0_usize..400), 1..80),
    ) {
        let (mut stream, id) = managed(config());
        let mut peer = Peer::default();
        let (mut served, mut routed) = (0, Vec::new());
        // Bytes on their way to us and to the client.
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let settle = steps.len();
        for (index, (what, size)) in steps.into_iter().chain([(5, 0), (3, 4000), (4, 4000), (3, 4000), (4, 4000)]).enumerate() {
            match what {
                0 => {
                    stream.session.send(message(served));
                    served += 1;
                }
                1 => up.extend(peer.say().into_bytes()),
                2 => up.extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>"),
                3 => {
                    let size = size.min(up.len());
                    stream.session.receive(&up.drain(..size).collect::<Vec<_>>());
                }
                4 => {
                    let size = size.min(down.len());
                    up.extend(peer.hear(&down.drain(..size).collect::<Vec<_>>()).into_bytes());
                }
                _ => {
                    // Everything on its way is gone; half an element was read.
                    let suspended = stream.session.suspend().unwrap();
                    stream = Stream::restarted();
                    up.clear();
                    peer.unread.clear();
                    down = Vec::new();
                    stream.say(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{}'/>", peer.handled));
                    stream.session.resumed(Ok(suspended));
                    // The client sends again only once it knows what arrived.
                    let heard = stream.heard();
                    let (resumed, rest) = heard.split_at(heard.find("/>").unwrap() + 2);
                    assert!(resumed.starts_with("<resumed "), "{heard}");
                    peer.hear(resumed.as_bytes());
                    down.extend(rest.bytes());
                    for (_, stanza) in &peer.queue {
                        up.extend(stanza.bytes());
                    }
                }
            }
            for action in stream.actions() {
                let Action::Route(stanza) = action else { panic!("{action:?}") };
                routed.push(stanza.id().unwrap().to_owned());
            }
            if index >= settle || what != 5 {
                down.extend(stream.heard().into_bytes());
            }
        }
        let expected = |count: usize| (0..count).map(|it| it.to_string()).collect::<Vec<_>>();
        prop_assert_eq!(routed, expected(peer.sent as usize));
        prop_assert_eq!(&peer.got, &expected(served));
    }
}

/// What the server makes of a stanza must not depend on who holds its bytes.
#[test]
fn unacknowledged_stanzas_can_be_read_back() {
    let (mut stream, _) = managed(config());
    stream.session.deliver(message(1), Worth::Sole);
    let left = stream.session.take_unacknowledged();
    assert_eq!(left[0].worth, Worth::Sole);
    assert_eq!(Head::of(&left[0].stanza).unwrap().id.as_deref(), Some("1"));
}
