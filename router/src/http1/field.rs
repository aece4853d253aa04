//! Names of header fields: which ones the router treats itself, and which end at the next hop.

use serving::wire;

/// A field name as far as the router cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `Authorization`.
    Authorization,
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Date`.
    Date,
    /// `azureml-model-deployment`, [`wire::PIN`] and [`wire::DEPLOYMENT`].
    Deployment,
    /// `Expect`.
    Expect,
    /// Ends at the next hop: `Keep-Alive`, `Proxy-*`, `TE`, `Trailer`, `Upgrade`.
    HopByHop,
    /// `Host`.
    Host,
    /// Between router and scorer only, [`wire::INTERNAL`]: a caller's is dropped, and a scorer's does not reach a caller.
    /// [`wire::REFUSED`] is apart.
    Internal,
    /// [`wire::REFUSED`].
    Refused,
    /// `x-request-id`.
    RequestId,
    /// `x-ms-request-id`.
    MsRequestId,
    /// `x-ms-client-request-id`.
    ClientRequestId,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// Anything else: passed on.
    Other,
}

/// Classifies a field name, in any case.
#[must_use]
pub fn classify(name: &[u8]) -> Name {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        2 if is("te") => Name::HopByHop,
        4 if is("host") => Name::Host,
        4 if is("date") => Name::Date,
        6 if is("expect") => Name::Expect,
        7 if is("trailer") || is("upgrade") => Name::HopByHop,
        10 if is("connection") => Name::Connection,
        10 if is("keep-alive") => Name::HopByHop,
        12 if is("x-request-id") => Name::RequestId,
        13 if is("authorization") => Name::Authorization,
        14 if is("content-length") => Name::ContentLength,
        15 if is("x-ms-request-id") => Name::MsRequestId,
        16 if is("proxy-connection") => Name::HopByHop,
        17 if is("transfer-encoding") => Name::TransferEncoding,
        17 if is(wire::REFUSED) => Name::Refused,
        18 if is("proxy-authenticate") => Name::HopByHop,
        19 if is("proxy-authorization") => Name::HopByHop,
        22 if is("x-ms-client-request-id") => Name::ClientRequestId,
        24 if is(wire::PIN) => Name::Deployment,
        _ if internal(name) => Name::Internal,
        _ if name.contains(&b'_') => underscored(name),
        _ => Name::Other,
    }
}

fn internal(name: &[u8]) -> bool {
    name.get(..wire::INTERNAL.len()).is_some_and(|start| start.eq_ignore_ascii_case(wire::INTERNAL.as_bytes()))
}

/// Behind a gateway that turns `-` into `_` (CGI, WSGI), `content_length` is `Content-Length`. Such a twin of a field
/// that the router treats itself would get around it, so it is dropped.
#[cold]
fn underscored(name: &[u8]) -> Name {
    let twin: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
    if classify(&twin) == Name::Other { Name::Other } else { Name::Internal }
}

/// `tchar` of RFC 9110.
#[must_use]
pub const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// What the `Connection` fields of a head say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection {
    /// `close` is listed.
    pub close: bool,
    /// `keep-alive` is listed.
    pub keep_alive: bool,
    /// Names of other fields are listed.
    pub names: bool,
}

impl Connection {
    /// Takes the value of one `Connection` field.
    pub fn add(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                self.names = true;
            }
        }
    }
}

/// The members of a comma-separated list.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(super::trim).filter(|token| !token.is_empty())
}

/// A `Connection` field among `fields` lists this name.
#[must_use]
pub fn listed(fields: &[httparse::Header<'_>], name: &str) -> bool {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("connection"))
        .flat_map(|field| tokens(field.value))
        .any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_their_underscored_twins_are_dropped() {
        assert_eq!(classify(b"CONTENT-length"), Name::ContentLength);
        assert_eq!(classify(b"content_length"), Name::Internal);
        assert_eq!(classify(b"X_AzureML-limit"), Name::Internal);
        assert_eq!(classify(b"my_header"), Name::Other);
        assert_eq!(classify(wire::LIMIT.as_bytes()), Name::Internal);
        assert_eq!(classify(wire::GRANT.as_bytes()), Name::Internal);
        assert_eq!(classify(wire::REFUSED.as_bytes()), Name::Refused);
        assert_eq!(classify(wire::BUSY.as_bytes()), Name::Internal);
        assert_eq!(classify(wire::DEADLINE.as_bytes()), Name::Internal);
        assert_eq!(classify(wire::DEPLOYMENT.as_bytes()), Name::Deployment);
    }
}
