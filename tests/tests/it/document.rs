//! Rows 57 and 58: a document with entries that are no contacts. Those are left
//! out; the rest of the list, and whoever reads it, is none the worse.

use muster_tests::app::Answer;
use muster_tests::client::ns;
use muster_tests::stage::{Stage, items};
use serde_json::json;

/// The items that john sees of this document, given as text.
async fn seen(stage: &Stage, document: &str) -> Vec<String> {
    stage.answer("john", Answer::Body(document.as_bytes().to_vec()));
    let mut john = stage.bound("john").await;
    let roster = john.roster().await;
    assert_eq!(roster.attr("type"), Some("result"), "{document}");
    // A second reader, and a client that survives it.
    assert!(john.settle().await.is_empty());
    let seen = items(&roster);
    john.leave().await;
    seen
}

/// Row 57.
#[tokio::test]
async fn a_contact_is_listed_once_under_its_prepared_jid() {
    for (document, expected) in [
        // Of equal keys the last counts, whatever their spelling.
        (
            r#"{"a@x.test":{"name":"1"},"a@x.test":{"name":"2"}}"#,
            r#"a@x.test both "2""#,
        ),
        (
            r#"{"ADMIN@X.test":{"name":"1"},"admin@x.test":{"name":"2"}}"#,
            r#"admin@x.test both "2""#,
        ),
        (
            r#"{"admin@x.test":{"name":"1"},"ADMIN@x.test":{"name":"2"}}"#,
            r#"admin@x.test both "2""#,
        ),
        (
            "{\"o\u{fb01}ce@x.test\":{\"name\":\"1\"},\"ofice@x.test\":{\"name\":\"2\"}}",
            r#"ofice@x.test both "2""#,
        ),
        (
            r#"{"a@x.test":{"name":"1","name":"2"}}"#,
            r#"a@x.test both "2""#,
        ),
    ] {
        let stage = Stage::shared().await;
        assert_eq!(seen(&stage, document).await, [expected], "{document}");
    }
}

/// Row 57: the good contact survives whatever stands beside it.
#[tokio::test]
async fn what_is_no_contact_is_left_out() {
    let long = format!("{}@x.test", "a".repeat(1024));
    for key in [
        "",
        " ",
        "@",
        "a@",
        "@x.test",
        "a@b@c",
        "a b@x.test",
        "a@x.test/phone",
        "a@x..test",
        "a@-x.test",
        "a\\u0000@x.test",
        "<a/>@x.test",
        "a@x.test\\n",
        "a\\\"b@x.test",
        long.as_str(),
    ] {
        let stage = Stage::shared().await;
        let document = format!("{{\"{key}\": {{}}, \"good@x.test\": {{}}}}");
        assert_eq!(
            seen(&stage, &document).await,
            ["good@x.test both"],
            "{key:?}"
        );
    }
    for entry in [
        "1",
        "true",
        "null",
        "\"x\"",
        "[1]",
        "{\"name\": 5}",
        "{\"name\": [\"x\"]}",
        "{\"groups\": \"x\"}",
        "{\"groups\": [\"x\", 1]}",
        "{\"groups\": [[\"x\"]]}",
        "{\"groups\": 7}",
        "{\"subscription\": \"all\"}",
        "{\"subscription\": \"remove\"}",
        "{\"subscription\": 1}",
    ] {
        let stage = Stage::shared().await;
        let document = format!("{{\"bad@x.test\": {entry}, \"good@x.test\": {{}}}}");
        assert_eq!(
            seen(&stage, &document).await,
            ["good@x.test both"],
            "{entry}"
        );
    }
}

/// Row 57: nobody is one's own contact.
#[tokio::test]
async fn the_user_is_left_out_of_the_list() {
    let stage = Stage::shared().await;
    let (own, shout) = (stage.jid("john"), stage.jid("JOHN"));
    for key in [own.clone(), shout, format!("{own}/phone")] {
        let document = json!({key: {"name": "Me"}, "good@x.test": {}}).to_string();
        assert_eq!(seen(&stage, &document).await, ["good@x.test both"]);
    }
}

/// Row 58: whatever a name or a group contains, what arrives is XML, and says
/// the same as far as XML can say it.
#[tokio::test]
async fn text_of_any_kind_arrives_as_text() {
    for (json, seen_as) in [
        (r"\u0000a\u0001b\u001fc", "abc"),
        (r"a\ufffe\uffffb", "ab"),
        (r"a\tb\nc\rd", "a\tb\nc\rd"),
        (r#"<b>&amp;\"'</b>]]>"#, "<b>&amp;\"'</b>]]>"),
        ("\u{202e}evil\u{202c}", "\u{202e}evil\u{202c}"),
        ("\u{1F339}\u{0301}", "\u{1F339}\u{0301}"),
        (r"\ud83c\udf39", "\u{1F339}"),
        (r"\u0085\u2028", "\u{85}\u{2028}"),
    ] {
        let stage = Stage::shared().await;
        let document =
            format!("{{\"a@x.test\": {{\"name\": \"{json}\", \"groups\": [\"{json}\"]}}}}");
        stage.answer("john", Answer::Body(document.into_bytes()));
        let mut john = stage.bound("john").await;
        let roster = john.roster().await;
        let item = roster
            .get_child("query", ns::ROSTER)
            .and_then(|query| query.children().next());
        let item = item.unwrap_or_else(|| panic!("{json}: {roster:?}"));
        assert_eq!(item.attr("name"), Some(seen_as), "{json}");
        assert_eq!(
            item.get_child("group", ns::ROSTER)
                .map(|group| group.text())
                .as_deref(),
            Some(seen_as),
            "{json}"
        );
        assert!(john.settle().await.is_empty());
    }
}

/// Row 58: a name has at most 1,023 bytes.
#[tokio::test]
async fn a_name_without_measure_is_cut() {
    let stage = Stage::shared().await;
    let name = "ä".repeat(1 << 19);
    let document =
        json!({"a@x.test": {"name": name, "groups": [name]}, "good@x.test": {}}).to_string();
    stage.answer("john", Answer::Body(document.into_bytes()));
    let mut john = stage.bound("john").await;
    let roster = john.roster().await;
    let query = roster.get_child("query", ns::ROSTER).expect("a roster");
    assert!(
        query
            .children()
            .any(|item| item.attr("jid") == Some("good@x.test"))
    );
    for item in query.children() {
        let long = item.attr("name").into_iter().map(str::len);
        let long = long
            .chain(item.children().map(|group| group.text().len()))
            .max();
        assert!(long.unwrap_or(0) <= 1_023, "{long:?}");
    }
}

/// A name that is nothing but what XML cannot carry is no name.
#[tokio::test]
async fn an_empty_name_is_no_name() {
    let stage = Stage::shared().await;
    let document =
        r#"{"a@x.test":{"name":""},"b@x.test":{"name":"\u0001"},"c@x.test":{"name":null}}"#;
    assert_eq!(
        seen(&stage, document).await,
        ["a@x.test both", "b@x.test both", "c@x.test both"]
    );
}
