//! Host bindings generated from the contract in wit/.
