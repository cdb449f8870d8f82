//! `muster user`: the accounts of a users file.

use std::io::{BufRead as _, stdin};
use std::path::PathBuf;
use std::str::FromStr as _;

use clap::Subcommand;
use jid::NodePart;
use muster_xmpp::sasl::{AccountCredentials, DEFAULT_ITERATIONS, SALT_BYTES};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::say;
use crate::config::users_file::{self, Change};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user to a users_file, or change the password of one
    ///
    /// The file keeps salted SCRAM keys, not the password, and only its owner can read it. A
    /// running server reads it when it starts again.
    Add {
        /// The user name: the part of the JID before the @
        name: String,
        /// The file that `users_file` in the configuration names; made if there is none
        #[arg(long, value_name = "FILE")]
        users_file: PathBuf,
        /// Take the password from the first line of standard input
        ///
        /// Without it the password is asked for on the terminal, twice and without echo.
        #[arg(long)]
        password_stdin: bool,
    },
}

impl UserCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Add {
            name,
            users_file,
            password_stdin,
        } = self;
        let username = match NodePart::from_str(&name) {
            Ok(username) => username,
            Err(reason) => return Err(Failure::Username { name, reason }),
        };
        let source = if password_stdin {
            from_stdin
        } else {
            from_terminal
        };
        let password = source()?;
        let mut salts = [[0; SALT_BYTES]; 2];
        getrandom::fill(salts.as_flattened_mut()).map_err(Failure::Entropy)?;
        let credentials = AccountCredentials::from_password(&password, salts, DEFAULT_ITERATIONS)?;
        let done = match users_file::set(&users_file, &username, &credentials)? {
            Change::Added => "added",
            Change::Replaced => "changed",
        };
        say(format_args!(
            "{done} {username} in {}",
            users_file.display()
        ));
        Ok(())
    }
}

fn from_stdin() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    stdin()
        .lock()
        .read_line(&mut line)
        .map_err(Failure::ReadPassword)?;
    let password = line.trim_end_matches(['\r', '\n']);
    Ok(Zeroizing::new(password.to_owned()))
}

fn from_terminal() -> Result<Zeroizing<String>, Failure> {
    let ask = |prompt: &str| {
        let answer = rpassword::prompt_password(prompt).map(Zeroizing::new);
        answer.map_err(Failure::ReadPassword)
    };
    let password = ask("Password: ")?;
    if ask("Again: ")? == password {
        Ok(password)
    } else {
        Err(Failure::PasswordsDiffer)
    }
}
