//! Bodies: finding their bytes and their end, whatever pieces they arrive in.

use super::Framing;
use super::field::is_token;

/// Bytes of chunk extensions that one chunk may carry; they are skipped.
const MAX_EXTENSION: u32 = 256;
/// Bytes of trailer fields; they are checked and dropped, because a trailer must never become a header.
const MAX_TRAILERS: u32 = 8 * 1024;

/// What the next bytes of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// After `skip` bytes of framing come `length` bytes of the body, at least one.
    Data {
        /// Bytes to drop.
        skip: usize,
        /// Bytes of the body after them.
        length: usize,
    },
    /// The input ends within the body after `skip` bytes of framing.
    More {
        /// Bytes to drop.
        skip: usize,
    },
    /// The body ends after `skip` bytes of framing; what follows is the next message's.
    End {
        /// Bytes to drop.
        skip: usize,
    },
}

/// Why a body is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(pub &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes left of a sized body or of a chunk's data.
    Sized(u64),
    UntilClose,
    Done,
    /// In the digits of a chunk size.
    Size {
        value: u64,
        digits: u32,
    },
    Extension {
        length: u32,
    },
    SizeEnd {
        value: u64,
    },
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    /// At the start of a line of the trailer section.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
}

/// Decodes one body.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// Size of the chunk whose extension is being skipped.
    size: u64,
    trailers: u32,
}

impl Decoder {
    /// For a body of this framing.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Sized(0) => State::Done,
            Framing::Sized(length) => State::Sized(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, size: 0, trailers: 0 }
    }

    /// The last byte of the body was taken.
    #[must_use]
    pub const fn done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The body ends here, because its connection did.
    ///
    /// # Errors
    /// Unless it is one that ends so.
    pub const fn closed(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError("the connection was closed within the body")),
        }
    }

    /// Says what the next bytes of the input are. The caller takes exactly those, `skip` and `length`, off the input.
    ///
    /// # Errors
    /// Broken chunks. Nothing after them can be trusted.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let mut skip = 0;
        loop {
            match self.state {
                State::Done => return Ok(Step::End { skip }),
                State::UntilClose | State::Sized(_) | State::Chunk(_) => {
                    let rest = input.len() - skip;
                    if rest == 0 {
                        return Ok(Step::More { skip });
                    }
                    return Ok(Step::Data { skip, length: self.take(rest) });
                }
                _ => {}
            }
            let Some(byte) = input.get(skip) else { return Ok(Step::More { skip }) };
            self.state = self.framing_byte(*byte)?;
            skip += 1;
        }
    }

    /// Takes up to `available` bytes of data.
    fn take(&mut self, available: usize) -> usize {
        let (State::Sized(left) | State::Chunk(left)) = self.state else { return available };
        let length = usize::try_from(left).map_or(available, |left| left.min(available));
        let left = left - length as u64;
        self.state = match self.state {
            State::Chunk(_) if left == 0 => State::ChunkCr,
            State::Chunk(_) => State::Chunk(left),
            _ if left == 0 => State::Done,
            _ => State::Sized(left),
        };
        length
    }

    /// The state after one byte of chunked framing.
    fn framing_byte(&mut self, byte: u8) -> Result<State, BodyError> {
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == 15 {
                    return Err(BodyError("the chunk size is too large"));
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(BodyError("a chunk has no size")),
            (State::Size { value, .. }, b'\r') => State::SizeEnd { value },
            (State::Size { value, .. }, b';' | b' ' | b'\t') => {
                self.size = value;
                State::Extension { length: 1 }
            }
            (State::Extension { .. }, b'\r') => State::SizeEnd { value: self.size },
            (State::Extension { length }, _) if length < MAX_EXTENSION && (byte == b'\t' || visible(byte)) => {
                State::Extension { length: length + 1 }
            }
            (State::SizeEnd { value: 0 } | State::TrailerLf, b'\n') => State::TrailerStart,
            (State::SizeEnd { value }, b'\n') => State::Chunk(value),
            (State::ChunkCr, b'\r') => State::ChunkLf,
            (State::ChunkLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => State::Done,
            (State::TrailerStart | State::TrailerName, _) if is_token(byte) => self.trailer(State::TrailerName)?,
            (State::TrailerName, b':') => self.trailer(State::TrailerValue)?,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, _) if byte == b'\t' || visible(byte) => self.trailer(State::TrailerValue)?,
            (State::Size { .. } | State::Extension { .. } | State::SizeEnd { .. }, _) => {
                return Err(BodyError("the line of a chunk size is broken"));
            }
            (State::ChunkCr | State::ChunkLf, _) => return Err(BodyError("a chunk does not end with CRLF")),
            _ => return Err(BodyError("the trailer section is broken")),
        })
    }

    fn trailer(&mut self, next: State) -> Result<State, BodyError> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS { Err(BodyError("the trailer section is too large")) } else { Ok(next) }
    }
}

