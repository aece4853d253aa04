//! The sticky key of a request: what keeps a caller on one version.

use std::borrow::Cow;

use serving::service::Sticky;
use serving::slots;

use super::table::Service;
use crate::http1::request::Request;
use crate::http1::trim;

/// The slot of a request; `None` if it goes by weight: the service is not sticky, has no choice, or the request no key.
pub(super) fn slot(service: &Service, request: &Request<'_, '_>) -> Option<u16> {
    let sticky = service.sticky.as_ref()?;
    service.split.as_ref().filter(|split| split.versions.len() > 1)?;
    let key = key(sticky, request.fields, request.query)?;
    Some(slots::slot(&service.name, &key))
}

/// The first value under the configured name; an empty one is none.
fn key<'r>(sticky: &Sticky, fields: &[httparse::Header<'r>], query: Option<&'r str>) -> Option<Cow<'r, [u8]>> {
    let key = match sticky {
        Sticky::Header(name) => {
            let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            Cow::Borrowed(trim(field.value))
        }
        Sticky::Cookie(name) => Cow::Borrowed(cookie(name.as_bytes(), fields)?),
        Sticky::Query(name) => parameter(name.as_bytes(), query?)?,
    };
    (!key.is_empty()).then_some(key)
}

/// RFC 6265: names are compared exactly, and quotes are part of the value. A caller may send several fields.
fn cookie<'r>(name: &[u8], fields: &[httparse::Header<'r>]) -> Option<&'r [u8]> {
    let cookies = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("cookie"));
    cookies.flat_map(|field| field.value.split(|byte| *byte == b';')).find_map(|pair| {
        let (known, value) = pair_of(pair)?;
        (trim(known) == name).then(|| trim(value))
    })
}

/// A parameter without `=` has an empty value. A `+` is a plus.
fn parameter<'r>(name: &[u8], query: &'r str) -> Option<Cow<'r, [u8]>> {
    query.as_bytes().split(|byte| *byte == b'&').find_map(|pair| {
        let (known, value) = pair_of(pair).unwrap_or((pair, b""));
        (*decoded(known) == *name).then(|| decoded(value))
    })
}

fn pair_of(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..at], &pair[at + 1..]))
}

/// Percent-decoded; what only looks like an escape stays as it is. Allocates only if there is something to decode.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    Cow::Owned(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sticky: &Sticky, fields: &[(&str, &str)], query: Option<&str>) -> Option<String> {
        let fields: Vec<httparse::Header<'_>> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        key(sticky, &fields, query).map(|key| String::from_utf8_lossy(&key).into_owned())
    }

    #[test]
    fn a_header_is_found_in_any_case_and_the_first_one_counts() {
        let sticky = Sticky::Header("X-User".into());
        let both = [("host", "t"), ("x-user", "  ann "), ("X-USER", "bob")];
        assert_eq!(found(&sticky, &both, None).as_deref(), Some("ann"));
        assert_eq!(found(&sticky, &[("x-user", " "), ("x-user", "bob")], None), None, "an empty key is none");
        assert_eq!(found(&sticky, &[("x-users", "ann")], None), None);
    }

    #[test]
    fn a_cookie_is_found_in_any_pair_of_any_field() {
        let sticky = Sticky::Cookie("sid".into());
        let fields = [("Cookie", "a=1; SID=no; xsid=no"), ("cookie", "b; sid = one=two ;sid=later")];
        assert_eq!(found(&sticky, &fields, None).as_deref(), Some("one=two"));
        assert_eq!(found(&sticky, &[("cookie", "sid=\"q\"")], None).as_deref(), Some("\"q\""));
        for none in ["", "sid", "sid=", "a=sid", ";;="] {
            assert_eq!(found(&sticky, &[("cookie", none)], None), None, "{none}");
        }
    }

    #[test]
    fn a_query_parameter_is_compared_and_taken_after_decoding() {
        let sticky = Sticky::Query("user id".into());
        let of = |query| found(&sticky, &[], Some(query));
        assert_eq!(of("a=1&user%20id=J%C3%b6rg+x&user%20id=two").as_deref(), Some("Jörg+x"));
        assert_eq!(of("user%20id=100%&b").as_deref(), Some("100%"));
        assert_eq!(of("user%20id=%4x%41").as_deref(), Some("%4xA"));
        for none in ["", "user id", "user%20id", "user%20id=&user%20id=x", "user+id=x", "xuser%20id=x"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(found(&sticky, &[], None), None);
    }
}
