//! Users who are meant: names from the command line, a file, or standard input.

use std::io::Read as _;
use std::path::Path;

use crate::cli::failure::Failure;

/// A million names are some ten megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// The names in order. `-` among the arguments, and as the file, is standard input.
pub(super) fn read(arguments: &[String], file: Option<&Path>) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "-" => names.extend(listed(&standard_input()?)),
            name => names.push(name.to_owned()),
        }
    }
    match file {
        Some(path) if path == Path::new("-") => names.extend(listed(&standard_input()?)),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| Failure::ReadNames {
                path: path.to_owned(),
                source,
            })?;
            names.extend(listed(&text));
        }
        None => {}
    }
    Ok(names)
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(MAX_BYTES);
    let read = input.read_to_string(&mut text);
    read.map_err(|source| Failure::ReadNames {
        path: "-".into(),
        source,
    })?;
    Ok(text)
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
}
