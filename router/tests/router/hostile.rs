//! Requests that two parsers could read differently are refused, and never reach a replica.

use crate::support::{Router, TestReplica, TestService};

const SCORE: &str = "/api/v1/service/a/score";

/// What is sent, and the status of the only answer.
fn vectors() -> Vec<(&'static str, String, u16)> {
    let post = |fields: &str, body: &str| format!("POST {SCORE} HTTP/1.1\r\nHost: t\r\n{fields}\r\n{body}");
    let get = |fields: &str| format!("GET {SCORE} HTTP/1.1\r\n{fields}\r\n");
    let target = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n");
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    vec![
        ("length, then coding", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        ("coding, then length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400),
        ("the same length twice", post("Content-Length: 1\r\nContent-Length: 1\r\n", "a"), 400),
        ("two lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab"), 400),
        ("a list of lengths", post("Content-Length: 3, 3\r\n", "abc"), 400),
        ("a signed length", post("Content-Length: +3\r\n", "abc"), 400),
        ("a negative length", post("Content-Length: -3\r\n", "abc"), 400),
        ("a hexadecimal length", post("Content-Length: 0x3\r\n", "abc"), 400),
        ("an empty length", post("Content-Length: \r\n", ""), 400),
        ("a length with a blank in it", post("Content-Length: 1 1\r\n", "a"), 400),
        ("a length beyond 64 bits", post("Content-Length: 99999999999999999999\r\n", ""), 400),
        ("a length over the limit", post("Content-Length: 999999999999\r\n", ""), 413),
        ("chunked twice in one field", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400),
        (
            "chunked in two fields",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            400,
        ),
        ("another coding", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
        ("identity", post("Transfer-Encoding: identity\r\n", ""), 501),
        ("xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501),
        ("a vertical tab before chunked", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), 400),
        ("a coding in quotes", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 400),
        ("an empty coding", post("Transfer-Encoding: \r\n", ""), 400),
        ("a blank before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400),
        ("a folded line", post("X-A: b\r\n c\r\n", ""), 400),
        ("a folded first line", format!("GET {SCORE} HTTP/1.1\r\n Host: t\r\n\r\n"), 400),
        ("NUL in a value", post("X-A: b\0c\r\n", ""), 400),
        ("CR in a value", post("X-A: b\rc\r\n", ""), 400),
        ("an empty name", post(": x\r\n", ""), 400),
        ("a name with a blank", post("X A: b\r\n", ""), 400),
        ("a line without a colon", post("nonsense\r\n", ""), 400),
        ("bare LF everywhere", format!("GET {SCORE} HTTP/1.1\nHost: t\n\n"), 400),
        ("bare LF after a field", format!("GET {SCORE} HTTP/1.1\r\nHost: t\nX-A: b\r\n\r\n"), 400),
        ("bare LF at the end", format!("GET {SCORE} HTTP/1.1\r\nHost: t\r\n\n"), 400),
        ("no Host", get(""), 400),
        ("two Hosts", get("Host: a\r\nHost: b\r\n"), 400),
        ("the same Host twice", get("Host: a\r\nHost: a\r\n"), 400),
        ("an empty Host", get("Host: \r\n"), 400),
        ("a Host with a path", get("Host: a/b\r\n"), 400),
        ("a Host with user information", get("Host: u@a\r\n"), 400),
        ("a lower-case method", format!("get {SCORE} HTTP/1.1\r\nHost: t\r\n\r\n"), 400),
        ("CONNECT", "CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\n".into(), 405),
        ("TRACE", format!("TRACE {SCORE} HTTP/1.1\r\nHost: t\r\n\r\n"), 405),
        ("an unknown method", format!("BREW {SCORE} HTTP/1.1\r\nHost: t\r\n\r\n"), 501),
        ("NUL in the path", target("/api/v1/service/a%00/score"), 400),
        ("a broken escape", target("/api/v1/service/%g1/score"), 400),
        ("a half escape", target("/api/v1/service/a/score%2"), 400),
        ("a fragment", target("/api/v1/service/a/score#x"), 400),
        ("a raw high byte", target("/api/v1/service/\u{e9}/score"), 400),
        ("a target without a slash", target("api/v1/service/a/score"), 400),
        ("an absolute target of another scheme", target("ftp://t/api/v1/service/a/score"), 400),
        ("an absolute target without a host", target("http:///api/v1/service/a/score"), 400),
        ("two blanks in the request line", format!("GET  {SCORE} HTTP/1.1\r\nHost: t\r\n\r\n"), 400),
        ("a tab in the request line", format!("GET\t{SCORE} HTTP/1.1\r\nHost: t\r\n\r\n"), 400),
        ("no version", format!("GET {SCORE}\r\nHost: t\r\n\r\n"), 400),
        ("HTTP/2.0", format!("GET {SCORE} HTTP/2.0\r\nHost: t\r\n\r\n"), 505),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("HTTP/1.2", format!("GET {SCORE} HTTP/1.2\r\nHost: t\r\n\r\n"), 505),
        ("HTTP/11", format!("GET {SCORE} HTTP/11\r\nHost: t\r\n\r\n"), 400),
        ("a lower-case version", format!("GET {SCORE} http/1.1\r\nHost: t\r\n\r\n"), 400),
        ("a coding in HTTP/1.0", format!("POST {SCORE} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        ("a header of 64 KB", post(&format!("X-A: {}\r\n", "a".repeat(64 * 1024)), ""), 431),
        ("a path of 64 KB", target(&format!("/{}", "a".repeat(64 * 1024))), 414),
        ("200 headers", post(&"X-A: b\r\n".repeat(200), ""), 431),
        ("a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01".into(), 400),
        ("a blank before the method", format!(" GET {SCORE} HTTP/1.1\r\nHost: t\r\n\r\n"), 400),
        ("another expectation", post("Expect: 200-ok\r\nContent-Length: 1\r\n", "a"), 417),
        ("Connection names the length", post("Connection: content-length\r\nContent-Length: 1\r\n", "a"), 400),
        ("a chunk without a size", chunked("\r\nabc\r\n0\r\n\r\n"), 400),
        ("a chunk size that is not a number", chunked("xyz\r\nabc\r\n0\r\n\r\n"), 400),
        ("a signed chunk size", chunked("+3\r\nabc\r\n0\r\n\r\n"), 400),
        ("a chunk size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), 400),
        ("a chunk size with an underscore", chunked("1_0\r\nabc\r\n0\r\n\r\n"), 400),
        ("a chunk size beyond 64 bits", chunked("ffffffffffffffff1\r\nabc\r\n0\r\n\r\n"), 400),
        ("no CRLF after a chunk", chunked("3\r\nabcd\r\n0\r\n\r\n"), 400),
        ("bare LF after a chunk size", chunked("3\nabc\r\n0\r\n\r\n"), 400),
        ("bare LF after a chunk", chunked("3\r\nabc\n0\r\n\r\n"), 400),
        ("bare LF in an extension", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
        ("an endless extension", chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(10_000))), 400),
        ("a trailer without a name", chunked("0\r\n: x\r\n\r\n"), 400),
        ("bare LF after the trailers", chunked("0\r\na: b\r\n\n"), 400),
        ("endless trailers", chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(10_000))), 400),
    ]
}

#[test]
fn hostile_requests_are_refused_the_connection_is_closed_and_no_replica_sees_them() {
    let replica = TestReplica::echo("a");
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica]).anonymous()]);
    let mut wrong = Vec::new();
    for (what, request, status) in vectors() {
        let mut client = router.client();
        // A second request on the same connection must never be answered.
        client.try_send(request).try_send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        let response = client.try_response("GET");
        match response {
            Some(response) if response.status == status && response.field("connection") == Some("close") => {
                client.assert_closed();
            }
            other => wrong.push(format!("{what}: {other:?} instead of {status}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(replica.count(), 0);
}

#[test]
fn harmless_oddities_are_accepted() {
    let replica = TestReplica::echo("a");
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica]).anonymous()]);
    let mut client = router.client();
    for request in [
        format!("\r\nPOST {SCORE} HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"),
        format!(
            "POST {SCORE} HTTP/1.1\r\nhost:t\r\nTRANSFER-encoding:\tChunked \r\n\r\n3;x=y\r\nabc\r\n0\r\nx: y\r\n\r\n"
        ),
        format!("POST HTTP://t{SCORE} HTTP/1.1\r\nHost: t\r\nContent-Length: 0003\r\n\r\nabc"),
    ] {
        let response = client.send(&request).response();
        assert_eq!((response.status, response.text()), (200, "a:abc"), "{request}");
    }
}

