//! Fixtures and properties of the roster URL.

use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;

const TEMPLATE: &str = "http://app.example.com/contacts/%s";

#[track_caller]
fn check(template: &str, username: &str, expected: Result<&str, UrlError>) {
    assert_eq!(
        roster_url(template, username),
        expected.map(str::to_owned),
        "{template} {username:?}"
    );
}

#[test]
fn the_username_replaces_the_placeholder() {
    check(TEMPLATE, "john", Ok("http://app.example.com/contacts/john"));
    check(
        "https://app.example.com:8443/roster?user=%s&v=1",
        "john",
        Ok("https://app.example.com:8443/roster?user=john&v=1"),
    );
    check(
        "HTTP://[::1]:8080/%s/%s",
        "john",
        Ok("http://[::1]:8080/john/john"),
    );
    check(
        "http://app.example.com?u=%s",
        "john",
        Ok("http://app.example.com/?u=john"),
    );
}

#[test]
fn other_percent_sequences_are_left_alone() {
    check(
        "http://app.example.com/a%20b/%d%S%/%s?q=100%25",
        "john",
        Ok("http://app.example.com/a%20b/%d%S%/john?q=100%25"),
    );
}

/// The predecessor asked for another user's roster with the first two.
#[test]
fn no_username_reaches_another_users_resource() {
    for (username, segment) in [
        ("a#b", "a%23b"),
        ("a;b=c", "a%3Bb%3Dc"),
        ("a%2fb", "a%252fb"),
        ("a%2e%2e", "a%252e%252e"),
        ("a/b", "a%2Fb"),
        ("a?x=1", "a%3Fx%3D1"),
        ("a&b", "a%26b"),
        ("a+b c", "a%2Bb%20c"),
        ("%", "%25"),
        ("%s", "%25s"),
        ("...", "..."),
        ("@evil.example", "%40evil.example"),
        (":80", "%3A80"),
        ("a\\b", "a%5Cb"),
        ("a\r\nHost: b", "a%0D%0AHost%3A%20b"),
        ("http://evil.example/", "http%3A%2F%2Fevil.example%2F"),
        ("\0", "%00"),
        ("é", "%C3%A9"),
    ] {
        let url = format!("http://app.example.com/contacts/{segment}");
        check(TEMPLATE, username, Ok(&url));
    }
}

#[test]
fn usernames_that_are_no_segment_are_refused() {
    check(TEMPLATE, "", Err(UsernameError::Empty.into()));
    check(TEMPLATE, ".", Err(UsernameError::DotSegment.into()));
    check(TEMPLATE, "..", Err(UsernameError::DotSegment.into()));
    check(
        TEMPLATE,
        &"a".repeat(1_024),
        Err(UsernameError::TooLong.into()),
    );
}

#[test]
fn templates_are_checked() {
    use TemplateError as E;
    for (template, error) in [
        ("", E::Scheme),
        ("/contacts/%s", E::Scheme),
        ("app.example.com/%s", E::Scheme),
        ("ftp://app.example.com/%s", E::Scheme),
        ("file:///etc/%s", E::Scheme),
        ("http:///contacts/%s", E::NoHost),
        ("http://:80/%s", E::NoHost),
        ("http://john:secret@app.example.com/%s", E::Userinfo),
        ("http://%s.example.com/", E::PlaceholderInHost),
        ("http://%s", E::PlaceholderInHost),
        ("http://app.example.com:%s/", E::PlaceholderInHost),
        ("http://app.example.com:0/%s", E::Authority),
        ("http://app.example.com:+80/%s", E::Authority),
        ("http://app.example.com:/%s", E::Authority),
        ("http://app.example.com:65536/%s", E::Authority),
        ("http://a:b:80/%s", E::Authority),
        ("http://[::1/%s", E::Authority),
        ("http://[::1]80/%s", E::Authority),
        ("http://[john]/%s", E::Authority),
        ("http://app.example.com/#%s", E::Fragment),
        ("http://app.example.com/contacts", E::NoPlaceholder),
        ("http://app.example.com/%S", E::NoPlaceholder),
        ("http://app.example.com/%%s", E::BrokenEscape),
        ("http://app.example.com/%4%s", E::BrokenEscape),
        ("http://app.example.com/a b/%s", E::IllegalCharacter),
        (
            "http://app.example.com\\@evil.example/%s",
            E::IllegalCharacter,
        ),
        ("http://app.example.com/é/%s", E::IllegalCharacter),
        ("http://app.example.com/\r\n%s", E::IllegalCharacter),
        (" http://app.example.com/%s", E::IllegalCharacter),
    ] {
        check(template, "john", Err(error.into()));
    }
    let long = format!("http://app.example.com/%s/{}", "a".repeat(2_048));
    check(&long, "john", Err(E::TooLong.into()));
}

proptest! {
    #[test]
    fn the_segment_decodes_to_the_username(username in "\\PC{1,40}|[ -~]{1,40}|(?s).{1,40}") {
        prop_assume!(username != "." && username != "..");
        let url = roster_url(TEMPLATE, &username).expect("any other username has a URL");
        let target = url.strip_prefix("http://app.example.com/contacts/").expect("the same place");
        prop_assert!(!target.contains(['/', '?', '#', ';', '\\', '@', ':', ' ']));
        prop_assert!(target.is_ascii());
        prop_assert_eq!(percent_decode_str(target).decode_utf8().expect("UTF-8"), username);
    }

    #[test]
    fn the_query_value_decodes_to_the_username(username in "(?s).{3,40}") {
        let url = roster_url("http://app.example.com/?a=1&user=%s&b=2", &username).expect("a URL");
        let value = url
            .strip_prefix("http://app.example.com/?a=1&user=")
            .and_then(|rest| rest.strip_suffix("&b=2"))
            .expect("the same place");
        prop_assert!(!value.contains(['&', '=', '+', '#', ';']));
        prop_assert_eq!(percent_decode_str(value).decode_utf8().expect("UTF-8"), username);
    }

    #[test]
    fn no_template_panics(template in "(https?://)?(?s).{0,60}", username in "(?s).{0,20}") {
        let _ = roster_url(&template, &username);
    }
}

#[test]
fn the_url_for_many_has_no_username_in_it() {
    let url = |text: &str| RosterUrl::fixed(text).map(|url| url.to_string());
    for (text, expected) in [
        ("http://app.test/contacts", "http://app.test/contacts"),
        (
            "https://app.test:8443/a/b?c=d%20e",
            "https://app.test:8443/a/b?c=d%20e",
        ),
        ("http://app.test", "http://app.test/"),
        ("http://app.test?many", "http://app.test/?many"),
    ] {
        assert_eq!(url(text), Ok(expected.to_owned()), "{text}");
    }
    for (text, expected) in [
        ("http://app.test/contacts/%s", TemplateError::Placeholder),
        ("ftp://app.test/", TemplateError::Scheme),
        ("http://a@app.test/", TemplateError::Userinfo),
        ("http://app.test/#x", TemplateError::Fragment),
        ("http://app.test/a b", TemplateError::IllegalCharacter),
        ("http:///a", TemplateError::NoHost),
        ("http://%s/", TemplateError::PlaceholderInHost),
    ] {
        assert_eq!(url(text), Err(expected), "{text}");
    }
}
