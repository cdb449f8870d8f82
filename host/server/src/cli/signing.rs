//! `muster plugin keygen` and `muster plugin sign`: who answers for a plugin.
//!
//! Owns the files; the keys and signatures are `muster-plugin`'s. A key is never overwritten: what
//! it has signed could not be signed again.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use muster_plugin::{Candidate, Limits, SecretKey, signature_path};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::say;

/// Make a key that signs plugins
///
/// Writes the secret key to a file that only you can read, and prints the public key as the line
/// that a configuration needs. Keep the secret key where plugins are built, not where they run.
#[derive(Debug, Args)]
pub(super) struct Keygen {
    /// Where to put the secret key; the file must not be there yet
    #[arg(long, value_name = "FILE", default_value = "plugin.key")]
    out: PathBuf,
}

/// Sign a plugin file
///
/// Writes the signature beside the plugin, where a server with trusted_keys looks for it. Sign
/// before you put the plugin in its place.
#[derive(Debug, Args)]
pub(super) struct Sign {
    /// A WebAssembly component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The secret key, a file made by `muster plugin keygen`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to put the signature [default: FILE.sig]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Keygen {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let key = SecretKey::generate()?;
        let public = key.public()?;
        let failed = write_failed(&self.out);
        let mut file = create_new(&self.out).map_err(&failed)?;
        file.write_all(key.to_file().as_bytes()).map_err(&failed)?;
        file.sync_all().map_err(&failed)?;
        say(format_args!("trusted_keys = [\"{public}\"]"));
        Ok(())
    }
}

impl Sign {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let text = std::fs::read_to_string(&self.key).map_err(|source| Failure::ReadKey {
            path: self.key.clone(),
            source,
        })?;
        let key = SecretKey::from_file(&Zeroizing::new(text)).map_err(|source| Failure::Key {
            path: self.key.clone(),
            source,
        })?;
        let digest = Candidate::read(&self.file, Limits::default().component_bytes)?.digest();
        let signature = key.sign(digest)?;
        let out = self.out.clone();
        let out = out.unwrap_or_else(|| signature_path(&self.file));
        replace(&out, &format!("{signature}\n")).map_err(write_failed(&out))?;
        say(format_args!("{}: signature of {digest}", out.display()));
        Ok(())
    }
}

fn write_failed(path: &Path) -> impl Fn(std::io::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |source| Failure::WriteFile {
        path: path.clone(),
        source,
    }
}

/// A file for its owner only, which must not be there yet.
fn create_new(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Puts a whole file in the place of another, so that nobody reads half of it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = Path::new(&part);
    let written = std::fs::write(part, text).and_then(|()| std::fs::rename(part, path));
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(part);
    })
}
