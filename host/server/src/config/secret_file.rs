//! Files beside the configuration that hold secrets: tokens, users, keys.
//!
//! Owns finding, reading and the word about their permissions; knows no format.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::fault::{Place, Problem};
use super::reader::{Located, Section};

/// The text of the file that `key` names, its path and the place of `key`; `None` if there is no
/// such key or the file cannot be read, which is noted.
pub(super) fn read(
    section: &mut Section<'_>,
    key: &'static str,
) -> Option<(Zeroizing<String>, PathBuf, Place)> {
    let Located { value, place } = section.located::<PathBuf>(key)?;
    let path = section.resolve(&value);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => {
            let reason = error.to_string();
            section.error(&place, Problem::Unreadable { path, reason });
            return None;
        }
    };
    check_permissions(section, &path, &place);
    Some((text, path, place))
}

/// Notes it if everybody can read the file.
pub(super) fn check_permissions(section: &Section<'_>, path: &Path, place: &Place) {
    if let Some(mode) = readable_by_all(path) {
        let path = path.to_owned();
        section.warn(place, Problem::ReadableByAll { path, mode });
    }
}

/// The permission bits if others than the owner and the group may read the file.
#[cfg(unix)]
fn readable_by_all(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o004 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn readable_by_all(_: &Path) -> Option<u32> {
    None
}
