//! The sandbox with real components: the built-in one, and one that does what
//! a plugin must not do, against an app that fails in every way.

mod backend;
mod fetch;
mod handle;
mod host;
mod hostile;
mod load;
