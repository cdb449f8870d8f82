//! The commands of `muster`.
//!
//! Owns the arguments, their help and the exit codes; each command has its file. What a command
//! produces goes to standard output; logs, progress and faults go to standard error, so that the
//! output of one can be the input of another.

mod audit;
mod backend;
mod cert;
mod check_config;
mod compiler;
mod demo;
mod failure;
mod guard;
mod hosts;
mod logging;
mod names;
mod plugin;
mod refresh;
mod remote;
mod serve;
mod serving;
mod signals;
mod signing;
mod table;
mod user;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use failure::{Failure, USAGE};

/// Your app owns the contact lists; Muster makes them XMPP rosters.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 not done or not all of it, 64 wrong arguments or \
    configuration, 65 a password, user name, domain, key or plugin that cannot be used, 69 the \
    server cannot start or be reached, 74 a file cannot be read or written, 75 try again later, \
    77 the token is missing or wrong.\n\nStart with `muster demo`."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGTERM or SIGINT
    ///
    /// The first signal ends the streams in good order, for at most `limits.drain`; a second one
    /// ends the process at once.
    Serve {
        /// The configuration file
        #[arg(long, short, value_name = "FILE", default_value = "muster.toml")]
        config: PathBuf,
    },
    /// Tell everything that is wrong with a configuration file, and where
    CheckConfig {
        /// The configuration file
        #[arg(value_name = "FILE", default_value = "muster.toml")]
        config: PathBuf,
    },
    /// Manage the users of a users_file
    #[command(subcommand)]
    User(user::UserCommand),
    /// Write, test and sign plugins; see and change what serves in a running server
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// See whether the apps are asked, and have them asked again
    #[command(subcommand)]
    Backend(backend::BackendCommand),
    /// See whether removals of contacts are held back because they are so many, and let them through
    #[command(subcommand)]
    Guard(guard::GuardCommand),
    /// Make certificates
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// Fetch the contact lists of users anew, as the app would ask for
    Refresh(refresh::Refresh),
    Audit(audit::Audit),
    /// Run a server and a small app on this machine, ready to log in to
    Demo(demo::Demo),
    /// Print a completion script for a shell
    #[command(after_help = "For bash: source <(muster completions bash)")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the OpenAPI document of the HTTP side
    ///
    /// The same that a running server has at /openapi.json.
    Openapi,
    /// Print the version
    Version,
    /// Compile a plugin from standard input to standard output, for a running server
    #[command(name = compiler::COMMAND, hide = true)]
    CompilePlugin {
        #[arg(hide = true)]
        order: Vec<String>,
    },
}

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. A closed pipe is no reason to complain.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let result = match cli.command {
        Command::CompilePlugin { order } => return compiler::run(&order),
        Command::Serve { config } => serve::run(&config),
        Command::CheckConfig { config } => check_config::run(&config),
        Command::User(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Backend(command) => command.run(),
        Command::Guard(command) => command.run(),
        Command::Cert(command) => command.run(),
        Command::Refresh(refresh) => refresh.run(),
        Command::Audit(audit) => audit.run(),
        Command::Demo(demo) => demo.run(),
        Command::Completions { shell } => {
            completions(shell);
            Ok(())
        }
        Command::Openapi => {
            say(openapi());
            Ok(())
        }
        Command::Version => {
            say(concat!("muster ", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(failure.told());
            ExitCode::from(failure.code())
        }
    }
}

fn completions(shell: Shell) {
    // Into memory first: the generator panics when its output is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "muster", &mut script);
    let _ = std::io::stdout().write_all(&script);
}

fn openapi() -> String {
    let document = crate::http::document();
    // A document of this program's own is always JSON.
    document.to_pretty_json().unwrap_or_default()
}

/// A line of output. Nobody may be reading any more, which is not our affair.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line for the operator.
fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The runtime of a command that serves or asks.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().map_err(Failure::Runtime)
}

#[cfg(test)]
mod tests;
