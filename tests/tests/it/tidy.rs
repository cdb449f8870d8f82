//! What the repository's own rules say about its text, as far as a program can
//! tell. CONTRIBUTING.md has the rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold nothing of ours.
const NOT_OURS: [&str; 4] = ["target", ".git", "node_modules", ".venv"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the repository")
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below the root whose name ends so, relative to it.
pub(crate) fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !NOT_OURS.contains(&&*name) {
                    directories.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root()).expect("below the root").into());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {endings:?}");
    found
}

/// The names of all functions.
pub(crate) fn functions() -> BTreeSet<String> {
    let sources = files(&[".rs"]).into_iter().map(read);
    let names = sources.flat_map(|text| {
        let names = text.lines().filter_map(|line| {
            let line = line.trim_start().trim_start_matches("async ");
            let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
            Some(name.to_owned())
        });
        names.collect::<Vec<_>>()
    });
    names.collect()
}

#[track_caller]
pub(crate) fn none(what: &str, offenders: impl IntoIterator<Item = String>) {
    let offenders: Vec<_> = offenders.into_iter().collect();
    assert!(offenders.is_empty(), "{what}:\n{}", offenders.join("\n"));
}

#[test]
fn every_source_file_says_what_it_owns() {
    let silent = files(&[".rs"]).into_iter().filter(|path| {
        let text = read(path);
        !text
            .lines()
            .next()
            .is_some_and(|line| line.starts_with("//! "))
    });
    none(
        "files that do not start with `//!`",
        silent.map(|path| path.display().to_string()),
    );
}

/// Where unsafe code is allowed, and why.
const MAY_BE_UNSAFE: [(&str, &str); 10] = [
    (
        "guest/component/src/lib.rs",
        "generated bindings, in one module",
    ),
    (
        "guest/spin/src/lib.rs",
        "a generated entry point, in one module",
    ),
    ("host/plugin/bindings/src/lib.rs", "generated bindings"),
    (
        "host/plugin/artifact/src/lib.rs",
        "machine code of our own compiler, in one function",
    ),
    ("tests/handlers/v0_2/src/lib.rs", "generated bindings"),
    ("tests/handlers/v0_3/src/lib.rs", "generated bindings"),
    (
        "examples/plugins/rust/src/lib.rs",
        "generated bindings, in one module",
    ),
    (
        "examples/plugins/rust-graphql/src/lib.rs",
        "generated bindings, in one module",
    ),
    ("tests/hostile/src/lib.rs", "generated bindings"),
    ("tests/prying/src/lib.rs", "generated bindings"),
];

#[test]
fn crates_forbid_unsafe_code_unless_there_is_a_reason() {
    let roots = files(&["Cargo.toml"]).into_iter().flat_map(|manifest| {
        let package = manifest.parent().expect("a package").to_owned();
        ["src/lib.rs", "src/main.rs", "build.rs"].map(|file| package.join(file))
    });
    let roots = roots.filter(|path| root().join(path).exists());
    let excused = |path: &Path| {
        MAY_BE_UNSAFE
            .iter()
            .any(|(file, _)| Path::new(file) == path)
    };
    let lax =
        roots.filter(|path| !excused(path) && !read(path).contains("#![forbid(unsafe_code)]"));
    none(
        "crate roots without #![forbid(unsafe_code)]",
        lax.map(|path| path.display().to_string()),
    );
    for (file, _) in MAY_BE_UNSAFE {
        assert!(root().join(file).exists(), "{file} is excused and gone");
    }
}

/// A panic ends one task (row 75); with `panic = "abort"` it would end all. The
/// sandbox bounds what a guest's panic ends.
#[test]
fn builds_of_the_host_unwind() {
    let manifest = read("Cargo.toml");
    let mut section = "";
    let aborting = manifest.lines().filter_map(|line| {
        if line.starts_with('[') {
            section = line;
        }
        let aborts = line.starts_with("panic") && line.contains("abort");
        (aborts && section != "[profile.guest]").then(|| section.to_owned())
    });
    none("profiles that abort", aborting);
}

/// Who answers for machine code that this process has not compiled itself:
/// the pipe from our own compiler, and the cache.
#[test]
fn machine_code_comes_from_two_places() {
    let vouching = files(&[".rs"]).into_iter().filter(|path| {
        // In pieces, so that this file is no offender.
        let call = ["Artifact::", "vouched("].concat();
        path.starts_with("host") && !path.ends_with("tests.rs") && read(path).contains(&call)
    });
    let vouching: Vec<_> = vouching.map(|path| path.display().to_string()).collect();
    assert_eq!(
        vouching,
        [
            "host/plugin/artifact/src/lib.rs",
            "host/plugin/src/compile/cache.rs",
            "host/plugin/src/compile/child.rs",
        ]
    );
}

