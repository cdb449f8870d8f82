//! The sandbox: engine, worker stores, egress gate, limits, generations.
