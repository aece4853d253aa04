//! Request ids: taken from the caller or made, passed on, and echoed as the original does.

use serving::error::RouterError;

use crate::http1::encode;
use crate::http1::field::Name;

/// Longest id, in bytes.
const MAX_ID: usize = 100;

/// The ids of one request. `x-request-id` is made when the caller sends none; the other two are the caller's.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    pub(super) request: String,
    ms: Option<String>,
    client: Option<String>,
    /// The first id that was too long; such ids are not kept.
    too_long: Option<&'static str>,
}

impl Ids {
    /// Takes an id field. Ids are text: other bytes than visible ASCII and blanks are replaced.
    pub(super) fn add(&mut self, name: Name, value: &[u8]) {
        let header = match name {
            Name::RequestId => "x-request-id",
            Name::MsRequestId => "x-ms-request-id",
            _ => "x-ms-client-request-id",
        };
        if value.len() > MAX_ID {
            self.too_long.get_or_insert(header);
            return;
        }
        let visible = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' };
        let text: String = value.iter().map(visible).collect();
        if text.is_empty() {
            return;
        }
        match name {
            Name::RequestId => self.request = text,
            Name::MsRequestId => self.ms = Some(text),
            _ => self.client = Some(text),
        }
    }

    /// Makes the request's id if the caller has not.
    pub(super) fn complete(&mut self, random: u128) {
        if self.request.is_empty() {
            self.request = uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid().to_string();
        }
    }

    /// An id longer than allowed is an error.
    pub(super) fn check(&self) -> Result<(), RouterError> {
        self.too_long.map_or(Ok(()), |header| Err(RouterError::RequestIdTooLong { header }))
    }

    /// Appends the fields that a replica gets: the caller's, and the request's.
    pub(super) fn forward(&self, out: &mut Vec<u8>) {
        encode::field(out, b"x-request-id", self.request.as_bytes());
        for (name, id) in [("x-ms-request-id", &self.ms), ("x-ms-client-request-id", &self.client)] {
            if let Some(id) = id {
                encode::field(out, name.as_bytes(), id.as_bytes());
            }
        }
    }

    /// Appends the fields of the router's own answers.
    pub(super) fn echo(&self, out: &mut Vec<u8>) {
        encode::field(out, b"x-request-id", self.request.as_bytes());
        let ms = self.ms.as_ref().or(self.client.as_ref()).unwrap_or(&self.request);
        encode::field(out, b"x-ms-request-id", ms.as_bytes());
        if let Some(client) = self.client.as_ref().or(self.ms.as_ref()) {
            encode::field(out, b"x-ms-client-request-id", client.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoed(ids: &[(Name, &str)]) -> String {
        let mut all = Ids::default();
        for (name, value) in ids {
            all.add(*name, value.as_bytes());
        }
        all.request.clone_from(&"A".to_owned());
        let mut out = Vec::new();
        all.echo(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn ids_are_echoed_as_the_original_does() {
        let fields = |ms: &str, client: &str| {
            let client =
                if client.is_empty() { String::new() } else { format!("x-ms-client-request-id: {client}\r\n") };
            format!("x-request-id: A\r\nx-ms-request-id: {ms}\r\n{client}")
        };
        assert_eq!(echoed(&[]), fields("A", ""));
        assert_eq!(echoed(&[(Name::MsRequestId, "B")]), fields("B", "B"));
        assert_eq!(echoed(&[(Name::ClientRequestId, "C")]), fields("C", "C"));
        assert_eq!(echoed(&[(Name::MsRequestId, "B"), (Name::ClientRequestId, "C")]), fields("B", "C"));
    }

    #[test]
    fn a_missing_id_is_made_and_a_long_one_is_refused() {
        let mut ids = Ids::default();
        ids.complete(1);
        assert_eq!(ids.request.len(), 36);
        ids.add(Name::ClientRequestId, &[b'x'; 100]);
        assert!(ids.check().is_ok());
        ids.add(Name::MsRequestId, &[b'x'; 101]);
        assert_eq!(ids.check(), Err(RouterError::RequestIdTooLong { header: "x-ms-request-id" }));
    }
}
