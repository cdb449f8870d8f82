//! The host in this process, on free loopback ports, from the same text that an
//! operator would write.
//!
//! It owns the making of that text ([`Setup`]) and the calls of the refresh
//! route; it reaches the host through `Config::parse`, `Server::start` and the
//! sockets only.

use crate::http::{self, Reply};
use crate::tls::Files;
use crate::{app, within};
use muster_server::config::Config;
use muster_server::muster_plugin::{Status, Swapped};
use muster_server::{ReloadError, Server};
use serde_json::{Value, json};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;

/// The token that every host of the tests accepts.
pub const TOKEN: &str = "dG9rZW4gb2YgdGhlIHRlc3Rz";

/// An environment variable: the component that is the plugin of every virtual
/// host, where a test does not choose one. Default: the built-in one.
pub const PLUGIN: &str = "MUSTER_TEST_PLUGIN";

/// `[virtual_host.auth]` that lets everyone in.
pub const ANYONE: &str = "kind = \"any\"";

/// A configuration in the making.
#[derive(Debug, Clone)]
pub struct Setup {
    listen: [String; 2],
    host_keys: String,
    plugin: String,
    hosts: String,
    sections: String,
    admin: String,
    encrypted: bool,
}

impl Setup {
    /// Free ports, one token, no virtual host yet.
    pub fn new() -> Setup {
        Setup {
            listen: ["127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()],
            host_keys: String::new(),
            plugin: std::env::var(PLUGIN).unwrap_or_else(|_| "builtin".to_owned()),
            hosts: String::new(),
            sections: String::new(),
            admin: format!("tokens = [\"{TOKEN}\"]"),
            encrypted: false,
        }
    }

    /// `example.test` with the contacts of `app`, open to everyone.
    pub fn for_app(app: &app::App) -> Setup {
        Setup::new().host("example.test", ANYONE, &app.roster_url())
    }

    /// Adds a virtual host; `auth` is the inside of its `auth` table.
    #[must_use]
    pub fn host(mut self, domain: &str, auth: &str, roster_url: &str) -> Setup {
        let (keys, plugin) = (&self.host_keys, &self.plugin);
        self.hosts.push_str(&format!(
            "[[virtual_host]]\ndomain = \"{domain}\"\n{keys}\n[virtual_host.auth]\n{auth}\n\
             [virtual_host.roster]\nplugin = \"{plugin}\"\nhttp_roster_url = \"{roster_url}\"\n"
        ));
        self
    }

    /// Gives the virtual host that was added last a certificate.
    #[must_use]
    pub fn certificate(mut self, files: &Files) -> Setup {
        self.hosts.push_str(&format!(
            "[virtual_host.tls]\ncertificate = {:?}\nkey = {:?}\n",
            files.certificate(),
            files.key()
        ));
        self
    }

    /// Gives the virtual host that was added last further sections, such as
    /// `[[virtual_host.origin]]`.
    #[must_use]
    pub fn with_host_sections(mut self, sections: &str) -> Setup {
        self.hosts.push_str(sections);
        self
    }

    /// Adds keys to the `roster` table of the virtual host that was added last,
    /// before anything else is added to it.
    #[must_use]
    pub fn roster_keys(mut self, keys: &str) -> Setup {
        self.hosts.push_str(keys);
        self.hosts.push('\n');
        self
    }

    /// Listens for TLS as well, and wants it before a login.
    #[must_use]
    pub fn encrypted(mut self) -> Setup {
        self.encrypted = true;
        self
    }

    /// Puts `keys` into every virtual host that is added from now on.
    #[must_use]
    pub fn host_keys(mut self, keys: &str) -> Setup {
        keys.clone_into(&mut self.host_keys);
        self
    }

    /// Gives every virtual host that is added from now on this component.
    #[must_use]
    pub fn plugin(mut self, path: &Path) -> Setup {
        self.plugin = path.display().to_string();
        self
    }

    /// Adds sections, such as `[limits.backend]`.
    #[must_use]
    pub fn with(mut self, sections: &str) -> Setup {
        self.sections.push_str(sections);
        self.sections.push('\n');
        self
    }

    /// Replaces the inside of `[admin]`.
    #[must_use]
    pub fn admin(mut self, admin: &str) -> Setup {
        admin.clone_into(&mut self.admin);
        self
    }

    /// Listens at these addresses, for clients and for HTTP.
    #[must_use]
    pub fn listen(mut self, xmpp: SocketAddr, http: SocketAddr) -> Setup {
        self.listen = [xmpp.to_string(), http.to_string()];
        self
    }

    /// The configuration file.
    pub fn text(&self) -> String {
        let Setup {
            listen: [xmpp, http],
            host_keys: _,
            plugin: _,
            hosts,
            sections,
            admin,
            encrypted,
        } = self;
        let (tls, require) = match encrypted {
            true => ("listen_tls = [\"127.0.0.1:0\"]\n", ""),
            false => ("", "require_tls = false\n"),
        };
        format!(
            "[xmpp]\nlisten = [\"{xmpp}\"]\n{tls}{require}[http]\nlisten = [\"{http}\"]\n{tls}\
             [admin]\n{admin}\n{sections}{hosts}"
        )
    }
}

impl Default for Setup {
    fn default() -> Self {
        Setup::new()
    }
}

/// A running host.
pub struct Muster {
    server: Server,
    xmpp: SocketAddr,
    http: SocketAddr,
    /// Where its configuration would be, and where its storage is.
    directory: TempDir,
}

impl fmt::Debug for Muster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Muster")
            .field("xmpp", &self.xmpp)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

impl Muster {
    /// Starts a host.
    ///
    /// # Panics
    /// If the configuration is refused or the host does not start.
    pub async fn start(setup: &Setup) -> Muster {
        Muster::start_in(tempfile::tempdir().expect("a directory"), setup).await
    }

