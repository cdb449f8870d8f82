//! Limits: for one host, against each other, in the documents and as metrics.

use super::*;

#[test]
fn one_host_can_have_limits_of_its_own() {
    let text = format!(
        "{SMALLEST}[virtual_host.plugin]\ndeny_all_stubs = true\nlimits.memory_bytes = \"128MiB\"\n\
         [virtual_host.backend.limits]\ntimeout = \"10s\"\n[limits.plugin]\nturn = \"50ms\"\n"
    );
    let config = parse(&text).unwrap();
    let host = &config.virtual_hosts[0];
    assert!(host.plugin.deny_all_stubs);
    let limits = config.limits.of_host(host);
    assert_eq!(limits.plugin.memory_bytes, 128 << 20);
    assert_eq!(limits.plugin.turn, std::time::Duration::from_millis(50));
    assert_eq!(limits.backend.request(), std::time::Duration::from_secs(9));
    assert_eq!(limits.backend.connect(), std::time::Duration::from_secs(3));
    assert_eq!(config.limits.plugin.memory_bytes, 64 << 20);
    check(
        &format!("{SMALLEST}[virtual_host.plugin.limits]\nwasm_stack_bytes = \"1MiB\"\n"),
        "9:1: error: virtual_host[0].plugin.limits.wasm_stack_bytes: there is no such key\n    help: there is `limits.plugin.wasm_stack_bytes`",
    );
}

#[test]
fn limits_that_depend_on_others_are_faults_with_the_remedy() {
    for (limits, expected) in [
        (
            "[limits.backend]\nrequest_timeout = \"5s\"",
            "9:19: error: limits.backend.request_timeout: must be at most 4500ms: a tenth of timeout is for the plugin to tell the reason\n    help: lower it, or raise timeout",
        ),
        (
            "[limits.backend]\ntimeout = \"2s\"\nconnect_timeout = \"3s\"",
            "10:19: error: limits.backend.connect_timeout: must be at most 1800ms: a request begins with its connection\n    help: lower it, or raise request_timeout",
        ),
        (
            "[limits.backend]\nhttp2_stream_bytes = \"8MiB\"",
            "9:22: error: limits.backend.http2_stream_bytes: must be at most 4MiB: a stream cannot use more than its connection\n    help: lower it, or raise http2_connection_bytes",
        ),
        (
            "[limits.plugin]\nlog_bytes_per_second = \"4KiB\"",
            "9:24: error: limits.plugin.log_bytes_per_second: is too little for log_line_bytes, which is 8KiB and could be 4KiB: no whole line could be logged\n    help: raise it, or lower log_line_bytes here",
        ),
        (
            "[limits.plugin]\nhandle_calls = 8",
            "9:16: error: limits.plugin.handle_calls: must be at least 20, which is limits.refresh.requests (16) and limits.refresh.running_jobs (4) together: what has its turn would be answered 429\n    help: raise it, or lower limits.refresh.requests or running_jobs",
        ),
        (
            "[limits.refresh]\nrequests = 30",
            "9:12: error: limits.refresh.requests: with limits.refresh.running_jobs (4) it is more than limits.plugin.handle_calls, which is 32: what has its turn would be answered 429\n    help: lower it or running_jobs, or raise limits.plugin.handle_calls",
        ),
        (
            "[virtual_host.plugin.limits]\nhandle_calls = 8",
            "9:16: error: virtual_host[0].plugin.limits.handle_calls: must be at least 20, which is limits.refresh.requests (16) and limits.refresh.running_jobs (4) together: what has its turn would be answered 429\n    help: raise it, or lower limits.refresh.requests or running_jobs",
        ),
        (
            "[limits.plugin]\nturn = \"5ms\"",
            "9:8: error: limits.plugin.turn: must be at least 10ms",
        ),
        (
            "[limits.plugin]\nwasm_stack_bytes = \"1KiB\"",
            "9:20: error: limits.plugin.wasm_stack_bytes: must be at least 64KiB",
        ),
    ] {
        check(&format!("{SMALLEST}{limits}\n"), expected);
    }
}

const LIMITS: &str = include_str!("../../../../../docs/limits.md");

/// A row of the tables in docs/limits.md.
struct Documented<'t> {
    key: &'t str,
    default: &'t str,
    metric: &'t str,
}

fn documented_limits() -> Vec<Documented<'static>> {
    let rows = LIMITS.lines().filter(|line| line.starts_with("| `limits."));
    let cell = |cell: &'static str| cell.trim().trim_matches('`');
    rows.map(
        |row| match row.split('|').map(cell).collect::<Vec<_>>()[..] {
            ["", key, default, _, metric, ""] => Documented {
                key,
                default,
                metric,
            },
            _ => panic!("not four cells: {row}"),
        },
    )
    .collect()
}

#[test]
fn every_limit_is_documented() {
    let document = Document::parse(EXAMPLE, Path::new("muster.toml"));
    Config::read(&document);
    let known = document.known();
    let is_section = |key: &str| {
        known
            .iter()
            .any(|other| other.starts_with(&format!("{key}.")))
    };
    let keys = known.iter().map(String::as_str);
    let keys: std::collections::BTreeSet<_> = keys
        .filter(|key| key.starts_with("limits.") && !is_section(key))
        .collect();
    let rows: std::collections::BTreeSet<_> =
        documented_limits().iter().map(|row| row.key).collect();
    let missing: Vec<_> = keys.difference(&rows).collect();
    let unknown: Vec<_> = rows.difference(&keys).collect();
    assert!(missing.is_empty(), "docs/limits.md lacks {missing:?}");
    assert!(
        unknown.is_empty(),
        "docs/limits.md has {unknown:?}, which are no keys"
    );
}

#[test]
fn the_documented_defaults_are_those_of_the_example() {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    for Documented { key, default, .. } in documented_limits() {
        let mut value = Some(toml::Value::Table(example.clone()));
        for part in key.split('.') {
            value = value.and_then(|value| value.get(part).cloned());
        }
        let stated = value.map(|value| match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        });
        assert_eq!(stated.unwrap_or_default(), default, "{key}");
    }
}

#[test]
fn every_limit_has_a_metric() {
    let described = crate::telemetry::described();
    let rows = documented_limits();
    for Documented { key, metric, .. } in &rows {
        assert!(
            described.contains(metric),
            "{key}: `{metric}` is not described"
        );
    }
    for limit in crate::limit::Limit::ALL {
        let key = limit.key();
        let row = rows.iter().find(|row| row.key == key);
        let row = row.unwrap_or_else(|| panic!("{key} is counted and not documented"));
        assert_eq!(row.metric, "muster_limit_reached_total", "{key}");
    }
    for limit in muster_plugin::Limit::ALL {
        let key = limit.key();
        let row = rows.iter().find(|row| row.key == key);
        let row = row.unwrap_or_else(|| panic!("{key} is counted and not documented"));
        assert_eq!(row.metric, "muster_plugin_limit_reached_total", "{key}");
    }
}
