//! What came of the cases of a fixture, for people and for programs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use muster_plugin::FetchError;
use serde_json::json;

/// What came of one file.
#[derive(Debug, Clone)]
pub struct Report {
    /// The fixture.
    pub path: PathBuf,
    /// From the bytes of the component to a plugin that serves.
    pub load: Duration,
    /// Its cases, those that the filter left.
    pub cases: Vec<CaseReport>,
}

/// What came of one case.
#[derive(Debug, Clone)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// `fetch` or `refresh`.
    pub kind: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What is not as expected; empty if it passed.
    pub differences: Vec<String>,
}

impl Report {
    /// How many cases failed.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|it| !it.passed()).count()
    }

    /// For programs.
    pub fn as_json(&self) -> serde_json::Value {
        let cases = self.cases.iter().map(|case| {
            json!({
                "name": case.name,
                "kind": case.kind,
                "passed": case.passed(),
                "milliseconds": milliseconds(case.took),
                "differences": case.differences,
            })
        });
        json!({
            "file": self.path.display().to_string(),
            "load_milliseconds": milliseconds(self.load),
            "passed": self.cases.len() - self.failed(),
            "failed": self.failed(),
            "cases": cases.collect::<Vec<_>>(),
        })
    }
}

impl CaseReport {
    /// Whether all was as expected.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.path.display();
        writeln!(f, "{file}: loaded in {:.1} ms", milliseconds(self.load))?;
        for case in &self.cases {
            let verdict = if case.passed() { "ok    " } else { "FAILED" };
            let (kind, name) = (case.kind, &case.name);
            let took = milliseconds(case.took);
            writeln!(f, "  {verdict}  {kind:7}  {name} ({took:.1} ms)")?;
            for difference in &case.differences {
                writeln!(f, "            {difference}")?;
            }
        }
        let (failed, all) = (self.failed(), self.cases.len());
        write!(f, "{} passed, {failed} failed", all - failed)
    }
}

/// To the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1_000.0
}

/// The word for an error, as fixtures have it, and what else is known.
pub fn describe(error: &FetchError) -> String {
    match error {
        FetchError::NotFound => "not-found".to_owned(),
        FetchError::Unavailable => "unavailable".to_owned(),
        FetchError::Timeout => "timeout".to_owned(),
        FetchError::Status(status) => format!("status {status}"),
        FetchError::Malformed(reason) => format!("malformed: {reason}"),
        FetchError::TooLarge => "too-large".to_owned(),
        FetchError::Denied => "denied".to_owned(),
        FetchError::Plugin(fault) => format!("plugin: {fault}"),
    }
}
