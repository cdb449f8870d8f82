//! Rows 48 to 51 and 59 to 67: a plugin that means harm, through the whole
//! server. Each deed costs its own call, which gets an error in bounded time;
//! the session stays, the next user is served, the fault has a line in the log
//! and a metric, and two hundred bystanders notice nothing.

mod answers;
mod arena;
mod fetches;
mod memory;
mod network;
mod refreshes;
