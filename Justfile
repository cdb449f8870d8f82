# Shorthands; CONTRIBUTING.md has the commands behind them.

# List the recipes.
default:
    @just --list --unsorted

# Build the server and the plugin inside it.
build:
    cargo build

# Run a server and a small app on this machine, ready to log in to.
demo *ARGUMENTS:
    cargo run -- demo {{ARGUMENTS}}

# Run all tests, or those whose names contain FILTER.
test FILTER="":
    cargo test {{FILTER}}

# Let everything go wrong at once, as this seed has it, for so many seconds (`just chaos SEED=7`).
chaos SEED="1" TIME="600":
    MUSTER_CHAOS_SEED={{trim_start_match(SEED, "SEED=")}} MUSTER_CHAOS_TIME={{trim_start_match(TIME, "TIME=")}} \
        cargo test --test it chaos::a_long_run -- --ignored --nocapture

# Drive real XMPP clients against the demo.
clients:
    tests/clients/run

# Drive the HTTP side by its own OpenAPI document.
contract *ARGUMENTS:
    tests/contract/run {{ARGUMENTS}}

# Build the plugins of every language from their templates, and test them.
plugins *NAMES:
    examples/plugins/run {{NAMES}}

# Measure the decoder, the guest's parser, a fetch through the sandbox, a refresh through the server, the store.
# One call, so that all of them share one build.
bench:
    cargo bench --bench decode --bench login --bench parse --bench fetch --bench refresh --bench store

# Measure a release build, and Prosody beside it where it is installed; see bench/run.
bench-peers *ARGUMENTS:
    bench/run {{ARGUMENTS}}

# Check the format, and lint host and plugins.
lint:
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy -p muster-guest -p muster-handler-0-2 -p muster-handler-0-3 -p muster-hostile -p muster-prying --target wasm32-wasip2 -- -D warnings
    cd guest/spin && cargo fmt --check && cargo clippy --target wasm32-wasip2 -- -D warnings

# Check licences, sources, duplicates and advisories of dependencies.
deny:
    cargo deny check

# Everything that a change has to pass.
ci:
    .ci/run
