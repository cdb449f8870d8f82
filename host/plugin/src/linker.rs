//! What a plugin may import, by name.
//!
//! The standard library of Rust and others import `wasi:cli`, `wasi:clocks`,
//! `wasi:io` and `wasi:random` whether they use them or not; they get an empty
//! environment, no arguments and no inherited stream ([`crate::store`]). The
//! file system and sockets are not here.

use muster_plugin_bindings::v0_1::muster::roster::{rosters, types};
use muster_plugin_bindings::v0_1::wasi::config::store as config;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{Accessor, HasData, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiView as _, p2, p3};

use crate::accept;
use crate::refresh::Outcome;
use crate::store::StoreState;

/// The interfaces in the linker, without their versions. It exists to name
/// what is refused; what is listed here but missing in [`build`] is refused by
/// the linker itself.
const GRANTED: &[&str] = &[
    "muster:roster/rosters",
    "muster:roster/types",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:clocks/wall-clock",
    "wasi:config/store",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Whether an import of this full name (`package:name/interface@version`) is
/// in the linker in some version.
pub(crate) fn grants(import: &str) -> bool {
    let interface = import.split('@').next().unwrap_or(import);
    GRANTED.contains(&interface)
}

/// The linker of all plugins.
pub(crate) fn build(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<StoreState>> {
    let mut linker = Linker::new(engine);
    // wasi:io, wall and monotonic clock, random and the standard streams.
    p2::add_to_linker_proxy_interfaces_async(&mut linker)?;
    add_rest_of_wasi_0_2(&mut linker)?;
    p3::cli::add_to_linker(&mut linker)?;
    p3::clocks::add_to_linker(&mut linker)?;
    p3::random::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    config::add_to_linker::<_, Config>(&mut linker, |state| state)?;
    rosters::add_to_linker::<_, Rosters>(&mut linker, |state| state)?;
    Ok(linker)
}

fn add_rest_of_wasi_0_2(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    use p2::bindings::{cli, random};
    type State = StoreState;
    cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, |s| s.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |s| s.ctx().ctx.random())?;
    Ok(())
}

/// `wasi:config/store`: the settings of the virtual host.
struct Config;

impl HasData for Config {
    type Data<'a> = &'a mut StoreState;
}

impl config::Host for StoreState {
    fn get(&mut self, key: String) -> Result<Option<String>, config::Error> {
        let found = self.config.iter().find(|(name, _)| *name == key);
        Ok(found.map(|(_, value)| value.clone()))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, config::Error> {
        Ok(self.config.to_vec())
    }
}

/// `muster:roster/rosters`: the way to the owner of rosters.
struct Rosters;

impl HasData for Rosters {
    type Data<'a> = &'a mut StoreState;
}

impl types::Host for StoreState {}
impl rosters::Host for StoreState {}

impl rosters::HostWithStore<StoreState> for Rosters {
    async fn refresh(
        accessor: &Accessor<StoreState, Self>,
        usernames: Vec<String>,
    ) -> Vec<types::Outcome> {
        // The store is not held while the host fetches and pushes.
        let (refresher, limit) = accessor.with(|mut access| {
            let state = access.get();
            state.refreshed = true;
            (state.refresher.clone(), state.limits.refresh_usernames)
        });
        let refused = || usernames.iter().cloned().map(Outcome::overloaded).collect();
        let outcomes = match refresher {
            Some(refresher) if usernames.len() <= limit => {
                // In a task of its own: the fetches of a refresh may run other
                // stores, and wasmtime panics when the event loop of one store
                // is polled from within another's. Dropping the call ends it.
                let usernames = usernames.clone();
                let refresh = tokio::spawn(async move { refresher.refresh(usernames).await });
                AbortOnDropHandle::new(refresh)
                    .await
                    .unwrap_or_else(|_| refused())
            }
            _ => refused(),
        };
        outcomes.into_iter().map(accept::outcome_to_guest).collect()
    }
}
