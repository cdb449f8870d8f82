//! The entry point, generated.

use spin_sdk::http::Request;
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::ErrorCode;

use crate::Answer;

#[http_service]
async fn handle(request: Request) -> Result<Answer, ErrorCode> {
    crate::answer(request).await
}
