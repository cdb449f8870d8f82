//! `muster demo`: a server and a small app in one process, on loopback.
//!
//! The server gets a configuration text like any other; the app is the crate `muster-demo`. They
//! know each other by URLs only.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use clap::Args;
use muster_demo::{ACCOUNTS, App, Options};
use secrecy::{ExposeSecret as _, SecretString};

use super::failure::Failure;
use super::serve::drain;
use super::signals::Signals;
use super::{compiler, complain, logging, runtime, say};
use crate::Server;
use crate::config::{Config, LoadError, Log, LogFormat};

const XMPP_PORT: u16 = 5222;
const HTTP_PORT: u16 = 5280;
const APP_PORT: u16 = 8080;

#[derive(Debug, Args)]
#[command(after_help = "Without an address, a free port is taken when the usual one is not free.")]
pub(super) struct Demo {
    /// Where clients connect [usually 127.0.0.1:5222]
    #[arg(long, value_name = "ADDR")]
    xmpp: Option<SocketAddr>,
    /// Where the app reaches the server [usually 127.0.0.1:5280]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where the app listens [usually 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    app: Option<SocketAddr>,
    /// The XMPP domain; most clients find the server of localhost by themselves
    #[arg(long, default_value = "localhost")]
    domain: String,
    /// Keep the contact lists in this SQLite file instead of in memory
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// What to log: a level or a filter
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
}

/// What the demo has settled on.
struct Scene {
    xmpp: SocketAddr,
    http: SocketAddr,
    app: SocketAddr,
    domain: String,
    token: SecretString,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        logging::init(
            &Log {
                format: LogFormat::Text,
                level: self.log.clone(),
            },
            None,
        );
        let runtime = runtime()?;
        let result = runtime.block_on(self.play());
        runtime.shutdown_background();
        result
    }

    async fn play(self) -> Result<(), Failure> {
        let mut signals = Signals::new()?;
        let mut scene = Scene {
            xmpp: address(self.xmpp, XMPP_PORT, "XMPP")?,
            http: address(self.http, HTTP_PORT, "HTTP")?,
            app: address(self.app, APP_PORT, "the app")?,
            domain: self.domain,
            token: token()?,
        };
        let app = App::start(Options {
            listen: scene.app,
            refresh_url: format!("http://{}/roster_admin/refresh", scene.http),
            token: scene.token.clone(),
            domain: scene.domain.clone(),
            database: self.database,
        });
        let app = app.await?;
        scene.app = app.address();

        // Gone with the demo, as the lists are unless they have a database.
        let storage = tempfile::tempdir().map_err(Failure::NoDirectory)?;
        let text = scene.configuration();
        let origin = storage.path().join("demo");
        let config = Config::parse(&text, &origin).map_err(LoadError::from)?;
        let server = Server::start_with(config, compiler::child()).await?;
        scene.xmpp = server
            .xmpp_addresses()
            .first()
            .copied()
            .unwrap_or(scene.xmpp);
        say(scene.told());

        signals.next().await;
        complain("stopping");
        drain(server, &mut signals).await;
        app.shutdown().await;
        Ok(())
    }
}

/// The address that was asked for, or the usual one, or, if that is taken, one with a free port.
fn address(asked: Option<SocketAddr>, usual_port: u16, what: &str) -> Result<SocketAddr, Failure> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, usual_port));
    let wanted = asked.unwrap_or(usual);
    // Bound only to see whether it is free, and which port 0 stands for.
    let probe = TcpListener::bind(wanted).and_then(|listener| listener.local_addr());
    match probe {
        Ok(address) => Ok(address),
        // It was asked for: whoever listens on it says why it cannot be had.
        Err(_) if asked.is_some() => Ok(wanted),
        Err(_) => {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let free = free
                .and_then(|listener| listener.local_addr())
                .map_err(Failure::NoPort)?;
            complain(format_args!(
                "{usual} is taken; {what} is at {free} instead"
            ));
            Ok(free)
        }
    }
}

/// 32 random bytes in hexadecimal.
fn token() -> Result<SecretString, Failure> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(Failure::Entropy)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(hex.into())
}

