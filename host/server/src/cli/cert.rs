//! `muster cert`: certificates for development.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::SystemTime;

use clap::Subcommand;
use jid::DomainPart;

use super::failure::Failure;
use super::say;
use crate::tls::self_signed;

#[derive(Debug, Subcommand)]
pub(super) enum CertCommand {
    /// Make a self-signed certificate, for development
    ///
    /// Writes DOMAIN.crt and DOMAIN.key, which are good for a year, and prints what the
    /// configuration needs to use them. No client trusts the certificate unless it is told to. A
    /// server for others needs one of an authority, such as Let's Encrypt.
    SelfSigned {
        /// The XMPP domain
        domain: String,
        /// Where to put the files
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
}

impl CertCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::SelfSigned { domain, out } = self;
        let domain = match DomainPart::from_str(&domain) {
            Ok(domain) => domain,
            Err(reason) => return Err(Failure::Domain { domain, reason }),
        };
        let pair = self_signed(&domain, SystemTime::now())?;
        // An IPv6 address is no good name for a file.
        let name = domain.replace(['[', ']', ':'], "_");
        let certificate = out.join(format!("{name}.crt"));
        let key = out.join(format!("{name}.key"));
        write(&key, &pair.key, 0o600)?;
        write(&certificate, &pair.certificate, 0o644).inspect_err(|_| {
            // A key without its certificate would only be in the way.
            let _ = std::fs::remove_file(&key);
        })?;
        // `{:?}` of a path in UTF-8 is a TOML string as well.
        say(format_args!(
            "[virtual_host.tls]\ncertificate = {:?}\nkey = {:?}",
            absolute(&certificate),
            absolute(&key)
        ));
        Ok(())
    }
}

/// Makes the file, which must not be there yet.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let failed = |source| Failure::WriteFile {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// So that the lines can be pasted into a file anywhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
