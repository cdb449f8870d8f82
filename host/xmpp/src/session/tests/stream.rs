//! The stream itself: its headers, what ends it, and its deadlines.

use super::*;

#[test]
fn the_way_from_the_first_byte_to_the_last() {
    let mut stream = Stream::new(config());
    let heard = stream.ask(HEADER);
    assert!(heard.starts_with("<?xml version='1.0'?><stream:stream xmlns=\"jabber:client\""));
    assert!(heard.contains(" from=\"example.test\" id=\""));
    assert!(heard.ends_with(
        "<stream:features><mechanisms xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">\
         <mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms>\
         <limits xmlns=\"urn:xmpp:stream-limits:0\"><max-bytes>8192</max-bytes></limits></stream:features>"
    ));
    let mut stream = Stream::authenticated();
    assert!(stream.session.jid().is_none());
    let heard = stream.ask(HEADER);
    assert!(heard.contains("<bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\">"));
    assert!(heard.contains("<ver xmlns=\"urn:xmpp:features:rosterver\"/>"));
    assert!(heard.contains("<max-bytes>262144</max-bytes><idle-seconds>60</idle-seconds>"));
    assert!(!heard.contains("mechanisms"));
    let mut stream = Stream::bound();
    assert_eq!(
        stream.session.jid().map(|jid| jid.as_str()),
        Some("john@example.test/phone")
    );
    assert_eq!(stream.last("</stream:stream>"), "</stream:stream>");
    assert!(stream.session.jid().is_some());
}

/// RFC 6120 §4.7.2.
#[test]
fn the_header_repeats_who_the_client_says_it_is() {
    for (from, to) in [
        ("John@example.test", Some("to=\"john@example.test\"")),
        ("@", None),
    ] {
        let header = HEADER.replacen(" to='", &format!(" from='{from}' to='"), 1);
        let heard = Stream::new(config()).ask(&header);
        let start = heard.split("<stream:features>").next().unwrap();
        assert_eq!(start.contains(" to="), to.is_some());
        assert!(to.is_none_or(|to| start.contains(to)), "{start}");
    }
}

#[test]
fn stream_identifiers_are_fresh() {
    let id = |heard: &str| heard.split(" id=\"").nth(1).unwrap()[..24].to_owned();
    let mut stream = Stream::new(config());
    let first = id(&stream.ask(HEADER));
    let second = id(&Stream::authenticated().ask(HEADER));
    assert_ne!(first, second);
}

#[test]
fn headers_that_do_not_fit_end_the_stream() {
    for (from, to, condition) in [
        ("to='example.test'", "to='elsewhere.test'", "host-unknown"),
        ("to='example.test'", "", "host-unknown"),
        ("to='example.test'", "to='@'", "host-unknown"),
        (" version='1.0' ", " ", "unsupported-version"),
        (" version='1.0' ", " version='0.9' ", "unsupported-version"),
        (" version='1.0' ", " version='one' ", "unsupported-version"),
        ("jabber:client", "jabber:server", "invalid-namespace"),
        (
            "http://etherx.jabber.org/streams",
            "urn:streams",
            "invalid-namespace",
        ),
        (
            "<?xml version='1.0'?>",
            "<?xml version='1.1'?>",
            "restricted-xml",
        ),
    ] {
        for mut stream in [Stream::new(config()), Stream::authenticated()] {
            let heard = stream.last(&HEADER.replacen(from, to, 1));
            assert!(
                heard.starts_with("<?xml version='1.0'?><stream:stream"),
                "{heard}"
            );
            assert!(has_error(&heard, condition), "{heard}");
            assert_eq!(heard.matches("<stream:stream").count(), 1);
        }
    }
    // A newer minor or major version is answered with ours.
    for version in ["1.7", "2.0"] {
        let header = HEADER.replacen("version='1.0' ", &format!("version='{version}' "), 1);
        assert!(
            Stream::new(config())
                .ask(&header)
                .contains("version=\"1.0\">")
        );
    }
    // A restarted stream cannot move to another host.
    let other = HEADER.replace("example.test", "other.test");
    assert!(has_error(
        &Stream::authenticated().last(&other),
        "host-unknown"
    ));
}