#[test]
fn crates_follow_the_lints_of_the_workspace() {
    // What is generated documents nothing; the plugins of the tests do what lints forbid.
    let excused = [
        "Cargo.toml",
        // For people with a workspace of their own.
        "examples/plugins/rust/Cargo.toml",
        "examples/plugins/rust-graphql/Cargo.toml",
        // A workspace of its own, with the same lints.
        "guest/spin/Cargo.toml",
        "host/plugin/bindings/Cargo.toml",
        "tests/handlers/v0_2/Cargo.toml",
        "tests/handlers/v0_3/Cargo.toml",
        "tests/hostile/Cargo.toml",
        "tests/prying/Cargo.toml",
    ];
    let lax = files(&["Cargo.toml"]).into_iter().filter(|path| {
        !excused.iter().any(|excused| Path::new(excused) == path)
            && !read(path).contains("[lints]\nworkspace = true")
    });
    none(
        "manifests without the workspace's lints",
        lax.map(|path| path.display().to_string()),
    );
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    // In pieces, so that this file is no offender.
    let paths = [
        ["/ho", "me/"].concat(),
        ["/Us", "ers/"].concat(),
        ["/wo", "rk/"].concat(),
    ];
    let endings = [
        ".rs", ".toml", ".md", ".wit", ".py", ".html", "run", "Justfile",
    ];
    let offenders = files(&endings).into_iter().flat_map(|file| {
        let text = read(&file);
        let told = |(number, line): (usize, &str)| {
            let named = paths.iter().any(|path| line.contains(path.as_str()));
            named.then(|| format!("{}:{}: {line}", file.display(), number + 1))
        };
        text.lines()
            .enumerate()
            .filter_map(told)
            .collect::<Vec<_>>()
    });
    none("paths of a machine", offenders);
}

#[test]
fn ci_runs_what_the_readme_tells_to_run() {
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    let commands = readme
        .lines()
        .filter(|line| line.starts_with("rustup target add"))
        .flat_map(|line| line.split(" && "));
    let commands: Vec<_> = commands.collect();
    assert!(
        commands.len() >= 4,
        "two lines of two commands: {commands:?}"
    );
    // At the beginning of a line, so that a comment does not count.
    let run = |command: &str| {
        ci.lines().any(|line| {
            let rest = line.trim_start().strip_prefix(command);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\n']))
        })
    };
    let missing = commands.into_iter().filter(|command| !run(command));
    none(
        "commands of README.md that .ci/run does not run",
        missing.map(str::to_owned),
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let offenders = files(&[".md"]).into_iter().flat_map(|file| {
        let text = read(&file);
        let folder = file.parent().expect("a folder").to_owned();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        let broken = local.filter(|target| {
            let path = target.split('#').next().unwrap_or_default();
            !root().join(&folder).join(path).exists()
        });
        let told = broken.map(|target| format!("{}: {target}", file.display()));
        told.collect::<Vec<_>>()
    });
    none("broken links", offenders);
}

#[test]
fn decisions_are_numbered_without_a_gap() {
    let notes = files(&[".md"])
        .into_iter()
        .filter(|path| path.starts_with("docs/decisions"));
    for (index, note) in notes.enumerate() {
        let number = format!("{:04}", index + 1);
        let name = note.file_name().unwrap_or_default().to_string_lossy();
        assert!(name.starts_with(&number), "{name} should be {number}");
        assert!(
            read(&note).starts_with(&format!("# {number}: ")),
            "{name}: its title"
        );
    }
}

/// What is timed has to go on when somebody sets the clock (row 74): whatever
/// waits, paces or ends connections knows only how much time has passed.
#[test]
fn connections_are_not_timed_by_the_wall_clock() {
    let timed = [
        "host/xmpp/src/",
        "host/plugin/src/",
        "host/server/src/admission",
        "host/server/src/attempts",
        "host/server/src/clients",
        "host/server/src/connection/",
        "host/server/src/limit",
        "host/server/src/mailbox",
        "host/server/src/resumption",
        "host/server/src/rosters/",
        "host/server/src/sessions",
        "host/server/src/tls/handshake",
        "host/server/src/transport/",
    ];
    // In pieces, so that this file is no offender.
    let clock = ["SystemTime", "::now()"].concat();
    let offenders = files(&[".rs"]).into_iter().filter(|file| {
        let name = file.display().to_string();
        timed.iter().any(|start| name.starts_with(start)) && read(file).contains(&clock)
    });
    none(
        "files that time connections and read the wall clock",
        offenders.map(|path| path.display().to_string()),
    );
}
