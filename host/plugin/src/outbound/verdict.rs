//! What an exchange shows of the app, for the circuit breaker of its origin.
//!
//! An app that cannot be reached, breaks off, is silent or says 5xx does not
//! work. One that answers anything else does, whatever it says, and so does
//! one that says too much. What the gate itself refuses shows nothing.

use http::Response;
use wasmtime_wasi_http::Error;

use crate::breaker::Pass;

/// Judges by the head of the answer. Gives the pass back if the body has to
/// show the rest.
pub(super) fn of_head<B>(pass: Pass, answer: &Result<Response<B>, Error>) -> Option<Pass> {
    match answer {
        Ok(response) if response.status().is_server_error() => {
            pass.failure("status_5xx");
            None
        }
        Ok(_) => Some(pass),
        Err(Error::HttpRequestDenied | Error::DestinationIpProhibited) => None,
        Err(error) => {
            of_error(pass, error);
            None
        }
    }
}

/// Judges by how the body broke off.
pub(super) fn of_body(pass: Option<Pass>, error: &Error) {
    if let Some(pass) = pass {
        of_error(pass, error);
    }
}

fn of_error(pass: Pass, error: &Error) {
    match cause(error) {
        Some(cause) => pass.failure(cause),
        None => pass.success(),
    }
}

/// What failed, in a word for the log; nothing if the app did answer.
fn cause(error: &Error) -> Option<&'static str> {
    match error {
        Error::HttpResponseHeaderSectionSize(_) | Error::HttpResponseBodySize(_) => None,
        Error::DestinationNotFound => Some("name_not_found"),
        Error::ConnectionRefused => Some("connection_refused"),
        Error::ConnectionTimeout => Some("connect_timeout"),
        Error::TlsProtocolError | Error::TlsCertificateError | Error::TlsAlertReceived { .. } => {
            Some("tls")
        }
        Error::HttpResponseTimeout => Some("timeout"),
        Error::HttpResponseIncomplete => Some("incomplete_answer"),
        Error::HttpProtocolError => Some("malformed_answer"),
        _ => Some("connection_broken"),
    }
}
