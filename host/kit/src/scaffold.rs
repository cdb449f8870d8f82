//! New plugins: a directory that builds, and that passes its test at once.
//!
//! Owns the templates, which are the examples of `examples/plugins` as they
//! are, and that nothing of an author's is overwritten.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// The typed contract, by `wit-bindgen`.
    Rust,
    /// A handler of `wasi:http` 0.2, by `componentize-js`.
    JavaScript,
    /// A handler of `wasi:http` 0.3, by `componentize-py`.
    Python,
}

/// Why no plugin was begun. Reach: the command.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// There is something already.
    #[error("{} exists already and is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A file or a directory cannot be made.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A file of a template.
struct Piece {
    path: &'static str,
    text: &'static str,
}

/// The file of that path in the repository, under that path in the template.
macro_rules! pieces {
    ($($path:literal from $source:literal,)*) => {
        &[$(Piece {
            path: $path,
            text: include_str!(concat!("../../../", $source)),
        },)*]
    };
}

const RUST: &[Piece] = pieces![
    ".gitignore" from "examples/plugins/rust/.gitignore",
    "Cargo.lock" from "examples/plugins/rust/Cargo.lock",
    "Cargo.toml" from "examples/plugins/rust/Cargo.toml",
    "README.md" from "examples/plugins/rust/README.md",
    "build" from "examples/plugins/rust/build",
    "src/http.rs" from "examples/plugins/rust/src/http.rs",
    "src/lib.rs" from "examples/plugins/rust/src/lib.rs",
    "src/url.rs" from "examples/plugins/rust/src/url.rs",
    "tests.toml" from "examples/plugins/rust/tests.toml",
    "wit/roster.wit" from "wit/roster.wit",
];

const JAVASCRIPT: &[Piece] = pieces![
    ".gitignore" from "examples/plugins/javascript/.gitignore",
    ".npmrc" from "examples/plugins/javascript/.npmrc",
    "README.md" from "examples/plugins/javascript/README.md",
    "build" from "examples/plugins/javascript/build",
    "package-lock.json" from "examples/plugins/javascript/package-lock.json",
    "package.json" from "examples/plugins/javascript/package.json",
    "plugin.js" from "examples/plugins/javascript/plugin.js",
    "tests.toml" from "examples/plugins/javascript/tests.toml",
    "wit/deps/clocks.wit" from "examples/plugins/javascript/wit/deps/clocks.wit",
    "wit/deps/config/store.wit" from "wit/deps/config/store.wit",
    "wit/deps/config/world.wit" from "wit/deps/config/world.wit",
    "wit/deps/http.wit" from "examples/plugins/javascript/wit/deps/http.wit",
    "wit/deps/io.wit" from "examples/plugins/javascript/wit/deps/io.wit",
    "wit/plugin.wit" from "examples/plugins/javascript/wit/plugin.wit",
];

const PYTHON: &[Piece] = pieces![
    ".gitignore" from "examples/plugins/python/.gitignore",
    "README.md" from "examples/plugins/python/README.md",
    "build" from "examples/plugins/python/build",
    "plugin.py" from "examples/plugins/python/plugin.py",
    "requirements.txt" from "examples/plugins/python/requirements.txt",
    "tests.toml" from "examples/plugins/python/tests.toml",
    "wasi_http.py" from "examples/plugins/python/wasi_http.py",
    "wit/plugin.wit" from "examples/plugins/python/wit/plugin.wit",
];

/// WASI 0.3, for the templates that speak it.
const WASI: &[Piece] = pieces![
    "wit/deps/cli.wit" from "wit/deps/cli.wit",
    "wit/deps/clocks.wit" from "wit/deps/clocks.wit",
    "wit/deps/config/store.wit" from "wit/deps/config/store.wit",
    "wit/deps/config/world.wit" from "wit/deps/config/world.wit",
    "wit/deps/filesystem.wit" from "wit/deps/filesystem.wit",
    "wit/deps/http.wit" from "wit/deps/http.wit",
    "wit/deps/random.wit" from "wit/deps/random.wit",
    "wit/deps/sockets.wit" from "wit/deps/sockets.wit",
];

/// What is run, and so is made executable.
const PROGRAM: &str = "build";

/// Writes the template into `directory`, which is made if it is not there.
/// Blocks.
///
/// # Errors
/// [`ScaffoldError`]; of a directory that has something in it nothing changes.
pub fn create(language: Language, directory: &Path) -> Result<(), ScaffoldError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| ScaffoldError::Write { path, source }
    };
    fs::create_dir_all(directory).map_err(fault(directory))?;
    let mut entries = fs::read_dir(directory).map_err(fault(directory))?;
    if entries.next().is_some() {
        return Err(ScaffoldError::NotEmpty(directory.to_owned()));
    }
    for Piece { path, text } in pieces_of(language) {
        let target = directory.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(fault(parent))?;
        }
        fs::write(&target, text).map_err(fault(&target))?;
        if *path == PROGRAM {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&target, mode).map_err(fault(&target))?;
        }
    }
    Ok(())
}

fn pieces_of(language: Language) -> impl Iterator<Item = &'static Piece> {
    let (own, wasi) = match language {
        Language::Rust => (RUST, WASI),
        Language::JavaScript => (JAVASCRIPT, &[][..]),
        Language::Python => (PYTHON, WASI),
    };
    own.iter().chain(wasi)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Language, &str); 3] = [
        (Language::Rust, "rust"),
        (Language::JavaScript, "javascript"),
        (Language::Python, "python"),
    ];

    /// Every file below, links followed.
    fn files(directory: &Path, below: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory.join(below)).unwrap() {
            let path = below.join(entry.unwrap().file_name());
            match directory.join(&path).is_dir() {
                true => files(directory, &path, found),
                false => found.push(path.to_str().unwrap().to_owned()),
            }
        }
    }

    /// What building leaves behind is no part of an example.
    fn is_made(path: &str) -> bool {
        let made = ["target/", "node_modules/", ".venv/", "__pycache__/"];
        path.ends_with(".wasm") || made.iter().any(|it| path.starts_with(it))
    }

    #[test]
    fn a_template_is_its_example_as_it_is() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins");
        for (language, name) in ALL {
            let directory = tempfile::tempdir().unwrap();
            let made = directory.path().join("deep/plugin");
            create(language, &made).unwrap();
            let (mut in_template, mut in_example) = (Vec::new(), Vec::new());
            files(&made, Path::new(""), &mut in_template);
            files(&examples.join(name), Path::new(""), &mut in_example);
            in_example.retain(|path| !is_made(path));
            in_template.sort();
            in_example.sort();
            assert_eq!(in_template, in_example, "{name}");
            for path in in_template {
                let same = fs::read(made.join(&path)).unwrap()
                    == fs::read(examples.join(name).join(&path)).unwrap();
                assert!(same, "{name}/{path}");
            }
            let mode = fs::metadata(made.join("build"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o111, 0o111);
        }
    }

    #[test]
    fn nothing_of_an_author_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("Cargo.toml"), "mine").unwrap();
        let refused = create(Language::Rust, directory.path());
        assert!(matches!(refused, Err(ScaffoldError::NotEmpty(_))));
        let kept = fs::read_to_string(directory.path().join("Cargo.toml")).unwrap();
        assert_eq!(kept, "mine");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