    /// Starts a host with the storage that an earlier one left in `directory`.
    ///
    /// # Panics
    /// As [`Muster::start`].
    pub async fn start_in(directory: TempDir, setup: &Setup) -> Muster {
        let text = setup.text();
        let config = Config::parse(&text, &directory.path().join("muster.toml"));
        let config = config.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        let server = Box::pin(Server::start(config)).await;
        let server = server.unwrap_or_else(|error| panic!("the host does not start: {error}"));
        let xmpp = *server.xmpp_addresses().first().expect("an XMPP listener");
        let http = *server.http_addresses().first().expect("an HTTP listener");
        Muster {
            server,
            xmpp,
            http,
            directory,
        }
    }

    /// Where clients connect.
    pub fn xmpp(&self) -> SocketAddr {
        self.xmpp
    }

    /// Where the app and the operator connect.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where clients connect under TLS.
    pub fn xmpp_tls(&self) -> SocketAddr {
        let addresses = self.server.xmpp_tls_addresses();
        *addresses.first().expect("a listener for TLS")
    }

    /// Where the app and the operator connect by HTTPS.
    pub fn https(&self) -> SocketAddr {
        *self
            .server
            .https_addresses()
            .first()
            .expect("a listener for HTTPS")
    }

    /// Where web clients alone connect.
    ///
    /// # Panics
    /// If there is no such listener.
    pub fn web(&self) -> SocketAddr {
        *self.server.web_addresses().first().expect("a listener")
    }

    /// What there is to know of the plugin of the only virtual host.
    pub fn plugin(&self) -> Status {
        let mut plugins = self.server.plugins();
        plugins.pop().expect("a virtual host")
    }

    /// Has the host take the plugin of `domain` from its file as it is now.
    ///
    /// # Errors
    /// What the host says against it.
    pub async fn reload_plugin(&self, domain: &str) -> Result<Swapped, ReloadError> {
        self.server.reload_plugin(domain).await
    }

    /// Has the host read its certificates again, as SIGHUP does.
    pub fn reload(&self) {
        self.server.reload();
    }

    /// Stops the host in good order. Returns the directory of its storage.
    pub async fn shutdown(self) -> TempDir {
        within("the host to stop", self.server.shutdown()).await;
        self.directory
    }
}

/// Posts `body` to the refresh route of `domain`, as the app would.
pub async fn post_refresh(http: SocketAddr, domain: &str, body: &[u8]) -> Reply {
    let authorization = format!("Bearer {TOKEN}");
    let fields = [
        ("Host", domain),
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
    ];
    http::post(http, "/roster_admin/refresh", &fields, body).await
}

/// A request under `/roster_admin/` with the token, as the app would send it.
pub fn admin_request(
    domain: &str,
    (method, path): (&str, &str),
    fields: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let authorization = format!("Bearer {TOKEN}");
    let mut all = vec![("Host", domain), ("Authorization", authorization.as_str())];
    all.extend_from_slice(fields);
    let path = format!("/roster_admin/{path}");
    http::request(method, &path, &all, body)
}

/// What the host says of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `ok` or `error`.
    pub status: String,
    /// Entries that were brought up to date.
    pub updated: u64,
    /// Entries that were not.
    pub errors: u64,
}

impl Summary {
    /// Reads the summary out of a 200.
    ///
    /// # Panics
    /// If the reply is not the summary of the reference: four members, the
    /// message a text.
    pub fn of(reply: &Reply) -> Summary {
        let summary = reply.json();
        assert_eq!(reply.status, 200, "{summary}");
        let members = summary
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str);
        let members: std::collections::BTreeSet<&str> = members.collect();
        assert_eq!(
            members,
            ["errors", "message", "status", "updated"].into(),
            "{summary}"
        );
        assert!(summary["message"].is_string(), "{summary}");
        Summary {
            status: summary["status"].as_str().expect("a status").to_owned(),
            updated: summary["updated"].as_u64().expect("a count"),
            errors: summary["errors"].as_u64().expect("a count"),
        }
    }

    /// A summary to compare with.
    pub fn new(status: &str, updated: u64, errors: u64) -> Summary {
        Summary {
            status: status.to_owned(),
            updated,
            errors,
        }
    }
}

/// Asks for a refresh of these users.
pub async fn refresh(http: SocketAddr, domain: &str, users: &[impl AsRef<str>]) -> Summary {
    let users: Vec<Value> = users.iter().map(|user| json!(user.as_ref())).collect();
    Summary::of(&post_refresh(http, domain, Value::from(users).to_string().as_bytes()).await)
}
