//! Users who are meant: names from the command line, a file, or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::cli::failure::Failure;

/// A million names are some ten megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// The names in order. `-` among the arguments, and as the file, is standard input.
pub(super) fn read(arguments: &[String], file: Option<&Path>) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "-" => names.extend(listed(&text_of(Path::new("-"))?)),
            name => names.push(name.to_owned()),
        }
    }
    if let Some(path) = file {
        names.extend(listed(&text_of(path)?));
    }
    Ok(names)
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let text = match path == Path::new("-") {
        true => bounded(io::stdin().lock(), MAX_BYTES),
        false => File::open(path).and_then(|file| bounded(file, MAX_BYTES)),
    };
    text.map_err(|source| Failure::ReadNames {
        path: path.to_owned(),
        source,
    })
}

/// All that there is to read. Names that were cut off would not be missed.
fn bounded(source: impl Read, most: u64) -> io::Result<String> {
    let mut text = String::new();
    source
        .take(most.saturating_add(1))
        .read_to_string(&mut text)?;
    match text.len() as u64 > most {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

fn listed(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    let names = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_arguments_and_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names");
        std::fs::write(&path, "# ours\n\n aaron \njuliet\r\n").unwrap();
        let names = read(&["john".to_owned()], Some(&path)).unwrap();
        assert_eq!(names, ["john", "aaron", "juliet"]);
        let missing = read(&[], Some(&directory.path().join("missing")));
        assert_eq!(missing.map_err(|failure| failure.code()), Err(74));
    }

    #[test]
    fn a_list_that_is_too_long_is_not_cut() {
        assert_eq!(bounded("john\n".as_bytes(), 5).unwrap(), "john\n");
        let cut = bounded("john\nmarie\n".as_bytes(), 7).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::FileTooLarge);
    }
}