/// SP, a visible character, or `obs-text`.
const fn visible(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes an input that arrives in pieces; the body, and what follows it once it has ended.
    fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<Vec<u8>>), BodyError> {
        let mut decoder = Decoder::new(framing);
        let (mut body, mut input) = (Vec::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                match decoder.step(&input)? {
                    Step::Data { skip, length } => {
                        body.extend(input.drain(..skip + length).skip(skip));
                    }
                    Step::More { skip } | Step::End { skip } => {
                        input.drain(..skip);
                        break;
                    }
                }
            }
        }
        Ok((body, decoder.done().then_some(input)))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_taken_off() {
        let input: &[u8] = b"3\r\nabc\r\nA;name=\"v\"\r\n0123456789\r\n0\r\nDigest: x\r\n\r\nGET";
        assert_eq!(decode(Framing::Chunked, &[input]), Ok((b"abc0123456789".to_vec(), Some(b"GET".to_vec()))));
    }

    #[test]
    fn broken_chunks_are_errors() {
        for input in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\na\r\n",
            "0x1\r\na\r\n",
            "1\na\r\n",
            "1\r\naX\r\n",
            "1\r\nab",
            "1\r\na\n",
            "fffffffffffffffff\r\n",
            "1 \x01\r\n",
            "0\r\n : x\r\n\r\n",
            "0\r\nbad name: x\r\n\r\n",
            "0\r\na: \x00\r\n\r\n",
            "0\r\n\n",
            "0\r\nname\r\n\r\n",
            "1;\n\r\na\r\n",
        ] {
            assert!(decode(Framing::Chunked, &[input.as_bytes()]).is_err(), "{input:?}");
        }
    }

    #[test]
    fn endless_extensions_and_trailers_are_errors() {
        let extension = format!("1;{}", "x".repeat(1000));
        assert!(decode(Framing::Chunked, &[extension.as_bytes()]).is_err());
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(5000));
        assert!(decode(Framing::Chunked, &[trailers.as_bytes()]).is_err());
    }

    #[test]
    fn a_closed_connection_ends_only_the_body_that_ends_so() {
        assert!(Decoder::new(Framing::UntilClose).closed().is_ok());
        assert!(Decoder::new(Framing::Sized(1)).closed().is_err());
        assert!(Decoder::new(Framing::Chunked).closed().is_err());
    }

    fn split<'i>(input: &'i [u8], cuts: &[prop::sample::Index]) -> Vec<&'i [u8]> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn a_body_is_the_same_however_it_is_split(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend(format!("{:x}\r\n", chunk.len()).bytes());
                input.extend(chunk);
                input.extend(b"\r\n");
            }
            input.extend(b"0\r\n\r\nnext");
            let expected = (chunks.concat(), Some(b"next".to_vec()));
            prop_assert_eq!(decode(Framing::Chunked, &split(&input, &cuts)), Ok(expected));
        }

        #[test]
        fn any_bytes_decode_the_same_however_they_are_split(
            input in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\r\n0123af;: ".to_vec())], 0..80),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let (whole, pieces) = (decode(Framing::Chunked, &[&input]), decode(Framing::Chunked, &split(&input, &cuts)));
            prop_assert_eq!(whole, pieces);
        }
    }
}
