//! What a plugin may import, by name.
//!
//! The standard library of Rust and others import `wasi:cli`, `wasi:clocks`,
//! `wasi:io` and `wasi:random` whether they use them or not; they get an empty
//! environment, no arguments and no inherited stream ([`crate::store`]). The
//! file system and sockets are not here, or as stubs behind which there is
//! nothing, where the operator wants a guest to have them whose language
//! runtime imports them unused.

use muster_plugin_bindings::spin::spin::variables::variables;
use muster_plugin_bindings::v0_1::muster::roster::{rosters, types};
use muster_plugin_bindings::v0_1::wasi::config::store as config;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use wasmtime::component::{Accessor, HasData, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiView as _, p2, p3};

use crate::accept;
use crate::broken_body;
use crate::refresh::Outcome;
use crate::request_line;
use crate::store::StoreState;

/// The interfaces in the linker, without their versions. It exists to name
/// what is refused; what is listed here but missing in [`build`] is refused by
/// the linker itself.
const GRANTED: &[&str] = &[
    "muster:roster/rosters",
    "muster:roster/types",
    "spin:variables/variables",
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
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The interfaces that are there with [`Stubs::DenyAll`], likewise.
const STUBBED: &[&str] = &[
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/types",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What of `wasi:filesystem` and `wasi:sockets` is in the linker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stubs {
    /// Nothing: who imports them is refused.
    #[default]
    Absent,
    /// All of it, and nothing behind it: no directory is open, and a file needs
    /// one to be opened in; no socket can be made and no name looked up.
    DenyAll,
}

/// What an import of a full name (`package:name/interface@version`) is, in some
/// version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is in every linker.
    Granted,
    /// It is there with [`Stubs::DenyAll`] only.
    Stub,
    /// No plugin gets it.
    Refused,
}

impl Standing {
    pub(crate) fn of(import: &str) -> Self {
        let interface = import.split('@').next().unwrap_or(import);
        if GRANTED.contains(&interface) {
            Self::Granted
        } else if STUBBED.contains(&interface) {
            Self::Stub
        } else {
            Self::Refused
        }
    }
}

/// The linker of a plugin.
pub(crate) fn build(
    engine: &wasmtime::Engine,
    stubs: Stubs,
) -> wasmtime::Result<Linker<StoreState>> {
    let mut linker = Linker::new(engine);
    // wasi:io, wall and monotonic clock, random and the standard streams.
    p2::add_to_linker_proxy_interfaces_async(&mut linker)?;
    add_rest_of_wasi_0_2(&mut linker)?;
    p3::cli::add_to_linker(&mut linker)?;
    p3::clocks::add_to_linker(&mut linker)?;
    p3::random::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    if stubs == Stubs::DenyAll {
        add_stubs_of_wasi_0_2(&mut linker)?;
        p3::filesystem::add_to_linker(&mut linker)?;
        p3::sockets::add_to_linker(&mut linker)?;
    }
    request_line::bound(&mut linker)?;
    broken_body::explain(&mut linker)?;
    config::add_to_linker::<_, Config>(&mut linker, |state| state)?;
    variables::add_to_linker::<_, Config>(&mut linker, |state| state)?;
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

/// What they do is in [`crate::store`]: every store is made without a
/// directory and without any use of the network.
fn add_stubs_of_wasi_0_2(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    use p2::bindings::{filesystem, sockets};
    type State = StoreState;
    let options = p2::bindings::LinkOptions::default();
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::network::add_to_linker::<_, WasiSockets>(linker, &(&options).into(), State::sockets)?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    Ok(())
}

/// The settings of the virtual host: `wasi:config/store`, and `spin:variables`
/// for components that were made for Spin.
struct Config;

impl HasData for Config {
    type Data<'a> = &'a mut StoreState;
}

impl StoreState {
    fn setting(&self, key: &str) -> Option<String> {
        let found = self.config.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| value.clone())
    }
}

impl config::Host for StoreState {
    fn get(&mut self, key: String) -> Result<Option<String>, config::Error> {
        Ok(self.setting(&key))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, config::Error> {
        Ok(self.config.to_vec())
    }
}

impl variables::Host for StoreState {}

impl variables::HostWithStore<StoreState> for Config {
    async fn get(
        accessor: &Accessor<StoreState, Self>,
        name: String,
    ) -> Result<String, variables::Error> {
        let found = accessor.with(|mut access| access.get().setting(&name));
        found.ok_or(variables::Error::Undefined(name))
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
        let begun = accessor.with(|mut access| {
            let state = access.get();
            state.refreshed = true;
            let refresher = state.refresher.clone()?;
            let weight = state.under_way.begin(&usernames, &state.limits)?;
            Some((refresher, weight))
        });
        let refused = || usernames.iter().cloned().map(Outcome::overloaded).collect();
        let outcomes = match begun {
            Some((refresher, weight)) => {
                // In a task of its own: the fetches of a refresh may run other
                // stores, and wasmtime panics when the event loop of one store
                // is polled from within another's. Dropping the call ends it.
                let usernames = usernames.clone();
                let refresh = async move { refresher.refresh(usernames).await };
                let refresh = tokio::spawn(refresh.in_current_span());
                let outcomes = AbortOnDropHandle::new(refresh).await;
                accessor.with(|mut access| access.get().under_way.end(weight));
                outcomes.unwrap_or_else(|_| refused())
            }
            None => refused(),
        };
        outcomes.into_iter().map(accept::outcome_to_guest).collect()
    }
}