impl Scene {
    /// What an operator would write for this app. The users are listed, instead of asked for with
    /// `kind = "http"`, so that clients that refuse PLAIN without TLS can use SCRAM.
    fn configuration(&self) -> String {
        let users =
            ACCOUNTS.map(|account| format!("{} = \"{}\"", account.username, account.password));
        let Self {
            xmpp,
            http,
            app,
            domain,
            token,
        } = self;
        // `{:?}` of text from the command line is a TOML string as well, for all that can be a
        // domain; anything else becomes a fault.
        format!(
            "[xmpp]\nlisten = [\"{xmpp}\"]\nrequire_tls = false\n\
             [http]\nlisten = [\"{http}\"]\n\
             [admin]\ntokens = [\"{token}\"]\n\
             [[virtual_host]]\ndomain = {domain:?}\n\
             auth = {{ kind = \"static\", users = {{ {users} }} }}\n\
             roster.http_roster_url = \"http://{app}/contacts/%s\"\n",
            token = token.expose_secret(),
            users = users.join(", "),
        )
    }

    /// What the person at the terminal reads.
    fn told(&self) -> String {
        let Self {
            xmpp,
            http,
            app,
            domain,
            token,
        } = self;
        let (host, port, token) = (xmpp.ip(), xmpp.port(), token.expose_secret());
        let mut told = format!(
            "Muster is running, with a demo app that owns the contact lists.\n\n  \
             XMPP  {xmpp}  (domain {domain}, no TLS: loopback only)\n  \
             HTTP  http://{http}\n  \
             App   http://{app}/  (open it in a browser to change the lists)\n\n\
             Accounts:\n"
        );
        for account in ACCOUNTS {
            let jid = format!("{}@{domain}", account.username);
            // Writing to a string cannot fail.
            let _ = writeln!(told, "  {jid:<24}  password {}", account.password);
        }
        let _ = write!(
            told,
            "\nLog in, for example as john:\n  \
             profanity  /connect john@{domain} server {host} port {port} tls disable\n  \
             Gajim      Add account, then Advanced: host {host}, port {port}, type Plain\n  \
             slixmpp    plain = {{\"feature_mechanisms\": {{\"unencrypted_scram\": True}}}}\n             \
             client = slixmpp.ClientXMPP(\"john@{domain}\", \"john-secret\", plugin_config=plain)\n             \
             client.enable_starttls = client.enable_direct_tls = False\n             \
             client.enable_plaintext = True\n             \
             client.connect(\"{host}\", {port})\n\n\
             Change the lists and see the clients follow:\n  \
             curl -H 'Content-Type: application/json' -d '{{\"user\":\"john\",\"contact\":\"aaron\",\"group\":\"Work\"}}' http://{app}/befriend\n  \
             curl -H 'Content-Type: application/json' -d '{{\"user\":\"john\",\"contact\":\"aaron\",\"name\":\"Aaron B.\"}}' http://{app}/rename\n  \
             curl -H 'Content-Type: application/json' -d '{{\"user\":\"john\",\"contact\":\"aaron\"}}' http://{app}/unfriend\n\n\
             Ask for a refresh yourself, as the app does after each change:\n  \
             curl -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '[\"john\",\"aaron\"]' http://{http}/roster_admin/refresh\n  \
             MUSTER_TOKEN={token} muster refresh john aaron --url http://{http}\n\n\
             Ctrl-C stops.\n"
        );
        told
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn scene(domain: &str) -> Scene {
        Scene {
            xmpp: ([127, 0, 0, 1], 5222).into(),
            http: ([127, 0, 0, 1], 5280).into(),
            app: ([127, 0, 0, 1], 8080).into(),
            domain: domain.to_owned(),
            token: token().unwrap(),
        }
    }

    #[test]
    fn the_configuration_is_accepted_without_a_warning() {
        for domain in ["localhost", "example.test", "bücher.example"] {
            let config = Config::parse(&scene(domain).configuration(), Path::new("demo"));
            let config = config.unwrap_or_else(|faults| panic!("{faults}"));
            assert!(config.warnings.is_empty());
        }
        assert!(Config::parse(&scene("\" = ").configuration(), Path::new("demo")).is_err());
    }

    #[test]
    fn a_taken_port_is_replaced_unless_it_was_asked_for() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let asked = taken.local_addr().unwrap();
        assert_eq!(address(Some(asked), 0, "XMPP").unwrap(), asked);
        let other = address(None, asked.port(), "XMPP").unwrap();
        assert_ne!(other, asked);
        assert!(other.ip().is_loopback());
    }

    #[test]
    fn everything_to_copy_is_told() {
        let scene = scene("localhost");
        let told = scene.told();
        for account in ACCOUNTS {
            assert!(told.contains(account.password));
        }
        assert!(
            told.contains(scene.token.expose_secret())
                && told.contains("http://127.0.0.1:8080/befriend")
        );
    }
}
