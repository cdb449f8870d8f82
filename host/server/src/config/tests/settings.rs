//! A plugin's own settings.

use super::*;

/// `SMALLEST` with settings for the plugin of its host.
fn with_settings(pairs: &str) -> String {
    format!("{SMALLEST}[virtual_host.plugin.settings]\n{pairs}\n")
}

#[test]
fn a_plugin_has_settings_of_its_own_that_nobody_shows() {
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("muster.toml");
    std::fs::write(directory.path().join("webhook"), "hunter2 \n").unwrap();
    let text = with_settings(
        "page_size = \"100\"\nempty = \"\"\nwebhook_secret = { file = \"webhook\" }\nhome = { env = \"PATH\" }",
    );
    let config = Config::parse(&text, &origin).unwrap();
    let settings = &config.virtual_hosts[0].plugin.settings;
    let path = std::env::var("PATH").unwrap();
    let expected = [
        ("empty", ""),
        ("home", path.as_str()),
        ("page_size", "100"),
        ("webhook_secret", "hunter2"),
    ];
    let mut pairs: Vec<_> = settings.iter().collect();
    pairs.sort_unstable();
    assert_eq!(pairs, expected);
    let shown = format!("{config:?}");
    assert!(shown.contains("webhook_secret"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn settings_that_a_plugin_cannot_have_are_faults() {
    for (pair, problem) in [
        (
            "domain = \"x\"",
            "domain: the plugin has this setting from the server\n    help: give it another name; this one follows from the virtual host and the limits",
        ),
        (
            "http_rosters_url = \"x\"",
            "http_rosters_url: the plugin has this setting from the server",
        ),
        (
            "Page = \"x\"",
            "Page: the name of a setting has a-z, 0-9 and _, begins with a letter, and has at most 64 bytes",
        ),
        ("a-b = \"x\"", "a-b: the name of a setting has"),
        ("_a = \"x\"", "_a: the name of a setting has"),
        (
            "number = 7",
            "number: expected a string in quotes, { env = \"…\" } or { file = \"…\" }, found integer",
        ),
        (
            "both = { env = \"PATH\", file = \"x\" }",
            "both: expected a string in quotes",
        ),
        (
            "other = { path = \"x\" }",
            "other: expected a string in quotes",
        ),
        (
            "unset = { env = \"MUSTER_TEST_UNSET\" }",
            "unset: the environment variable MUSTER_TEST_UNSET is not set",
        ),
        (
            "gone = { file = \"/nowhere/at/all\" }",
            "gone: cannot read /nowhere/at/all",
        ),
    ] {
        let told = parse(&with_settings(pair)).unwrap_err().to_string();
        let expected = format!("error: virtual_host[0].plugin.settings.{problem}");
        assert!(told.contains(&expected), "{pair}: {told}");
    }
    let long = format!("long = \"{}\"", "x".repeat(8193));
    let told = parse(&with_settings(&long)).unwrap_err().to_string();
    assert!(
        told.contains("at most 8192 bytes") && !told.contains("xxx"),
        "{told}"
    );
    let many: String = (0..65).map(|n| format!("a{n} = \"x\"\n")).collect();
    let told = parse(&with_settings(&many)).unwrap_err().to_string();
    assert!(
        told.contains("plugin.settings: there are more than 64 settings"),
        "{told}"
    );
}