#[test]
fn a_caller_that_does_not_finish_its_head_or_body_gets_a_408() {
    let replica = TestReplica::echo("a");
    let mut config = Router::config();
    (config.timeouts.head_ms, config.timeouts.body_ms) = (50, 50);
    let router = Router::start(config, &[&TestService::new("a", &[&replica]).anonymous()]);
    let mut client = router.client();
    assert_eq!(client.send("GET / HT").response().status, 408);
    client.assert_closed();
    let mut client = router.client();
    let half = format!("POST {SCORE} HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nab");
    assert_eq!(client.send(half).response().status, 408);
    client.assert_closed();
    assert_eq!(replica.count(), 0);
}

#[test]
fn an_unused_connection_is_closed_after_its_time() {
    let mut config = Router::config();
    config.timeouts.idle_ms = 30;
    let router = Router::start(config, &[]);
    let mut client = router.client();
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").response().status, 200);
    client.assert_closed();
}

#[test]
fn a_chunked_body_over_the_limit_is_a_413() {
    let replica = TestReplica::echo("a");
    let mut config = Router::config();
    config.limits.body_bytes = 10;
    let router = Router::start(config, &[&TestService::new("a", &[&replica]).anonymous()]);
    let mut client = router.client();
    let head = format!("POST {SCORE} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.send(head).try_send("b\r\n0123456789a\r\n0\r\n\r\n").response().status, 413);
    client.assert_closed();
    assert_eq!(replica.count(), 0);
}
