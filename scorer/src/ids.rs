//! Request ids: the three headers that carry them, and ids of our own (R§15.6).

use std::sync::{Mutex, PoisonError};

use crate::head::Head;

/// Longest id that is accepted, in bytes.
pub(crate) const LONGEST: usize = 100;
pub(crate) const REQUEST: &str = "x-request-id";
const LEGACY: &str = "x-ms-request-id";
const CLIENT: &str = "x-ms-client-request-id";
const TRACE: &str = "traceid";

/// The header whose id is too long.
pub(crate) fn too_long(head: &Head) -> Option<&'static str> {
    [REQUEST, LEGACY, CLIENT].into_iter().find(|name| head.header(name).is_some_and(|id| id.len() > LONGEST))
}

/// Gives the headers of an answer, by the original's echo matrix.
pub(crate) fn each(head: &Head, request_id: &str, mut give: impl FnMut(&'static str, &str)) {
    let (mut legacy, mut client, mut trace) = (None, None, None);
    for (name, value) in head.headers() {
        let place = match name.len() {
            15 if name.eq_ignore_ascii_case(LEGACY) => &mut legacy,
            22 if name.eq_ignore_ascii_case(CLIENT) => &mut client,
            7 if name.eq_ignore_ascii_case(TRACE) => &mut trace,
            _ => continue,
        };
        place.get_or_insert(value);
    }
    give(REQUEST, request_id);
    give(LEGACY, legacy.or(client).unwrap_or(request_id));
    if let Some(client) = client.or(legacy) {
        give(CLIENT, client);
    }
    if let Some(trace) = trace {
        give("TraceId", trace);
    }
}

/// Makes random ids; asks the kernel for randomness once for many.
#[derive(Default)]
pub(crate) struct Generator(Mutex<Random>);

struct Random {
    bytes: [u8; 4096],
    used: usize,
}

impl Default for Random {
    fn default() -> Self {
        Self { bytes: [0; 4096], used: 4096 }
    }
}

impl Generator {
    /// A UUID of version 4.
    pub(crate) fn next(&self) -> String {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Random { bytes, used } = &mut *random;
        if *used + 16 > bytes.len() {
            if getrandom::fill(bytes).is_err() {
                return uuid::Uuid::new_v4().to_string();
            }
            *used = 0;
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[*used..*used + 16]);
        *used += 16;
        uuid::Builder::from_random_bytes(id).into_uuid().to_string()
    }
}
