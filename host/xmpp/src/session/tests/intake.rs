//! How fast a client is listened to.

use super::*;
use crate::limits::RateLimits;

const READ: usize = 8 * 1024;

fn limited(rate: RateLimits) -> SessionConfig {
    let mut config = config();
    config.limits.rate_before_auth = rate;
    config.limits.rate_after_auth = rate;
    config
}

const RATE: RateLimits = RateLimits {
    bytes_per_second: 16 * 1024,
    stanzas_per_second: 100,
    burst: Duration::from_secs(2),
};

/// Sends `stanza` as often as the session takes it, for a minute; how often.
fn flood(stream: &mut Stream, stanza: &str) -> usize {
    let chunk = stanza.repeat(READ / stanza.len());
    let end = stream.now + Duration::from_secs(60);
    let mut sent = 0;
    while stream.now < end {
        if stream.session.wants_read() {
            stream.say(&chunk);
            stream.heard();
            sent += READ / stanza.len();
        } else {
            stream.now = stream.session.paused_until().unwrap();
            stream.actions();
        }
    }
    assert!(!stream.session.is_closed());
    sent
}

fn bound_within(rate: RateLimits) -> Stream {
    let mut stream = Stream::new(limited(rate));
    stream.ask(HEADER);
    stream.say(PLAIN);
    stream.session.password_verified(Verdict::Accepted);
    stream.ask(HEADER);
    stream.say(BIND);
    let jid = FullJid::new("john@example.test/phone").unwrap();
    stream.session.bound(Ok(jid));
    stream.heard();
    stream.now += Duration::from_secs(60);
    stream.actions();
    stream.session.take_reached();
    stream
}

#[test]
fn a_flood_is_read_at_the_rate_of_its_bytes() {
    let mut stream = bound_within(RATE);
    let message = format!(
        "<message to='marie@example.test'><body>{}</body></message>",
        "x".repeat(4_000)
    );
    let bytes = flood(&mut stream, &message) * message.len();
    let allowed = RATE.bytes_per_second * 62 + READ;
    assert!(
        (allowed * 9 / 10..=allowed).contains(&bytes),
        "{bytes} of {allowed}"
    );
}

#[test]
fn a_flood_of_small_stanzas_is_read_at_the_rate_of_their_number() {
    for stanza in [
        "<message to='a@b'/>",
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq/>",
    ] {
        let mut stream = bound_within(RATE);
        let stanzas = flood(&mut stream, stanza);
        let allowed = RATE.stanzas_per_second * 62 + READ / stanza.len();
        assert!(stanzas <= allowed, "{stanza}: {stanzas} of {allowed}");
        assert!(stanzas >= allowed / 2, "{stanza}: {stanzas} of {allowed}");
    }
}

#[test]
fn a_pause_is_told_once_and_ends() {
    let mut stream = bound_within(RATE);
    assert_eq!(stream.session.take_reached(), None);
    stream.say(&"<message to='a@b'/>".repeat(300));
    assert_eq!(stream.session.take_reached(), Some(Reached::RateAfterAuth));
    assert!(!stream.session.wants_read());
    stream.actions();
    assert_eq!(stream.session.take_reached(), None);
    stream.now = stream.session.paused_until().unwrap();
    stream.actions();
    assert!(stream.session.wants_read());
    assert_eq!(stream.session.paused_until(), None);
}

#[test]
fn who_stays_within_the_rate_is_never_paused() {
    let mut stream = bound_within(RATE);
    for _ in 0..10_000 {
        stream.now += Duration::from_millis(25);
        stream.say("<message to='a@b'><body>hello</body></message>");
        assert_eq!(stream.session.take_reached(), None);
    }
}

#[test]
fn before_the_login_the_smaller_rate_holds() {
    let mut stream = Stream::new(limited(RATE));
    stream.ask(HEADER);
    for _ in 0..5 {
        stream.say(&" ".repeat(READ));
    }
    assert_eq!(stream.session.take_reached(), Some(Reached::RateBeforeAuth));
    assert!(!stream.session.wants_read());
    assert!(!stream.session.is_closed());
}
