//! What a host counts, as Prometheus sees it.

use crate::http::{exchange, request};
use crate::muster::TOKEN;
use std::net::SocketAddr;

/// The metrics at one moment.
#[derive(Debug, Clone)]
pub struct Metrics(String);

impl Metrics {
    /// Asks for them.
    pub async fn scrape(http: SocketAddr) -> Metrics {
        let authorization = format!("Bearer {TOKEN}");
        let scrape = request("GET", "/metrics", &[("Authorization", &authorization)], b"");
        Metrics(exchange(http, &scrape).await.text())
    }

    /// The sum of the samples of a metric that have all of these labels, each as
    /// `name="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let wanted = found == name && labels.iter().all(|label| rest.contains(label));
            wanted.then(|| value.parse::<f64>().ok())?
        });
        samples.sum()
    }
}
