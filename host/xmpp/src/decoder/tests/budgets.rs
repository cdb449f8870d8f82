//! What a peer may send: as much as its budget, and what is beyond ends the
//! stream before there is a tree of it.

use super::*;

#[test]
fn a_stanza_may_be_as_large_as_its_budget_and_no_larger() {
    let limits = Limits::default();
    let frame = "<message><body></body></message>";
    for size in [limits.before_auth.bytes, limits.after_auth.bytes] {
        let mut decoder = open();
        decoder.set_limits(StanzaLimits {
            bytes: size,
            ..limits.after_auth
        });
        let xml = frame.replace("></b", &format!(">{}</b", "x".repeat(size - frame.len())));
        assert_eq!(xml.len(), size);
        decoder.receive(xml.as_bytes());
        assert!(matches!(decoder.next(), Ok(Some(StreamEvent::Stanza(_)))));
        let larger = xml.replacen('x', "xx", 1);
        assert!(is_too_big(&fault(&mut decoder, larger.as_bytes())));
    }
}

#[test]
fn exactly_the_elements_depth_and_attributes_allowed_pass() {
    let nested = |depth: usize| {
        format!(
            "<message>{}{}</message>",
            "<a>".repeat(depth - 1),
            "</a>".repeat(depth - 1)
        )
    };
    let wide = |elements: usize| format!("<message>{}</message>", "<a/>".repeat(elements - 1));
    let spread = |attributes: usize| {
        let attributes: String = (0..attributes)
            .map(|n| match n % 2 {
                0 => format!(" a{n}=''"),
                _ => format!(" xmlns:a{n}='u'"),
            })
            .collect();
        format!("<message><a{attributes}/></message>")
    };
    for (allowed, refused) in [
        (nested(64), nested(65)),
        (wide(2_000), wide(2_001)),
        (spread(64), spread(65)),
    ] {
        stanza(&allowed);
        assert!(is_too_big(&fault(&mut open(), refused.as_bytes())));
    }
}

/// An attack is refused at its start: fast, and without keeping it.
#[test]
fn floods_stop_while_they_arrive() {
    let attributes: String = (0..20_000).map(|n| format!(" a{n}='x'")).collect();
    let namespaces: String = (0..10_000).map(|n| format!(" xmlns:a{n}='x'")).collect();
    let deep_namespaces: String = (0..60)
        .map(|n| {
            format!(
                "<a{}>",
                (0..60)
                    .map(|m| format!(" xmlns:a{n}-{m}='x'"))
                    .collect::<String>()
            )
        })
        .collect();
    for (name, flood) in [
        ("nested", "<a>".repeat(37_000)),
        ("attributes", format!("<a{attributes}")),
        ("namespaces", format!("<a{namespaces}")),
        ("namespaces in scope", deep_namespaces),
        ("long name", "a".repeat(20_000).replacen('a', "<a", 1)),
        ("long value", format!("<a b='{}", "x".repeat(20_000))),
        (
            "growing text",
            format!("<a><![CDATA[{}", "<".repeat(250_000)),
        ),
        ("never closed", "x".repeat(300_000)),
    ] {
        let mut decoder = open();
        let started = Instant::now();
        let error = fault(&mut decoder, format!("<message>{flood}").as_bytes());
        let took = started.elapsed();
        assert!(is_too_big(&error), "{name}: {error:?}");
        // 5 ms where it matters; slack for an unoptimised build.
        assert!(took < Duration::from_millis(100), "{name} took {took:?}");
    }
    let mut decoder = Decoder::new(&Limits::default());
    let mut header = HEADER.to_owned();
    header.push_str("<message>");
    header.push_str(&"<a>".repeat(87_000));
    assert!(is_too_big(&fault(&mut decoder, header.as_bytes())));
}

#[test]
fn what_is_kept_is_bounded_however_it_drips() {
    for drip in ["<", "x", "<a>", "<a b='", " c='d'", "&lt;", "<![CDATA[<"] {
        let mut decoder = open();
        decoder.receive(b"<message><body>");
        let limit = Limits::default().after_auth.bytes;
        let mut sent = 0;
        while let Ok(event) = decoder.next() {
            assert!(event.is_none());
            assert!(decoder.buffered() <= drip.len());
            assert!(decoder.retained() <= 3 * limit + drip.len());
            assert!(sent <= limit + drip.len(), "{drip}");
            sent += drip.len();
            decoder.receive(drip.as_bytes());
        }
    }
}

#[test]
fn whitespace_between_stanzas_costs_nothing() {
    let mut decoder = open();
    for _ in 0..20_000 {
        decoder.receive(b" \r\n\t             ");
        assert!(matches!(decoder.next(), Ok(None)));
        assert_eq!(decoder.buffered() + decoder.retained(), 0);
    }
    decoder.receive(b"<message/>");
    assert!(matches!(decoder.next(), Ok(Some(StreamEvent::Stanza(_)))));
}
