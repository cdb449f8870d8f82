//! `POST /roster_admin/ping`: the app says that it is back.

use axum::response::Response;
use http::Method;

use crate::hosts::VirtualHost;
use crate::http::answer;

/// The app is asked again at once, not with the next probe. Answered without
/// the plugin, which may be what does not work; whatever body there is stays
/// unread.
pub(super) fn answer(host: &VirtualHost, method: &Method) -> Response {
    if *method != Method::POST {
        return answer::method_not_allowed_but("POST");
    }
    let closed = host.plugin.app_is_back();
    metrics::counter!("muster_admin_requests_total", "outcome" => "ping").increment(1);
    tracing::info!(vhost = %host.domain, closed, "the app says that it is back");
    answer::ok(&format!("welcome back; circuit breakers closed: {closed}"))
}
