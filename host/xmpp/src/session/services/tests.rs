//! Every service at every place, and the verification string.

use super::*;

#[test]
fn no_request_is_understood_twice() {
    let mut seen = Vec::new();
    for service in SERVICES {
        for request in service.requests {
            let key = (service.namespace, request);
            assert!(!seen.contains(&key), "{key:?}");
            seen.push(key);
        }
    }
}
