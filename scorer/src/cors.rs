//! Answers that browsers accept from other origins (R§15.7).

use crate::head::Head;

/// Gives the headers that an answer needs, when its request comes from one of the origins.
pub(crate) fn each(origins: &[String], head: &Head, mut give: impl FnMut(&'static str, &str)) {
    if origins.is_empty() {
        return;
    }
    let Some(origin) = head.header("origin") else { return };
    if !origins.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(origin)) {
        return;
    }
    give("access-control-allow-origin", origin);
    give("vary", "Origin");
    if head.method() == "OPTIONS" && head.header("access-control-request-method").is_some() {
        give("access-control-allow-methods", "GET, POST");
        if let Some(headers) = head.header("access-control-request-headers") {
            give("access-control-allow-headers", headers);
        }
    }
}
