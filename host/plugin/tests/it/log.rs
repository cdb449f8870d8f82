//! What a plugin can do to the host's log.

use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use muster_plugin::Limits;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::counted;
use crate::host::{prying, reaching, seen};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps what plugins write.
struct Keeping;

impl<S: tracing::Subscriber> Layer<S> for Keeping {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "muster::plugin" {
            let mut line = Line(String::new());
            event.record(&mut line);
            LINES.lock().unwrap().push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

fn keep() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let keeping = tracing_subscriber::registry().with(Keeping);
        tracing::subscriber::set_global_default(keeping).unwrap();
    });
}

/// The lines of one virtual host.
fn lines(vhost: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    lines
        .iter()
        .filter(|line| line.contains(vhost))
        .cloned()
        .collect()
}

/// Ten megabytes of lines with escapes and forged line ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_cut_and_cannot_paint_or_forge() {
    keep();
    let vhost = "chatter.example.test";
    let mut settings = reaching(vhost, Vec::new());
    settings.limits = Limits {
        // The flood is the subject, not the time that it takes.
        turn: Duration::from_secs(60),
        call: Duration::from_secs(90),
        log_line_bytes: 512,
        log_bytes_per_second: 16 << 10,
        ..settings.limits
    };
    let plugin = prying(settings).await;
    let started = Instant::now();
    assert_eq!(seen(&plugin, "chatter 10000").await, "said");
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap() + 2;
    let flood = lines(vhost);
    let written: Vec<_> = flood
        .iter()
        .filter(|line| line.contains("chatter "))
        .collect();
    assert!(!written.is_empty());
    // A line costs what it has of the plugin, cut at 512 bytes.
    assert!(
        written.len() <= seconds * (16 << 10) / 512,
        "{}",
        written.len()
    );
    for line in &flood {
        assert!(
            !line.contains('\u{1b}') && !line.contains('\r') && !line.contains('\n'),
            "{line:?}"
        );
        assert!(line.len() < 1_000, "{line}");
    }
    assert!(written[0].contains("\\u{1b}[2J\\u{d}"), "{}", written[0]);
    assert!(counted::limit(vhost, "limits.plugin.log_bytes_per_second") >= 1);
    assert!(counted::limit(vhost, "limits.plugin.log_line_bytes") >= 10_000);

    // The next second says what was lost.
    let told = || lines(vhost).iter().any(|line| line.contains("suppressed="));
    while !told() && started.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        seen(&plugin, "chatter 1").await;
    }
    assert!(told(), "{:?}", lines(vhost));
}
