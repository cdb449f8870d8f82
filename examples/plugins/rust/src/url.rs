//! What a plugin has to do to URLs.

/// A path of the app at whose `url` it was named; a whole URL stays as it is.
pub fn resolve(url: &str, path: &str) -> String {
    match (path.starts_with('/'), url.match_indices('/').nth(2)) {
        (true, Some((end, _))) => format!("{}{path}", &url[..end]),
        _ => path.to_owned(),
    }
}

/// A username as one segment of a path (RFC 3986, section 3.3).
pub fn segment(username: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    username.bytes().map(byte).collect()
}
