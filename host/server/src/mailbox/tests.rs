//! The bounds of a mailbox, and which presence makes which obsolete.

use super::*;

fn stanza(bytes: usize) -> Mail {
    Mail::Stanza(Bytes::from(vec![b'x'; bytes]))
}

#[tokio::test]
async fn the_message_bound_closes_the_stream_and_never_waits() {
    let (mailbox, mut inbox) = mailbox(MailboxLimits {
        messages: 2,
        bytes: 1000,
    });
    assert!(mailbox.send(stanza(1)) && mailbox.send(stanza(1)));
    assert!(mailbox.send(stanza(1)), "the one too many");
    assert!(inbox.receive().await.is_none());
    assert!(
        !mailbox.send(stanza(1)),
        "a stream that was given up takes nothing more"
    );
}

#[tokio::test]
async fn the_byte_bound_counts_what_waits() {
    let (mailbox, mut inbox) = mailbox(MailboxLimits {
        messages: 10,
        bytes: 100,
    });
    assert!(mailbox.send(stanza(60)));
    assert!(inbox.receive().await.is_some());
    assert!(mailbox.send(stanza(60)), "what was taken counts no longer");
    assert!(mailbox.send(stanza(60)));
    assert!(inbox.receive().await.is_none());
    assert_eq!(inbox.empty().len(), 2, "what waits is not lost");
}

#[tokio::test]
async fn one_large_stanza_passes_an_empty_mailbox() {
    let (mailbox, mut inbox) = mailbox(MailboxLimits {
        messages: 10,
        bytes: 100,
    });
    assert!(mailbox.send(stanza(500)));
    assert!(matches!(inbox.receive().await, Some(Mail::Stanza(bytes)) if bytes.len() == 500));
}

#[tokio::test]
async fn who_cannot_take_mail_still_hears_of_the_end() {
    let (mailbox, mut inbox) = mailbox(MailboxLimits {
        messages: 3,
        bytes: 100,
    });
    mailbox.send(stanza(1));
    let error = StreamError::from(muster_xmpp::error::StreamCondition::Conflict);
    mailbox.send(Mail::Close(error.clone()));
    assert_eq!(inbox.ended().await, Some(error));
    assert!(matches!(inbox.try_receive(), Some(Mail::Stanza(_))));
    for _ in 0..3 {
        mailbox.send(stanza(1));
    }
    assert_eq!(inbox.ended().await, None, "an overflow comes first");
}

fn presence(from: &str, text: &'static str) -> Mail {
    let from = FullJid::new(from).unwrap();
    Mail::Presence(Broadcast::new(
        from,
        text.starts_with("gone"),
        Bytes::from_static(text.as_bytes()),
    ))
}

/// What is read of the mails after they all waited.
fn left_of(mails: Vec<Mail>) -> Vec<String> {
    let (mailbox, mut inbox) = mailbox(MailboxLimits {
        messages: 10,
        bytes: 1000,
    });
    for mail in mails {
        assert!(mailbox.send(mail));
    }
    let mut left = Vec::new();
    while let Some(mail) = inbox.try_receive() {
        left.push(match mail {
            Mail::Stanza(stanza) => String::from_utf8(stanza.to_vec()).unwrap(),
            Mail::Presence(broadcast) => {
                format!("{} {:?}", broadcast.from().resource(), broadcast.0.stanza)
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(inbox.0.queue.lock().bytes, 0);
    left
}

#[test]
fn the_last_presence_of_a_resource_is_kept_in_its_place_in_time() {
    let left = left_of(vec![
        presence("marie@x.test/a", "here 1"),
        presence("marie@x.test/b", "here 2"),
        Mail::Stanza(Bytes::from_static(b"message")),
        presence("marie@x.test/a", "here 3"),
        presence("marie@x.test/a", "here 4"),
    ]);
    assert_eq!(left, ["b b\"here 2\"", "message", "a b\"here 4\""]);
}

#[test]
fn an_end_is_not_hidden_by_a_new_beginning() {
    let (here, gone) = ("here", "gone");
    for (said, expected) in [
        (&[here, gone][..], &["a b\"gone\""][..]),
        (&[gone, here], &["a b\"gone\"", "a b\"here\""]),
        (&[here, gone, here], &["a b\"gone\"", "a b\"here\""]),
        (&[gone, here, here], &["a b\"gone\"", "a b\"here\""]),
        (&[here, gone, here, gone], &["a b\"gone\""]),
        (&[gone, here, gone, here], &["a b\"gone\"", "a b\"here\""]),
    ] {
        let said_by_marie = said.iter().map(|text| presence("marie@x.test/a", text));
        assert_eq!(left_of(said_by_marie.collect()), expected, "{said:?}");
    }
}

/// A thousand contacts who change ten times take the room of a thousand.
#[test]
fn chatty_contacts_do_not_close_a_slow_reader() {
    let (mailbox, mut inbox) = mailbox(MailboxLimits {
        messages: 1000,
        bytes: 10_000,
    });
    for _ in 0..10 {
        for contact in 0..1000 {
            assert!(mailbox.send(presence(&format!("{contact}@x.test/a"), "here")));
        }
    }
    let waiting = std::iter::from_fn(|| inbox.try_receive()).count();
    assert_eq!(waiting, 1000);
}
