//! Bodies: read to a bound, and written.
//!
//! Owns the two ends of `stream<u8>`. A body that breaks off is an error, never
//! a shorter body: its last word is the future that comes with the stream.

use crate::bindings::wasi::http::types::{ErrorCode, Fields, Response, Trailers};
use crate::bindings::{wit_future, wit_stream};
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

/// Room for a body of unknown length; it doubles as the body grows.
const UNKNOWN_BYTES: usize = 16 << 10;

/// Room that an announcement alone can claim: many calls share the memory.
const MAX_CLAIMED_BYTES: usize = 256 << 10;

/// Why there is no body. Reach: the call.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// More bytes than allowed.
    TooLarge,
    /// The sender or the connection failed.
    Broken(ErrorCode),
}

/// Reads a body of at most `limit` bytes.
///
/// `announced` is its Content-Length, if there is one: it saves reads, and an
/// announcement above the limit saves all of them. A body of that length is
/// whole (RFC 9112, section 6.3), so nobody asks how it ended.
pub(crate) async fn read(
    mut stream: StreamReader<u8>,
    end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    announced: Option<usize>,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(BodyError::TooLarge);
    }
    // One byte more, so that the read that finds the end needs no larger buffer.
    let room = announced.unwrap_or(UNKNOWN_BYTES).min(MAX_CLAIMED_BYTES) + 1;
    let mut body = Vec::with_capacity(room);
    loop {
        let result;
        (result, body) = stream.read(body).await;
        if body.len() > limit {
            return Err(BodyError::TooLarge);
        }
        match result {
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => break,
        }
        if announced == Some(body.len()) {
            return Ok(body);
        }
        if body.len() == body.capacity() {
            body.reserve(UNKNOWN_BYTES);
        }
    }
    drop(stream);
    match end.await {
        Ok(_trailers) => Ok(body),
        Err(code) => Err(BodyError::Broken(code)),
    }
}

/// An answer with a body, which is sent while the caller goes on.
pub(crate) fn respond(status: u16, headers: Fields, body: Vec<u8>) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    // A status outside 100–999 is the only refusal; ours are constants.
    let _ = response.set_status_code(status);
    wit_bindgen::spawn_local(async move {
        // What the host does not take, nobody waits for.
        let _ = writer.write_all(body).await;
    });
    response
}
