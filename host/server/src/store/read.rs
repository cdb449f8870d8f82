//! What is read out of the tables.

use bytes::Bytes;
use redb::{Database, Error, ReadTransaction, ReadableDatabase as _};

use super::tables::{
    ACCOUNTS, BLOCKED, MESSAGES, NUMBERS, PRIVATE, ROSTERS_BYTES, TOTAL_BYTES, VCARDS, WAITING,
};

/// Bytes of messages that are read at once.
const BATCH_BYTES: usize = 64 * 1024;

/// Names a kept message; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(pub(super) u64);

/// Messages that are kept for an account.
#[derive(Debug, Default)]
pub struct Waiting {
    /// In the order in which they came.
    pub messages: Vec<Bytes>,
    /// The id of the last of them; `None` if there is none.
    pub last: Option<MessageId>,
    /// Whether the account has been remembered.
    pub remembered: bool,
}

pub(super) fn waiting(transaction: &ReadTransaction, account: &str) -> Result<Waiting, Error> {
    let accounts = transaction.open_table(ACCOUNTS)?;
    let mut waiting = Waiting {
        remembered: accounts.get(account)?.is_some(),
        ..Waiting::default()
    };
    let mut bytes = 0;
    let messages = transaction.open_table(MESSAGES)?;
    for entry in messages.range((account, 0)..=(account, u64::MAX))? {
        let (key, stanza) = entry?;
        bytes += stanza.value().len();
        if bytes > BATCH_BYTES && waiting.last.is_some() {
            break;
        }
        waiting.last = Some(MessageId(key.value().1));
        waiting
            .messages
            .push(Bytes::copy_from_slice(stanza.value()));
    }
    Ok(waiting)
}

pub(super) fn count(transaction: &ReadTransaction, account: &str) -> Result<u64, Error> {
    let waiting = transaction.open_table(WAITING)?;
    Ok(waiting.get(account)?.map_or(0, |tally| tally.value().0))
}

pub(super) fn vcard(transaction: &ReadTransaction, account: &str) -> Result<Option<String>, Error> {
    let vcards = transaction.open_table(VCARDS)?;
    Ok(vcards.get(account)?.map(|xml| xml.value().to_owned()))
}

pub(super) fn private(
    transaction: &ReadTransaction,
    [account, namespace, name]: &[String; 3],
) -> Result<Option<String>, Error> {
    let private = transaction.open_table(PRIVATE)?;
    let found = private.get((account.as_str(), namespace.as_str(), name.as_str()))?;
    Ok(found.map(|xml| xml.value().to_owned()))
}

pub(super) fn blocklist(
    transaction: &ReadTransaction,
    account: &str,
) -> Result<Vec<String>, Error> {
    let blocked = transaction.open_table(BLOCKED)?;
    let mut list = Vec::new();
    for entry in blocked.range((account, "")..)? {
        let (key, _) = entry?;
        let (owner, jid) = key.value();
        if owner != account {
            break;
        }
        list.push(jid.to_owned());
    }
    Ok(list)
}

/// Bytes that are kept for users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Everything but rosters.
    pub(super) total: u64,
    /// The last known rosters.
    pub(super) rosters: u64,
}

pub(super) fn kept_bytes(database: &Database) -> Result<Kept, Error> {
    let numbers = database.begin_read()?.open_table(NUMBERS)?;
    let number = |name| Ok::<_, Error>(numbers.get(name)?.map_or(0, |number| number.value()));
    Ok(Kept {
        total: number(TOTAL_BYTES)?,
        rosters: number(ROSTERS_BYTES)?,
    })
}
