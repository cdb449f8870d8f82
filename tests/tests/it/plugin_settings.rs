//! `[virtual_host.plugin.settings]` of a running server: read again on SIGHUP and
//! by an order, tried like a new build, and refused without a change.

use std::path::Path;
use std::time::Duration;

use muster_test_plugins::handler_0_3;
use muster_tests::app::App;
use muster_tests::http;
use muster_tests::muster::{ANYONE, Setup, TOKEN, admin_request};
use muster_tests::process::{Process, run};
use muster_tests::stage::DOMAIN;
use muster_tests::within;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// A server whose plugin tells its settings.
struct Scene {
    process: Process,
    setup: Setup,
    _app: App,
    _files: tempfile::TempDir,
}

impl Scene {
    async fn new(settings: &str) -> Scene {
        let app = App::start().await;
        let files = tempfile::tempdir().expect("a directory");
        let plugin = files.path().join("plugin.wasm");
        std::fs::write(&plugin, handler_0_3()).expect("a file");
        // A build has proved itself by the next order.
        let setup = Setup::new()
            .with("[limits.plugin]\nprobation = \"1ms\"")
            .plugin(&plugin)
            .host(DOMAIN, ANYONE, &app.roster_url());
        let whole = setup.clone().with_host_sections(settings);
        Scene {
            process: Process::start(binary(), &whole).await,
            setup,
            _app: app,
            _files: files,
        }
    }

    /// The configuration says this from now on.
    fn write(&self, settings: &str) {
        self.write_all(&self.setup.clone().with_host_sections(settings));
    }

    fn write_all(&self, setup: &Setup) {
        let (xmpp, http) = (self.process.xmpp(), self.process.http());
        let text = setup.clone().listen(xmpp, http).text();
        std::fs::write(self.process.directory().join("muster.toml"), text).expect("a file");
    }

    async fn until_told(&self, words: &str) {
        within("it to be told", async {
            while !self.process.log().contains(words) {
                // Nothing tells but the log.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// What the plugin reads under that name.
    async fn setting(&self, name: &str) -> Option<String> {
        let path = format!("setting/{name}");
        let request = admin_request(DOMAIN, ("GET", &path), &[], b"");
        let reply = http::exchange(self.process.http(), &request).await;
        (reply.status == 200).then(|| reply.text())
    }

    async fn until_it_is(&self, name: &str, value: &str) {
        within("the plugin to read it", async {
            while self.setting(name).await.as_deref() != Some(value) {
                // Nothing tells of a signal that was heeded but the plugin.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Runs a command about the plugin; its exit code and what it said.
    async fn order(&self, order: &str) -> (Option<i32>, String) {
        let url = format!("http://{}", self.process.http());
        let arguments = ["plugin", order, DOMAIN, "--url", &url, "--token", TOKEN];
        let output = run(binary(), &arguments).await;
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }
}

fn settings(page_size: &str) -> String {
    format!(
        "[virtual_host.plugin.settings]\npage_size = \"{page_size}\"\n\
         secret = {{ file = \"secret\" }}\n"
    )
}

#[tokio::test]
async fn they_are_read_again_on_sighup_and_by_an_order() {
    let scene = Scene::new("").await;
    assert_eq!(scene.setting("page_size").await, None);
    assert_eq!(scene.setting("domain").await.as_deref(), Some(DOMAIN));
    let secret = scene.process.directory().join("secret");
    std::fs::write(&secret, "of-before\n").expect("a file");
    scene.write(&settings("100"));
    scene.process.signal("HUP").await;
    scene.until_it_is("page_size", "100").await;
    assert_eq!(scene.setting("secret").await.as_deref(), Some("of-before"));
    assert_eq!(scene.setting("domain").await.as_deref(), Some(DOMAIN));

    // A secret is changed in its file alone.
    std::fs::write(&secret, "of-now\n").expect("a file");
    let (code, said) = scene.order("reload").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("with other settings"), "{said}");
    assert_eq!(scene.setting("secret").await.as_deref(), Some("of-now"));
    let (code, said) = scene.order("reload").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("serve already"), "{said}");

    // The build before comes back with what it read.
    let (code, said) = scene.order("rollback").await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(scene.setting("secret").await.as_deref(), Some("of-before"));
    let log = scene.process.log();
    assert!(!log.contains("of-before") && !log.contains("of-now"));
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing_and_is_told() {
    let scene = Scene::new("[virtual_host.plugin.settings]\npage_size = \"50\"\n").await;
    scene.write("[virtual_host.plugin.settings]\npage_size = 100\n");
    let (code, said) = scene.order("reload").await;
    assert_eq!(code, Some(65), "{said}");
    assert!(
        said.contains("virtual_host[0].plugin.settings.page_size: expected a string"),
        "{said}"
    );
    scene.process.signal("HUP").await;
    scene.until_told("stay as they were").await;
    assert_eq!(scene.setting("page_size").await.as_deref(), Some("50"));

    // What else is wrong with the file is no matter here; but somebody may think
    // that it holds now.
    assert!(!scene.process.log().contains("need a restart"));
    let setup = scene.setup.clone().with("[limits.nothing]\nx = 1");
    let settings = "[virtual_host.plugin.settings]\npage_size = \"70\"\n";
    scene.write_all(&setup.with_host_sections(settings));
    scene.process.signal("HUP").await;
    scene.until_told("need a restart").await;
    assert!(scene.process.log().contains("limits.nothing"));
    let (code, said) = scene.order("reload").await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(scene.setting("page_size").await.as_deref(), Some("70"));
}