/// Every state against every kind of event: what ends the stream and how.
#[test]
fn events_out_of_turn_end_the_stream() {
    type Start = fn() -> Stream;
    let states: [(&str, Start); 5] = [
        ("new", || Stream::new(config())),
        ("opened", Stream::opened),
        ("authenticated", Stream::authenticated),
        ("restarted", Stream::restarted),
        ("bound", Stream::bound),
    ];
    let roster = "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>";
    let header = HEADER.trim_start_matches("<?xml version='1.0'?>");
    for (event, conditions) in [
        (
            header,
            [
                None,
                Some("unsupported-stanza-type"),
                None,
                Some("unsupported-stanza-type"),
                Some("unsupported-stanza-type"),
            ],
        ),
        (
            "<message to='marie@example.test'/>",
            [
                Some("bad-format"),
                Some("not-authorized"),
                Some("bad-format"),
                Some("not-authorized"),
                None,
            ],
        ),
        (
            "<presence/>",
            [
                Some("bad-format"),
                Some("not-authorized"),
                Some("bad-format"),
                Some("not-authorized"),
                None,
            ],
        ),
        (
            roster,
            [
                Some("bad-format"),
                Some("not-authorized"),
                Some("bad-format"),
                Some("not-authorized"),
                None,
            ],
        ),
        (
            "<iq/>",
            [
                Some("bad-format"),
                Some("not-authorized"),
                Some("bad-format"),
                Some("not-authorized"),
                None,
            ],
        ),
        (
            BIND,
            [
                Some("bad-format"),
                Some("not-authorized"),
                Some("bad-format"),
                None,
                None,
            ],
        ),
        (
            PLAIN,
            [
                Some("bad-format"),
                None,
                Some("bad-format"),
                Some("not-authorized"),
                Some("not-authorized"),
            ],
        ),
        (
            "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            [
                Some("bad-format"),
                None,
                Some("bad-format"),
                Some("not-authorized"),
                Some("not-authorized"),
            ],
        ),
        (
            "<unknown/>",
            [
                Some("bad-format"),
                Some("unsupported-stanza-type"),
                Some("bad-format"),
                Some("unsupported-stanza-type"),
                Some("unsupported-stanza-type"),
            ],
        ),
        (
            "text",
            [
                Some("not-well-formed"),
                Some("bad-format"),
                Some("not-well-formed"),
                Some("bad-format"),
                Some("bad-format"),
            ],
        ),
        ("<!-- -->", [Some("restricted-xml"); 5]),
    ] {
        for ((state, stream), condition) in states.iter().zip(conditions) {
            let mut stream = stream();
            match condition {
                Some(condition) => {
                    let heard = stream.last(event);
                    assert!(has_error(&heard, condition), "{state}, {event}: {heard}");
                }
                None => {
                    stream.say(event);
                    assert!(!stream.session.is_closed(), "{state}, {event}");
                }
            }
        }
    }
}

#[test]
fn budgets_end_the_stream_without_an_echo() {
    let mut stream = Stream::opened();
    let heard = stream.last(&format!("<message>{}</message>", "secret".repeat(2_000)));
    assert!(has_error(&heard, "policy-violation") && !heard.contains("secret"));
    assert!(heard.contains("<stanza-too-big xmlns=\"urn:xmpp:errors\"/>"));
    let big = format!(
        "<message to='marie@example.test'><body>{}</body></message>",
        "x".repeat(200_000)
    );
    let mut stream = Stream::bound();
    assert!(matches!(stream.say(&big).as_slice(), [Action::Route(_)]));
    let heard = stream.last(&big.replace('x', "xx"));
    assert!(has_error(&heard, "policy-violation"));
    // A header that never ends counts as well.
    let header = format!("<stream:stream a='{}", "x".repeat(8_192));
    assert!(has_error(
        &Stream::new(config()).last(&header),
        "policy-violation"
    ));
}

#[test]
fn logging_in_has_a_total_deadline() {
    for mut stream in [
        Stream::new(config()),
        Stream::opened(),
        Stream::authenticated(),
        Stream::restarted(),
    ] {
        let deadline = stream.session.deadline().unwrap();
        assert_eq!(deadline - stream.now, Duration::from_secs(30));
        // Activity does not move it.
        stream.now = deadline - Duration::from_millis(1);
        assert!(stream.say(" ").is_empty());
        stream.now = deadline;
        assert!(has_error(&stream.last(""), "connection-timeout"));
    }
    let mut stream = Stream::bound();
    stream.now += Duration::from_secs(1_000_000);
    assert!(stream.say("").is_empty());
}

#[test]
fn the_shell_can_end_a_stream_at_any_time() {
    for mut stream in [Stream::new(config()), Stream::opened(), Stream::bound()] {
        stream
            .session
            .close(Some(StreamCondition::SystemShutdown.into()));
        // Only the first reason counts.
        stream.session.close(Some(StreamCondition::Conflict.into()));
        let heard = stream.last("<message/>");
        assert!(has_error(&heard, "system-shutdown") && !heard.contains("conflict"));
    }
}

#[test]
fn reading_pauses_while_an_answer_is_due() {
    let mut stream = Stream::opened();
    assert!(stream.session.wants_read());
    assert_eq!(stream.say(PLAIN).len(), 1);
    assert!(stream.session.wants_read());
    // What comes early waits: neither looked at nor lost.
    stream.say(HEADER);
    assert_eq!(stream.heard(), "");
    stream.say(&" ".repeat(16 * 1024));
    assert!(!stream.session.wants_read());
    stream.session.password_verified(Verdict::Accepted);
    assert!(stream.actions().is_empty());
    assert!(stream.heard().contains("<bind"));
    assert!(stream.session.wants_read());
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    for mut stream in [Stream::opened(), Stream::restarted(), Stream::bound()] {
        stream.session.password_verified(Verdict::Accepted);
        stream
            .session
            .credentials(CredentialsAnswer::TemporarilyUnavailable);
        stream.session.token_verified(TokenVerdict::Rejected);
        stream
            .session
            .bound(Ok(FullJid::new("marie@example.test/x").unwrap()));
        assert_eq!(stream.heard(), "");
        assert_ne!(
            stream.session.jid().map(|jid| jid.as_str()),
            Some("marie@example.test/x")
        );
    }
}
