//! What an element says, for assertions and their messages.

use super::ns;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use xmpp_parsers::minidom::Element;

/// Whether this is a roster push.
pub fn is_push(element: &Element) -> bool {
    element.name() == "iq"
        && element.attr("type") == Some("set")
        && element.get_child("query", ns::ROSTER).is_some()
}

/// The condition of a stanza error, with its type: `cancel/service-unavailable`.
///
/// # Panics
/// If the stanza is no error.
pub fn error_of(stanza: &Element) -> String {
    let error = stanza.get_child("error", ns::CLIENT);
    let error = error.unwrap_or_else(|| panic!("expected an error, got {}", show(stanza)));
    assert_eq!(stanza.attr("type"), Some("error"), "{}", show(stanza));
    let condition = error
        .children()
        .find(|child| child.ns() == ns::STANZA_ERRORS && child.name() != "text");
    let condition = condition.unwrap_or_else(|| panic!("no condition in {}", show(stanza)));
    format!("{}/{}", error.attr("type").unwrap_or("?"), condition.name())
}

/// The condition of a SASL failure.
pub fn failure_of(element: &Element) -> String {
    assert_eq!(element.name(), "failure", "{}", show(element));
    let condition = element.children().find(|child| child.name() != "text");
    condition
        .map(|child| child.name().to_owned())
        .unwrap_or_default()
}

/// An element as text, for messages.
pub fn show(element: &Element) -> String {
    String::from(element)
}

/// The text of a SASL element, decoded.
pub fn decode(element: &Element) -> String {
    let bytes = BASE64.decode(element.text()).expect("base64 from the host");
    String::from_utf8(bytes).expect("UTF-8 from the host")
}
