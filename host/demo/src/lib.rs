//! The demo app: contact lists in SQLite behind the HTTP protocol that apps speak.
