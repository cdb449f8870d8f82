//! Which certificate is chosen, and that one choice stays whole.

use super::*;
use crate::tls::testing::pair;

fn entry(domain: &str, name: &str) -> Entry {
    let directory = tempfile::tempdir().unwrap();
    let files = pair(name, 30).write(directory.path());
    let certificate = Arc::new(files.load().unwrap());
    Entry::new(
        DomainPart::new(domain).unwrap().into_owned(),
        files,
        certificate,
    )
    .unwrap()
}

#[test]
fn the_name_decides_then_the_stream_then_the_certificate_then_the_order() {
    let certificates = Certificates::new([
        entry("first.test", "first.test"),
        entry("bücher.test", "xn--bcher-kva.test"),
        entry("wild.test", "*.wild.test"),
    ])
    .unwrap();
    let domain = |name: &str| DomainPart::new(name).unwrap().into_owned();
    let chosen = |name: Option<&str>, stream: Option<&str>| {
        let stream = stream.map(domain);
        let context = certificates.choose(name, stream.as_deref());
        let found = certificates
            .iter()
            .find(|entry| Arc::ptr_eq(&entry.current(), &context));
        found.unwrap().domain.to_string()
    };
    for (name, stream, expected) in [
        (Some("first.test"), None, "first.test"),
        (
            Some("XN--bcher-kva.test"),
            Some("first.test"),
            "bücher.test",
        ),
        (Some("chat.wild.test"), None, "wild.test"),
        (Some("chat.wild.test"), Some("bücher.test"), "bücher.test"),
        (None, Some("wild.test"), "wild.test"),
        (Some("other.test"), None, "first.test"),
        (None, None, "first.test"),
    ] {
        assert_eq!(chosen(name, stream), expected, "{name:?} {stream:?}");
    }
}

#[test]
fn whoever_has_chosen_keeps_what_was_chosen() {
    let entry = entry("example.test", "example.test");
    let before = entry.current();
    let directory = tempfile::tempdir().unwrap();
    let newer = pair("example.test", 60).write(directory.path()).load();
    entry.replace(Arc::new(newer.unwrap())).unwrap();
    let after = entry.current();
    assert_ne!(before.certificate.end_point, after.certificate.end_point);
    assert_ne!(before.certificate.not_after, after.certificate.not_after);
}

#[test]
fn without_an_entry_there_are_no_certificates() {
    assert!(Certificates::new([]).is_none());
}
