//! The Muster server: listeners, connections, sessions, rosters, HTTP, configuration.
