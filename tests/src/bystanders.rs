//! Sessions that have nothing to do with what a test does to the host, and must
//! not notice it.
//!
//! They are pairs that keep one message each in the air: whoever gets one sends
//! the next. Whatever hostile input a test throws in the meantime, none may be
//! disconnected, none may miss a message, and the round trips stay short.

use crate::client::Client;
use crate::stage::Stage;
use crate::within;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A crowd of sessions in conversation.
#[derive(Debug)]
pub struct Bystanders {
    stop: watch::Sender<bool>,
    pairs: JoinSet<Vec<Duration>>,
}

impl Bystanders {
    /// Logs in `count` users of the stage, and lets them talk.
    pub async fn assemble(stage: &Stage, count: usize) -> Bystanders {
        let stop = watch::Sender::new(false);
        let mut logins = JoinSet::new();
        for pair in 0..count / 2 {
            let stage = stage.clone();
            logins.spawn(async move {
                let one = stage.online(&format!("bystander{pair}a")).await;
                let other = stage.online(&format!("bystander{pair}b")).await;
                (one, other)
            });
        }
        let mut pairs = JoinSet::new();
        while let Some(pair) = logins.join_next().await {
            let (one, other) = pair.expect("bystanders log in");
            pairs.spawn(talk(one, other, stop.subscribe()));
        }
        Bystanders { stop, pairs }
    }

    /// Ends the conversations; none may have been disturbed. Returns the 99th
    /// percentile of the round trips.
    ///
    /// # Panics
    /// If a bystander was disconnected or missed a message.
    pub async fn dismiss(mut self) -> Duration {
        self.stop.send_replace(true);
        let mut trips = Vec::new();
        while let Some(pair) = within("bystanders to finish", self.pairs.join_next()).await {
            let pair = pair.expect("no bystander is disturbed");
            assert!(!pair.is_empty(), "every pair has talked");
            trips.extend(pair);
        }
        trips.sort();
        trips[(trips.len() * 99 / 100).min(trips.len() - 1)]
    }
}

/// Sends messages to and fro until told to stop, a few a second; the round trips.
async fn talk(
    mut one: Client,
    mut other: Client,
    mut stop: watch::Receiver<bool>,
) -> Vec<Duration> {
    let mut trips = Vec::new();
    loop {
        let start = Instant::now();
        say(&mut one, &mut other, trips.len()).await;
        say(&mut other, &mut one, trips.len()).await;
        trips.push(start.elapsed());
        let pause = tokio::time::timeout(Duration::from_millis(200), stop.wait_for(|stop| *stop));
        if pause.await.is_ok() {
            return trips;
        }
    }
}

async fn say(from: &mut Client, to: &mut Client, number: usize) {
    let message = format!(
        "<message type='chat' to='{}' id='{number}'><body>{number}</body></message>",
        to.jid()
    );
    from.send(message).await;
    let number = number.to_string();
    let sender = from.jid().to_owned();
    let received = to.element("a message from the other bystander").await;
    assert_eq!(
        (received.name(), received.attr("from"), received.attr("id")),
        ("message", Some(sender.as_str()), Some(number.as_str()))
    );
}
