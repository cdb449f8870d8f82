//! The users file: one account a line, `username:SCRAM-SHA-256$… SCRAM-SHA-1$…`.
//!
//! Owns the lines and the safe replacement of the file; the records are those of
//! [`AccountCredentials`]. Empty lines and lines that begin with `#` do not count and stay as they
//! are. Written by `muster user add`, read with the configuration.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use jid::NodePart;
use muster_xmpp::sasl::{AccountCredentials, CredentialsError};
use zeroize::Zeroizing;

/// What is wrong with one line. Reach: the configuration. It quotes no keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// There is no colon.
    #[error("not of the form username:credentials")]
    Form,
    /// The part before the colon cannot be a local part (RFC 7622 §3.3).
    #[error("the user name cannot be used: {0}")]
    Username(jid::Error),
    /// The part after the colon is not an account's record.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// Why the users file was not changed. Reach: the command.
#[derive(Debug, thiserror::Error)]
pub enum UsersFileError {
    /// The file is there and cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The new file cannot be written beside the old one, or not be put in its place.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// Whether an account is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not in the file.
    Added,
    /// It was, with another password perhaps.
    Replaced,
}

/// An account of the file.
type Account = (NodePart, AccountCredentials);

/// Every account of `text` with the number of its line, or what is wrong with that line.
pub(super) fn parse(text: &str) -> impl Iterator<Item = (usize, Result<Account, LineFault>)> {
    let numbered = text.lines().enumerate();
    numbered
        .filter(|(_, line)| counts(line))
        .map(|(index, line)| (index + 1, account(line)))
}

/// Puts an account into the file at `path`, which is made if there is none. Every other line stays
/// as it is. The new file is complete before it takes the old one's place, and only its owner can
/// read it.
///
/// # Errors
/// The file is as it was before.
pub fn set(
    path: &Path,
    username: &NodePart,
    credentials: &AccountCredentials,
) -> Result<Change, UsersFileError> {
    let read = |source| UsersFileError::Read {
        path: path.to_owned(),
        source,
    };
    let old = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Zeroizing::default(),
        Err(error) => return Err(read(error)),
    };
    let record = Zeroizing::new(format!("{username}:{}\n", *credentials.to_record()));
    let mut new = Zeroizing::new(String::with_capacity(old.len() + record.len() + 1));
    let mut change = Change::Added;
    for line in old.lines() {
        if !is_of(line, username) {
            new.push_str(line);
            new.push('\n');
        } else if change == Change::Added {
            new.push_str(&record);
            change = Change::Replaced;
        }
    }
    if change == Change::Added {
        new.push_str(&record);
    }
    let write = |source| UsersFileError::Write {
        path: path.to_owned(),
        source,
    };
    replace(path, new.as_bytes()).map_err(write)?;
    Ok(change)
}

fn counts(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

fn account(line: &str) -> Result<Account, LineFault> {
    let (username, record) = line.split_once(':').ok_or(LineFault::Form)?;
    let username = NodePart::from_str(username.trim()).map_err(LineFault::Username)?;
    Ok((username, AccountCredentials::from_str(record)?))
}

fn is_of(line: &str, username: &NodePart) -> bool {
    let name = line.split_once(':').map(|(name, _)| name.trim());
    counts(line) && name.is_some_and(|name| NodePart::from_str(name).as_ref() == Ok(username))
}

/// A temporary file (mode 0600) in the same directory, flushed to the disk, then renamed.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use muster_xmpp::sasl::MIN_ITERATIONS;

    use super::*;

    fn credentials(password: &str) -> AccountCredentials {
        AccountCredentials::from_password(password, [[1; 16], [2; 16]], MIN_ITERATIONS).unwrap()
    }

    fn name(text: &str) -> NodePart {
        NodePart::from_str(text).unwrap()
    }

    #[test]
    fn what_is_set_is_read_again_and_the_rest_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        assert_eq!(
            set(&path, &name("john"), &credentials("one")).unwrap(),
            Change::Added
        );
        let commented = format!("# staff\n\n{}", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, commented).unwrap();
        assert_eq!(
            set(&path, &name("marie"), &credentials("two")).unwrap(),
            Change::Added
        );
        assert_eq!(
            set(&path, &name("JOHN"), &credentials("three")).unwrap(),
            Change::Replaced
        );

        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# staff\n\njohn:SCRAM-SHA-256$"), "{text}");
        let accounts: Vec<_> = parse(&text)
            .map(|(line, account)| (line, account.unwrap()))
            .collect();
        let (line, (john, keys)) = &accounts[0];
        assert_eq!((*line, john.as_str()), (3, "john"));
        assert!(keys.verify_plain("three") && !keys.verify_plain("one"));
        let (line, (marie, keys)) = &accounts[1];
        assert_eq!((*line, marie.as_str()), (4, "marie"));
        assert!(keys.verify_plain("two"));
        assert_eq!(accounts.len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        set(&path, &name("john"), &credentials("one")).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let faults: Vec<_> = parse("# ok\njohn\na b:x\nmarie:x")
            .map(|(line, account)| (line, account.unwrap_err()))
            .collect();
        assert_eq!(faults[0], (2, LineFault::Form));
        assert!(matches!(faults[1], (3, LineFault::Username(_))));
        assert_eq!(
            faults[2],
            (4, LineFault::Credentials(CredentialsError::Form))
        );
    }
}
