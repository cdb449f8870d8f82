//! JIDs as peers write them.
//!
//! Owns the one step that comes before preparation: a domain may end in the
//! root dot, which is no part of it (RFC 7622 §3.2.1) and which the parser of
//! JIDs would keep. From the wire to the types.

use std::borrow::Cow;

use jid::Jid;

/// The JID that `text` means.
///
/// # Errors
///
/// Whatever is no JID.
pub(crate) fn parse(text: &str) -> Result<Jid, jid::Error> {
    Jid::new(&without_root_dot(text))
}

fn without_root_dot(text: &str) -> Cow<'_, str> {
    let (account, resource) = match text.split_once('/') {
        Some((account, resource)) => (account, Some(resource)),
        None => (text, None),
    };
    match (account.strip_suffix('.'), resource) {
        (None, _) => Cow::Borrowed(text),
        (Some(account), None) => Cow::Borrowed(account),
        (Some(account), Some(resource)) => Cow::Owned(format!("{account}/{resource}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_dot_is_no_part_of_the_domain() {
        for (text, meant) in [
            ("john@example.test.", "john@example.test"),
            ("john@example.test./phone", "john@example.test/phone"),
            ("example.test.", "example.test"),
            ("john@example.test/phone.", "john@example.test/phone."),
            ("john@example.test/a./b", "john@example.test/a./b"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), meant, "{text}");
        }
        assert!(parse(".").is_err());
        assert!(parse("john@.").is_err());
    }
}
