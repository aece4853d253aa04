//! Compressed request bodies.

use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The coding is none of ours.
    Unknown,
    /// The body does not have its coding.
    Malformed,
    /// The decoded body is larger than it may be.
    TooLarge,
}

/// Undoes a content coding; the result has at most `limit` bytes.
pub(crate) async fn decoded(coding: &str, body: Vec<u8>, limit: usize) -> Result<Vec<u8>, Error> {
    let gzip = match coding.trim() {
        "" | "identity" => return Ok(body),
        coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => true,
        coding if coding.eq_ignore_ascii_case("deflate") => false,
        _ => return Err(Error::Unknown),
    };
    let decode = move || if gzip { read(GzDecoder::new(&*body), limit) } else { read(ZlibDecoder::new(&*body), limit) };
    // A short body can grow to a long one: not where others wait.
    tokio::task::spawn_blocking(decode).await.unwrap_or(Err(Error::Malformed))
}

fn read(decoder: impl Read, limit: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut body).map_err(|_| Error::Malformed)?;
    if body.len() > limit { Err(Error::TooLarge) } else { Ok(body) }
}
