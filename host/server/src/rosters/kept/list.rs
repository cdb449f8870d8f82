//! Contacts as bytes: domains and groups stand once for a roster, numbers in
//! as many bytes as they need (LEB128).

use muster_xmpp::roster::{Contact, Snapshot, Subscription};

/// Text that the contacts of one record may come to when groups are written
/// out for each, in bytes. What was written stays far below; a damaged record
/// does not get further.
const MAX_TEXT_BYTES: usize = 64 << 20;

/// Writes the contacts of `snapshot`.
pub(super) fn put(bytes: &mut Vec<u8>, snapshot: &Snapshot) {
    let mut domains: Vec<&str> = snapshot.iter().map(|item| split(item.jid()).1).collect();
    domains.sort_unstable();
    domains.dedup();
    let mut groups: Vec<&str> = snapshot.iter().flat_map(|item| item.groups()).collect();
    groups.sort_unstable();
    groups.dedup();
    for table in [&domains, &groups] {
        put_number(bytes, table.len());
        for text in table {
            put_text(bytes, text);
        }
    }
    put_number(bytes, snapshot.len());
    let place = |table: &[&str], text: &str| table.partition_point(|other| *other < text);
    for item in snapshot.iter() {
        let (local, domain) = split(item.jid());
        put_text(bytes, local);
        put_number(bytes, place(&domains, domain));
        bytes.push(number(item.subscription()));
        put_text(bytes, item.name().unwrap_or_default());
        put_number(bytes, item.groups().len());
        for group in item.groups() {
            put_number(bytes, place(&groups, group));
        }
    }
}

/// Writes `text` with its length.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// The localpart and the domain of a bare JID; the former is empty if there is
/// none.
fn split(jid: &str) -> (&str, &str) {
    jid.split_once('@').unwrap_or(("", jid))
}

const SUBSCRIPTIONS: [Subscription; 4] = [
    Subscription::None,
    Subscription::To,
    Subscription::From,
    Subscription::Both,
];

fn number(subscription: Subscription) -> u8 {
    let place = SUBSCRIPTIONS.iter().position(|it| *it == subscription);
    place.unwrap_or_default() as u8
}

/// Reads what was written; each step is `None` if it cannot be.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        let length = self.number()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contacts(&mut self) -> Option<Vec<Contact>> {
        let domains = self.table()?;
        let groups = self.table()?;
        let mut left = MAX_TEXT_BYTES;
        let count = self.count()?;
        (0..count)
            .map(|_| self.contact(&domains, &groups, &mut left))
            .collect()
    }

    fn contact(&mut self, domains: &[&str], groups: &[&str], left: &mut usize) -> Option<Contact> {
        let (local, domain) = (self.text()?, *domains.get(self.number()?)?);
        let subscription = *SUBSCRIPTIONS.get(usize::from(self.byte()?))?;
        let name = self.text()?;
        let group_count = self.count()?;
        let mut own = Vec::with_capacity(group_count);
        for _ in 0..group_count {
            let group = *groups.get(self.number()?)?;
            *left = left.checked_sub(group.len())?;
            own.push(group.to_owned());
        }
        *left = left.checked_sub(local.len() + domain.len() + name.len())?;
        Some(Contact {
            jid: match local {
                "" => domain.to_owned(),
                local => format!("{local}@{domain}"),
            },
            name: (!name.is_empty()).then(|| name.to_owned()),
            groups: own,
            subscription,
        })
    }

    fn table(&mut self) -> Option<Vec<&'b str>> {
        let count = self.count()?;
        (0..count).map(|_| self.text()).collect()
    }

    /// A number of things that follow, each of at least one byte.
    fn count(&mut self) -> Option<usize> {
        self.number().filter(|count| *count <= self.0.len())
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            let low = usize::from(byte & 0x7f);
            number |= low.checked_shl(shift).filter(|it| it >> shift == low)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}
