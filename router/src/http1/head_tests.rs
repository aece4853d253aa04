//! Properties of the head parsers: any bytes, in any pieces.

use proptest::prelude::*;
use serving::error::RouterError;

use super::request::Method;
use super::{Framing, HeadLimits, fields, request, response};

const LIMITS: HeadLimits = HeadLimits { bytes: 2048, fields: 16 };

/// What a parse says, without borrowing.
#[derive(Clone, Debug, PartialEq)]
struct Parsed {
    method: Method,
    path: String,
    fields: Vec<(String, Vec<u8>)>,
    framing: Framing,
    length: usize,
}

fn parse(bytes: &[u8]) -> Result<Option<Parsed>, RouterError> {
    let mut room = fields();
    let parsed = request::parse(bytes, &mut room, LIMITS)?;
    Ok(parsed.map(|request| Parsed {
        method: request.method,
        path: request.path.to_owned(),
        fields: request.fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect(),
        framing: request.framing,
        length: request.length,
    }))
}

/// Heads that are almost good, so that the parser gets far.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("Host: t"),
        Just("Content-Length: 3"),
        Just("Transfer-Encoding: chunked"),
        Just("Connection: close, x"),
        Just("X-A: b"),
        Just("X-A:"),
        Just(" folded"),
        Just("Expect: 100-continue"),
        Just("azureml-model-deployment: v"),
    ];
    let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
    let lines = prop::collection::vec((line, end), 0..8);
    let start = prop_oneof![
        Just("GET / HTTP/1.1\r\n"),
        Just("POST http://h/p?q HTTP/1.1\r\n"),
        Just("get / HTTP/1.1\r\n"),
        Just("GET / HTTP/1.0\r\n"),
    ];
    let noise = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (start, lines, noise).prop_map(|(start, lines, noise)| {
        let mut head = start.as_bytes().to_vec();
        head.extend(lines.iter().flat_map(|(line, end)| [line.as_bytes(), end.as_bytes()].concat()));
        head.extend(b"\r\n");
        for (place, byte) in noise {
            let place = place.index(head.len());
            head[place] = byte;
        }
        head
    })
}

proptest! {
    #[test]
    fn a_request_head_is_the_same_however_it_arrives(head in almost(), next in prop::collection::vec(any::<u8>(), 0..20)) {
        let whole = [head.clone(), next].concat();
        let expected = parse(&whole);
        for end in 0..whole.len() {
            match parse(&whole[..end]) {
                // More bytes never change a verdict.
                Ok(Some(parsed)) => prop_assert_eq!(Ok(Some(parsed)), expected.clone()),
                Err(_) => prop_assert!(expected.is_err()),
                Ok(None) => {}
            }
        }
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
        let _ = response::parse(&bytes, &mut fields(), LIMITS, Method::Get);
    }

    #[test]
    fn an_accepted_request_has_one_host_and_at_most_one_framing(head in almost()) {
        if let Ok(Some(parsed)) = parse(&head) {
            let count = |name: &str| parsed.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).count();
            prop_assert!(count("host") <= 1);
            prop_assert!(count("content-length") + count("transfer-encoding") <= 1);
            prop_assert!(parsed.length <= head.len());
        }
    }

    #[test]
    fn a_response_head_is_the_same_however_it_arrives(
        lines in prop::collection::vec(
            prop::sample::select(vec!["Content-Length: 3", "Transfer-Encoding: chunked", "Connection: close", "A: b", " x"]), 0..5,
        ),
        status in 90_u16..620,
    ) {
        let lines: Vec<String> = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} Reason\r\n{}\r\n", lines.concat());
        let verdict = |bytes: &[u8]| {
            response::parse(bytes, &mut fields(), LIMITS, Method::Get)
                .map(|parsed| parsed.map(|response| (response.status, response.framing, response.length)))
        };
        let expected = verdict(head.as_bytes());
        for end in 0..head.len() {
            let part = verdict(&head.as_bytes()[..end]);
            prop_assert!(part == Ok(None) || part == expected);
        }
    }
}
