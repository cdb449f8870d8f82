//! `[virtual_host.contact_addresses]`: where people reach who runs the server (XEP-0157).

use url::Url;

use super::reader::Section;

/// URIs such as `mailto:abuse@example.test`, by what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactAddresses {
    /// The name of a field of XEP-0157 and its values; sorted by name, none empty.
    pub fields: Vec<(String, Vec<String>)>,
}

/// The keys, sorted; a field of XEP-0157 is one of them with `-addresses`.
const KEYS: [&str; 7] = [
    "abuse", "admin", "feedback", "sales", "security", "status", "support",
];

impl ContactAddresses {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut fields = Vec::new();
        for key in KEYS {
            let uris = section.list::<Url>(key).unwrap_or_default();
            let uris: Vec<_> = uris.into_iter().map(|uri| uri.value.to_string()).collect();
            if !uris.is_empty() {
                fields.push((format!("{key}-addresses"), uris));
            }
        }
        Self { fields }
    }
}
