//! Request bodies: small ones are gathered, large ones streamed.

use std::io::IoSlice;

use serving::error::RouterError;

use super::buffer::Buffer;
use super::call::{Body, Call};
use super::connection::Connection;
use super::event_loop::{Instant, Reader, Timer, Writer};
use crate::config::{Config, ms};
use crate::http1::body::{BodyError, Step};
use crate::http1::{Framing, encode};

/// Why a body did not get through.
#[derive(Debug)]
pub(super) enum UploadError {
    /// The caller closed the connection within it.
    CallerLeft,
    /// The caller's fault; the answer that it gets.
    Caller(RouterError),
    /// The replica takes no more of it.
    Replica,
}

impl From<BodyError> for UploadError {
    fn from(error: BodyError) -> Self {
        Self::Caller(RouterError::Malformed { reason: error.0 })
    }
}

/// Counts bytes of the body against the limit.
fn count(body: &mut Body, length: usize, config: &Config) -> Result<(), UploadError> {
    body.received += length as u64;
    let limit = config.limits.body_bytes;
    if body.received > limit { Err(UploadError::Caller(RouterError::BodyTooLarge { limit })) } else { Ok(()) }
}

/// Reads more of the body, within the time between two pieces.
async fn more(
    reader: &mut Reader,
    buffer: &mut Buffer,
    timer: &mut Timer,
    config: &Config,
    room: usize,
) -> Result<(), UploadError> {
    let limit = ms(config.timeouts.body_ms);
    match timer.until(Instant::now() + limit, reader.fill(buffer, room)).await {
        Ok(Ok(0) | Err(_)) => Err(UploadError::CallerLeft),
        Ok(Ok(_)) => Ok(()),
        Err(_) => Err(UploadError::Caller(RouterError::RequestTimeout { seconds: limit.as_secs().max(1) })),
    }
}

/// Gathers the body until it is complete, or as large as may be kept.
pub(super) async fn gather(connection: &mut Connection, call: &mut Call) -> Result<(), UploadError> {
    let config = &connection.thread.config;
    let most = config.limits.kept_body_bytes;
    let body = &mut call.body;
    loop {
        match body.decoder.step(&connection.buffer)? {
            Step::Data { skip, length } => {
                connection.buffer.advance(skip);
                count(body, length, config)?;
                body.kept.extend_from_slice(&connection.buffer[..length]);
                connection.buffer.advance(length);
                if body.kept.len() > most {
                    return Ok(());
                }
            }
            Step::End { skip } => {
                connection.buffer.advance(skip);
                return Ok(());
            }
            Step::More { skip } => {
                connection.buffer.advance(skip);
                let expected = match body.framing {
                    Framing::Sized(length) => usize::try_from(length).map_or(most, |length| length.min(most)),
                    _ => 0,
                };
                body.kept.reserve(expected.saturating_sub(body.kept.len()));
                let room = expected.saturating_sub(body.kept.len()).max(4096);
                let Connection { stream, buffer, timer, .. } = connection;
                more(&mut stream.reader, buffer, timer, config, room).await?;
            }
        }
    }
}

/// Sends the rest of a body to a replica as it arrives.
pub(super) async fn stream(
    reader: &mut Reader,
    buffer: &mut Buffer,
    body: &mut Body,
    replica: &mut Writer,
    config: &Config,
) -> Result<(), UploadError> {
    let mut timer = Timer::new();
    let chunked = body.framing == Framing::Chunked;
    let kept = std::mem::take(&mut body.kept);
    if !kept.is_empty() {
        send(replica, &mut timer, &kept, chunked, config).await?;
    }
    loop {
        match body.decoder.step(buffer)? {
            Step::Data { skip, length } => {
                buffer.advance(skip);
                count(body, length, config)?;
                send(replica, &mut timer, &buffer[..length], chunked, config).await?;
                buffer.advance(length);
            }
            Step::End { skip } => {
                buffer.advance(skip);
                if chunked {
                    write(replica, &mut timer, &mut [IoSlice::new(encode::LAST_CHUNK)], config).await?;
                }
                return Ok(());
            }
            Step::More { skip } => {
                buffer.advance(skip);
                more(reader, buffer, &mut timer, config, super::LARGE_BUFFER).await?;
            }
        }
    }
}

async fn send(
    replica: &mut Writer,
    timer: &mut Timer,
    data: &[u8],
    chunked: bool,
    config: &Config,
) -> Result<(), UploadError> {
    if !chunked {
        return write(replica, timer, &mut [IoSlice::new(data)], config).await;
    }
    let mut size = Vec::with_capacity(18);
    encode::chunk_head(&mut size, data.len());
    let mut pieces = [IoSlice::new(&size), IoSlice::new(data), IoSlice::new(encode::CHUNK_END)];
    write(replica, timer, &mut pieces, config).await
}

async fn write(
    replica: &mut Writer,
    timer: &mut Timer,
    pieces: &mut [IoSlice<'_>],
    config: &Config,
) -> Result<(), UploadError> {
    let deadline = Instant::now() + ms(config.timeouts.body_ms);
    match timer.until(deadline, replica.write_all(pieces)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(UploadError::Replica),
    }
}
