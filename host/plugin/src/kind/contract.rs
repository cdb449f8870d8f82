//! The typed contract: `muster:roster/roster` and the handler beside it.

use muster_plugin_bindings::v0_1::Plugin;
use wasmtime::component::Accessor;

use super::{Answer, Question};
use crate::store::StoreState;

pub(super) async fn fetch(
    accessor: &Accessor<StoreState>,
    guest: &Plugin,
    question: Question,
) -> wasmtime::Result<Answer> {
    let Question { username, known } = question;
    let roster = guest.muster_roster_roster();
    roster.call_fetch(accessor, username, known).await
}
