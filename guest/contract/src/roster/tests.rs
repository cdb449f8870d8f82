//! Fixtures and properties of the app's answer.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 10_000;

fn contact_of(jid: &str) -> Contact<'_> {
    Contact {
        jid: Cow::Borrowed(jid),
        name: None,
        groups: Vec::new(),
        subscription: Subscription::Both,
    }
}

fn named<'a>(jid: &'a str, name: &'a str) -> Contact<'a> {
    Contact {
        name: Some(Cow::Borrowed(name)),
        ..contact_of(jid)
    }
}

fn grouped<'a>(jid: &'a str, groups: &[&'a str]) -> Contact<'a> {
    Contact {
        groups: groups.iter().map(|&group| Cow::Borrowed(group)).collect(),
        ..contact_of(jid)
    }
}

/// What `document` means.
#[track_caller]
fn check(document: impl AsRef<[u8]>, contacts: &[Contact<'_>], skipped: u32) {
    let roster = parse_roster(document.as_ref(), LIMIT);
    let roster = roster.expect("a roster");
    assert_eq!(
        (roster.contacts.as_slice(), roster.skipped),
        (contacts, skipped)
    );
}

#[track_caller]
fn check_error(document: impl AsRef<[u8]>, expected: &str) {
    let error = parse_roster(document.as_ref(), LIMIT).expect_err("no roster");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_example_of_the_reference() {
    check(
        r#"{ "marie@example.com": { "name": "Marie" }, "michael@example.com": { "name": "Michael" } }"#,
        &[
            named("marie@example.com", "Marie"),
            named("michael@example.com", "Michael"),
        ],
        0,
    );
    check("{}", &[], 0);
    check(
        r#" {"marie@example.com":{}} "#,
        &[contact_of("marie@example.com")],
        0,
    );
}

#[test]
fn contacts_keep_their_order() {
    check(
        r#"{"b@x.test":{},"c@x.test":{},"a@x.test":{}}"#,
        &[
            contact_of("b@x.test"),
            contact_of("c@x.test"),
            contact_of("a@x.test"),
        ],
        0,
    );
}

#[test]
fn subscriptions() {
    for (text, subscription) in [
        ("none", Subscription::None),
        ("to", Subscription::To),
        ("from", Subscription::From),
        ("both", Subscription::Both),
    ] {
        let expected = Contact {
            subscription,
            ..contact_of("a@x.test")
        };
        check(
            format!(r#"{{"a@x.test":{{"subscription":"{text}"}}}}"#),
            &[expected],
            0,
        );
    }
    check(
        r#"{"a@x.test":{"subscription":null}}"#,
        &[contact_of("a@x.test")],
        0,
    );
    for wrong in [r#""remove""#, r#""""#, r#""BOTH""#, "1", "[]", "{}"] {
        check(
            format!(r#"{{"a@x.test":{{"subscription":{wrong}}}}}"#),
            &[],
            1,
        );
    }
}

/// The predecessor's roster broke on the array.
#[test]
fn groups_are_an_array_or_the_keys_of_an_object() {
    let expected = [grouped("a@x.test", &["Family", "Friends"])];
    for groups in [
        r#"["Friends","Family"]"#,
        r#"["Friends","Family","Friends",""]"#,
        r#"["Fr\u0000iends","Family","\u0001"]"#,
        r#"{"Friends":true,"Family":true}"#,
        r#"{"Friends":[[1]],"Family":null}"#,
    ] {
        check(
            format!(r#"{{"a@x.test":{{"groups":{groups}}}}}"#),
            &expected,
            0,
        );
    }
    for none in ["null", "[]", "{}", r#"[""]"#] {
        check(
            format!(r#"{{"a@x.test":{{"groups":{none}}}}}"#),
            &[contact_of("a@x.test")],
            0,
        );
    }
    for wrong in [
        r#""Friends""#,
        "1",
        "true",
        r#"["Friends",1]"#,
        "[null]",
        r#"[["Friends"]]"#,
    ] {
        check(
            format!(r#"{{"a@x.test":{{"groups":{wrong}}},"b@x.test":{{}}}}"#),
            &[contact_of("b@x.test")],
            1,
        );
    }
}

/// The predecessor hung on `null` and on numbers.
#[test]
fn names_that_are_no_strings() {
    check(
        r#"{"a@x.test":{"name":null}}"#,
        &[contact_of("a@x.test")],
        0,
    );
    check(r#"{"a@x.test":{"name":""}}"#, &[contact_of("a@x.test")], 0);
    for wrong in [
        "1",
        "1.5",
        "-1",
        "true",
        "[]",
        "[1]",
        "{}",
        r#"{"a":1}"#,
        r#"["Anna"]"#,
    ] {
        check(
            format!(r#"{{"a@x.test":{{"name":{wrong}}},"b@x.test":{{}}}}"#),
            &[contact_of("b@x.test")],
            1,
        );
    }
}

/// The predecessor's later roster gets were all poisoned.
#[test]
fn names_with_control_characters() {
    check(
        r#"{"a@x.test":{"name":"A\u0000n\u0008n\uFFFEa"}}"#,
        &[named("a@x.test", "Anna")],
        0,
    );
    check(
        r#"{"a@x.test":{"name":"\u0000"}}"#,
        &[contact_of("a@x.test")],
        0,
    );
    check(
        r#"{"a@x.test":{"name":"<b>&\u202E\ud83d\ude00"}}"#,
        &[named("a@x.test", "<b>&\u{202E}😀")],
        0,
    );
}

#[test]
fn long_names_are_shortened() {
    let long = "a".repeat(4 << 20);
    let document = format!(r#"{{"a@x.test":{{"name":"{long}","groups":["{long}"]}}}}"#);
    let expected = Contact {
        name: Some(Cow::Owned("a".repeat(1_023))),
        ..grouped("a@x.test", &[&long[..1_023]])
    };
    check(document, &[expected], 0);
}

#[test]
fn entries_that_are_no_contacts() {
    for wrong in [
        "null",
        "1",
        "1.5",
        "-1",
        "true",
        r#""Marie""#,
        "[1]",
        r#"[{"name":"Marie"}]"#,
    ] {
        check(
            format!(r#"{{"a@x.test":{wrong},"b@x.test":{{}}}}"#),
            &[contact_of("b@x.test")],
            1,
        );
    }
    // PHP's empty object.
    check(r#"{"a@x.test":[]}"#, &[contact_of("a@x.test")], 0);
}

#[test]
fn unknown_fields_are_ignored_however_deep() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    check(
        format!(r#"{{"a@x.test":{{"x":{deep},"name":"Anna","y":{{"name":"Eve"}}}}}}"#),
        &[named("a@x.test", "Anna")],
        0,
    );
    check(
        format!(r#"{{"a@x.test":{{"groups":{{"Friends":{deep}}}}}}}"#),
        &[grouped("a@x.test", &["Friends"])],
        0,
    );
    check(format!(r#"{{"a@x.test":{{"name":{deep}}}}}"#), &[], 1);
    check(format!(r#"{{"a@x.test":{deep}}}"#), &[], 1);
}

/// Whom a key names, the user or nobody, is for the host to say, and to tell.
#[test]
fn keys_are_passed_on_as_they_are_written() {
    for key in [
        "",
        "@",
        "john@example.test",
        "JOHN@Example.Test",
        "@x.test",
        "a@x.test/phone",
        "a b@x.test",
        "a@-x.test",
        "a@x.test.",
        "a@[::1",
        "gateway.x.test",
        "\u{fb01}n@x.test",
    ] {
        check(
            format!(r#"{{"{key}":{{"name":"Anna"}}}}"#),
            &[named(key, "Anna")],
            0,
        );
    }
    check(r#"{"a\u0000@x.test":{}}"#, &[contact_of("a\0@x.test")], 0);
    let long = format!("{}@x.test", "a".repeat(1_024));
    check(format!(r#"{{"{long}":{{}}}}"#), &[contact_of(&long)], 0);
}

/// Whichever of its spellings the host keeps.
#[test]
fn entries_of_one_jid_say_what_the_last_says() {
    check(
        r#"{"ADMIN@h.test":{"name":"One"},"admin@H.test":{"name":"Two","groups":["A"],"subscription":"to"}}"#,
        &["ADMIN@h.test", "admin@H.test"].map(|jid| Contact {
            name: Some("Two".into()),
            subscription: Subscription::To,
            ..grouped(jid, &["A"])
        }),
        0,
    );
    check(
        r#"{"a@x.test":{"name":"One"},"b@x.test":{},"a@x.test":{"name":"Two"},"A@x.test":{"name":"Three"}}"#,
        &[
            named("a@x.test", "Three"),
            contact_of("b@x.test"),
            named("a@x.test", "Three"),
            named("A@x.test", "Three"),
        ],
        0,
    );
    // A bad one does not replace a good one.
    check(
        r#"{"A@x.test":{"name":"One"},"a@x.test":{"name":2}}"#,
        &[named("A@x.test", "One")],
        1,
    );
    // The ligature is two letters to nodeprep.
    check(
        r#"{"\ufb01n@x.test":{},"fin@x.test":{"name":"Fin"}}"#,
        &[named("\u{fb01}n@x.test", "Fin"), named("fin@x.test", "Fin")],
        0,
    );
    check(
        r#"{"a@x.test":{"name":"One"},"a@x.test.":{}}"#,
        &[contact_of("a@x.test"), contact_of("a@x.test.")],
        0,
    );
    // What is no JID is not one with another.
    check(
        r#"{"a b":{"name":"One"},"A b":{"name":"Two"}}"#,
        &[named("a b", "One"), named("A b", "Two")],
        0,
    );
    check(
        r#"{"a@x.test":{"name":"One","name":"Two"}}"#,
        &[named("a@x.test", "Two")],
        0,
    );
}

/// The host keeps the last of these by itself.
#[test]
fn entries_that_are_written_alike_stay_as_they_are() {
    check(
        r#"{"a@x.test":{"name":"One"},"a@x.test":{"name":"Two"}}"#,
        &[named("a@x.test", "One"), named("a@x.test", "Two")],
        0,
    );
}

/// The predecessor took an array for "all contacts removed", and hung on the rest.
#[test]
fn documents_that_are_no_objects() {
    let not = |what| format!("the document must be an object of contacts, not {what}");
    check_error("[]", &not("an array"));
    check_error(r#"["marie@example.com"]"#, &not("an array"));
    check_error("null", &not("null"));
    check_error("1", &not("a number"));
    check_error("true", &not("a boolean"));
    check_error(r#""marie@example.com""#, &not("a string"));
    check_error("<!DOCTYPE html><p>Log in</p>", &not("HTML or XML"));
    check_error("[".repeat(1_000_000), &not("an array"));
}

#[test]
fn documents_that_cannot_be_read() {
    check_error("", "the document is empty");
    check_error(" \r\n", "the document is empty");
    check_error(
        b"\xEF\xBB\xBF{}",
        "the document starts with a byte order mark; send UTF-8 without one",
    );
    check_error(
        b"{\"a@x.test\":{\"name\":\"\xFF\"}}",
        "the document is not UTF-8 (byte 21)",
    );
    let not_json = |what| format!("the document is not JSON: {what}");
    check_error(
        r#"{"a@x.test":{"name":"An"#,
        &not_json("EOF while parsing a string at line 1 column 23"),
    );
    check_error(
        r#"{"a@x.test":{}"#,
        &not_json("EOF while parsing an object at line 1 column 14"),
    );
    check_error(
        r#"{"a@x.test":{}} {}"#,
        &not_json("trailing characters at line 1 column 17"),
    );
    check_error(
        r#"{"a@x.test":{},}"#,
        &not_json("trailing comma at line 1 column 16"),
    );
    check_error(
        "Internal Server Error",
        &not_json("expected value at line 1 column 1"),
    );
    check_error(
        "{john:1}",
        &not_json("key must be a string at line 1 column 2"),
    );
}

#[test]
fn errors_do_not_quote_the_document() {
    for document in [
        r#"{"a@x.test":{"name":"secret""#,
        r#"{"secret@x.test":{"name":tru}}"#,
        r#"{"secret@x.test" 1}"#,
        r#""secret""#,
        r#"{"a@x.test":{"name":"secret\ud800"}}"#,
    ] {
        let error = parse_roster(document.as_bytes(), LIMIT).expect_err("no roster");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn the_bound_is_on_entries() {
    let document = |n: usize| {
        let entries: Vec<_> = (0..n).map(|i| format!(r#""u{i}@x.test":{{}}"#)).collect();
        format!("{{{}}}", entries.join(","))
    };
    let most = document(LIMIT);
    let roster = parse_roster(most.as_bytes(), LIMIT).expect("a roster");
    assert_eq!(roster.contacts.len(), LIMIT);
    check_error(document(LIMIT + 1), "more than 10000 contacts");
}

proptest! {
    #[test]
    fn no_document_panics(document in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = parse_roster(&document, 3);
    }

    #[test]
    fn no_object_panics(
        entries in prop::collection::vec((".{0,12}", r#"[\[\]{}",:0-9ntfeu\\d ]{0,30}"#), 0..4),
    ) {
        let entries: Vec<_> = entries.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
        let document = format!("{{{}}}", entries.join(","));
        let _ = parse_roster(document.as_bytes(), 3);
    }

    /// Every entry is passed on in its place, and says what the last says that
    /// is the same JID.
    #[test]
    fn entries_stay_and_the_last_counts(
        entries in prop::collection::vec(("[a-cA-C@./ ]{0,6}@?[a-b.]{0,3}", "[a-z]{1,4}"), 0..20),
    ) {
        let body: Vec<_> = entries.iter().map(|(key, name)| {
            format!("{}:{}", serde_json::json!(key), serde_json::json!({"name": name, "groups": [name]}))
        }).collect();
        let document = format!("{{{}}}", body.join(","));
        let roster = parse_roster(document.as_bytes(), LIMIT).expect("a roster");
        let keys: Vec<_> = roster.contacts.iter().map(|contact| &*contact.jid).collect();
        let written: Vec<_> = entries.iter().map(|(key, _)| key.as_str()).collect();
        prop_assert_eq!((keys, roster.skipped), (written, 0));
        for (contact, (key, name)) in roster.contacts.iter().zip(&entries) {
            let jid = canonical_jid(key);
            let mut same = entries.iter().filter(|(other, _)| jid.is_some() && canonical_jid(other) == jid);
            let expected = match same.next_back() {
                // Left for the host.
                _ if entries.iter().all(|(key, _)| is_canonical(key)) => name,
                Some((_, last)) => last,
                None => name,
            };
            prop_assert_eq!(contact.name.as_deref(), Some(expected.as_str()));
            prop_assert_eq!(&contact.groups, &[expected.as_str()]);
        }
    }

    /// The short cut for plain addresses agrees with the full preparation.
    #[test]
    fn the_short_cut_changes_nothing(jid in "[a-z0-9._+@-]{1,8}@[a-z0-9.-]{1,12}") {
        let rooted = jid.strip_suffix('.').unwrap_or(&jid);
        let prepared = BareJid::new(rooted).ok().map(|jid| jid.as_str().to_owned());
        prop_assert_eq!(canonical_jid(&jid).map(Cow::into_owned), prepared);
    }
}
