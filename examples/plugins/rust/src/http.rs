//! Requests and answers over `wasi:http` 0.3; the same in every plugin.

use wit_bindgen::{FutureReader, StreamReader, StreamResult};

use crate::bindings::muster::roster::types::FetchError;
use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, Method, Request, Response, Scheme, Trailers,
};
use crate::bindings::{wit_future, wit_stream};

/// What the app said.
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Vec<u8>,
}

/// Sends a request, and reads the whole answer.
pub async fn send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer, FetchError> {
    let (scheme, authority, path) = parts(url).ok_or(FetchError::Denied)?;
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    let headers = Fields::from_list(&headers).map_err(|_| FetchError::Denied)?;
    let contents = (!body.is_empty()).then(|| stream(body));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(headers, contents, trailers, None);
    let denied = |()| FetchError::Denied;
    request.set_method(&method).map_err(denied)?;
    request.set_scheme(Some(&scheme)).map_err(denied)?;
    request.set_authority(Some(authority)).map_err(denied)?;
    request.set_path_with_query(Some(path)).map_err(denied)?;

    let response = client::send(request).await.map_err(failure)?;
    let status = response.get_status_code();
    let etag = response.get_headers().get("etag").pop();
    let (_, received) = wit_future::new(|| Ok(()));
    let (stream, end) = Response::consume_body(response, received);
    Ok(Answer {
        status,
        etag: etag.and_then(|etag| String::from_utf8(etag).ok()),
        body: whole(stream, end).await.map_err(failure)?,
    })
}

/// The body of a request that Muster passes on.
pub async fn read(request: Request) -> Result<Vec<u8>, ErrorCode> {
    let (_, received) = wit_future::new(|| Ok(()));
    let (stream, end) = Request::consume_body(request, received);
    whole(stream, end).await
}

/// An answer to the app.
pub fn respond(status: u16, body: &str) -> Response {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let contents = stream(body.as_bytes().to_vec());
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    let _ = response.set_status_code(status);
    response
}

/// A stream that gives these bytes to its reader.
fn stream(bytes: Vec<u8>) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        let _ = writer.write_all(bytes).await;
    });
    reader
}

/// All that a stream brings; one that breaks off is an error. The host ends
/// what is larger than the operator allows.
async fn whole(
    mut stream: StreamReader<u8>,
    end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
) -> Result<Vec<u8>, ErrorCode> {
    let mut body = Vec::with_capacity(16 << 10);
    loop {
        let result;
        (result, body) = stream.read(body).await;
        match result {
            StreamResult::Complete(_) if body.len() == body.capacity() => body.reserve(16 << 10),
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => break,
        }
    }
    drop(stream);
    end.await?;
    Ok(body)
}

/// What an answer means that is not the document it should be. Says where, and
/// quotes nothing, as serde would: it is for the log of Muster.
pub fn malformed(error: serde_json::Error) -> FetchError {
    let (line, column) = (error.line(), error.column());
    FetchError::Malformed(format!("unexpected JSON at line {line}, column {column}"))
}

/// What a failed request means to Muster.
fn failure(code: ErrorCode) -> FetchError {
    match code {
        ErrorCode::ConnectionTimeout | ErrorCode::HttpResponseTimeout => FetchError::Timeout,
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => FetchError::Denied,
        ErrorCode::HttpResponseBodySize(_) => FetchError::TooLarge,
        _ => FetchError::Unavailable,
    }
}

/// Scheme, authority, and path with query.
fn parts(url: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let slash = rest.find('/')?;
    Some((scheme, &rest[..slash], &rest[slash..]))
}
