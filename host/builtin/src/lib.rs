//! The built-in plugin, compiled from guest/component and embedded.
