//! Failed exchanges: what is told of them to the guest, and how they are
//! counted.

use std::error::Error as StdError;
use std::io;

use http::StatusCode;
use wasmtime_wasi_http::Error;

use super::connect::ConnectError;

/// What became of a request, for its metric.
pub(super) fn outcome(answer: Result<StatusCode, &Error>) -> &'static str {
    match answer {
        Ok(status) if status.is_success() => "success",
        Ok(status) if status.is_redirection() => "redirection",
        Ok(status) if status.is_client_error() => "client_error",
        Ok(_) => "server_error",
        Err(Error::HttpRequestDenied | Error::DestinationIpProhibited) => "denied",
        Err(Error::HttpResponseTimeout | Error::ConnectionTimeout) => "timeout",
        Err(Error::HttpResponseHeaderSectionSize(_) | Error::HttpRequestBodySize(_)) => "too_large",
        Err(
            Error::TlsProtocolError | Error::TlsCertificateError | Error::TlsAlertReceived { .. },
        ) => "tls",
        Err(_) => "unavailable",
    }
}

/// Why an exchange failed.
pub(super) enum Failed {
    /// No address may be dialled.
    Denied,
    /// The header of the response is too large.
    Header,
    /// What the guest is told: the kind, no detail of the network.
    Other(Error),
}

impl Failed {
    pub(super) fn of(error: &hyper_util::client::legacy::Error) -> Self {
        let mut source: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(cause) = source {
            let known = None
                .or_else(|| cause.downcast_ref().map(Self::of_connect))
                .or_else(|| cause.downcast_ref().and_then(Self::of_hyper))
                .or_else(|| cause.downcast_ref().and_then(Self::of_io));
            if let Some(known) = known {
                return known;
            }
            source = cause.source();
        }
        Self::Other(Error::ConnectionTerminated)
    }

    fn of_connect(error: &ConnectError) -> Self {
        Self::Other(match error {
            ConnectError::Denied => return Self::Denied,
            ConnectError::Resolve => Error::DestinationNotFound,
            ConnectError::Refused => Error::ConnectionRefused,
            ConnectError::Timeout => Error::ConnectionTimeout,
            ConnectError::Certificate(_) => Error::TlsCertificateError,
            ConnectError::Handshake(_) | ConnectError::BrokeOff => Error::TlsProtocolError,
        })
    }

    fn of_hyper(error: &hyper::Error) -> Option<Self> {
        if error.is_parse_too_large() {
            Some(Self::Header)
        } else if error.is_incomplete_message() {
            Some(Self::Other(Error::HttpResponseIncomplete))
        } else if error.is_parse() {
            Some(Self::Other(Error::HttpProtocolError))
        } else {
            None
        }
    }

    /// With TLS 1.3 the app's word about our certificate comes after the
    /// handshake (RFC 8446, section 4.4.2.4).
    fn of_io(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref()? {
            rustls::Error::AlertReceived(_) => Some(Self::Other(Error::TlsAlertReceived {
                alert_id: None,
                alert_message: None,
            })),
            _ => Some(Self::Other(Error::TlsProtocolError)),
        }
    }
}
