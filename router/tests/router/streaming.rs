//! Bodies: large, chunked, invited, pipelined.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::support::{KEY, Router, TestReplica, TestService};

/// Peak memory of this process in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") * 1024
}

#[test]
fn large_bodies_stream_both_ways_in_constant_memory() {
    const SIZE: u64 = 192 << 20;
    let replica = TestReplica::start("r", |exchange| {
        assert_eq!(exchange.field("expect"), Some("100-continue"));
        exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
        let mut received = 0;
        assert!(exchange.each_piece(|piece| received += piece.len() as u64));
        assert_eq!(received, SIZE);
        exchange.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n"));
        let piece = vec![b'b'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            exchange.write(&piece);
        }
    });
    let service = TestService::new("a", &[&replica]);
    let mut config = Router::config();
    config.limits.body_bytes = 1 << 30;
    let router = Router::start(config, &[&service]);
    let mut client = router.client();
    let before = peak_memory();
    client.send(format!(
        "POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {SIZE}\r\n\r\n",
        service.path()
    ));
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        client.send(&piece);
    }
    let head = client.head().expect("a head");
    assert_eq!((head.status, head.field("content-length")), (200, Some(SIZE.to_string().as_str())));
    client.skip(SIZE);
    let grown = peak_memory() - before;
    assert!(grown < 32 << 20, "memory grew by {} MB", grown >> 20);
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").response().status, 200);
}

#[test]
fn a_slow_reader_holds_the_replica_back() {
    const PIECES: usize = 256;
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let replica = TestReplica::start("r", move |exchange| {
        exchange.body();
        exchange.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", PIECES << 20));
        let piece = vec![b'b'; 1 << 20];
        for _ in 0..PIECES {
            exchange.write(&piece);
            count.fetch_add(1, SeqCst);
        }
    });
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    client.post(&service.path(), "");
    assert_eq!(client.head().expect("a head").status, 200);
    // What fits into the sockets' buffers goes ahead, no more: the replica stands until the caller reads.
    client.skip(1 << 20);
    assert!(written.load(SeqCst) < PIECES / 2);
    client.skip((PIECES as u64 - 1) << 20);
}

#[test]
fn a_chunked_body_that_is_small_arrives_with_its_length_and_a_large_one_in_chunks() {
    let replica = TestReplica::start("r", |exchange| {
        let length = exchange.field("content-length").map(str::to_owned);
        let coding = exchange.field("transfer-encoding").map(str::to_owned);
        if exchange.field("expect").is_some() {
            exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let body = exchange.body();
        exchange.ok(format!("{length:?} {coding:?} {}", body.len()));
    });
    let service = TestService::new("a", &[&replica]).anonymous();
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    let head = format!("POST {} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n", service.path());
    client.send(&head).send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "Some(\"5\") None 5");
    client.send(&head);
    for _ in 0..100 {
        client.send(format!("{:x}\r\n", 3000)).send(vec![b'x'; 3000]).send("\r\n");
    }
    assert_eq!(client.send("0\r\nTrailer-Field: dropped\r\n\r\n").response().text(), "None Some(\"chunked\") 300000");
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").response().status, 200);
}

#[test]
fn a_caller_that_waits_for_its_invitation_gets_it_when_the_body_is_wanted() {
    let replica = TestReplica::echo("r");
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let expect = "Expect: 100-continue\r\n";
    for size in [5, 200_000] {
        let mut client = router.client();
        client.send(format!(
            "POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {size}\r\n{expect}\r\n",
            service.path()
        ));
        assert_eq!(client.response().status, 100);
        let response = client.send(vec![b'x'; size]).response();
        assert_eq!((response.status, response.body.len()), (200, size + 2));
    }
    // An unwanted body is never invited.
    let mut client = router.client();
    client.send(format!("POST {} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n{expect}\r\n", service.path()));
    assert_eq!(client.response().status, 401);
    client.assert_closed();
}

#[test]
fn a_large_request_that_one_replica_refuses_is_run_by_another() {
    let full = TestReplica::start("full", |exchange| exchange.refuse("draining"));
    let good = TestReplica::echo("good");
    let service = TestService::new("a", &[&full, &good]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    let body = vec![b'x'; 300_000];
    for _ in 0..4 {
        assert_eq!(client.post(&service.path(), &body).response().body.len(), 300_005);
    }
}

#[test]
fn a_replica_that_answers_before_it_has_the_body_is_heard() {
    let replica = TestReplica::start("r", |exchange| {
        exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
        exchange.answer("422 Unprocessable Content", "", "too much");
        // The rest is of no interest.
        exchange.close = true;
    });
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    client.send(format!(
        "POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 1000000\r\n\r\n",
        service.path()
    ));
    let response = client.try_send(vec![b'x'; 100_000]).response();
    assert_eq!((response.status, response.text(), response.field("connection")), (422, "too much", Some("close")));
}

#[test]
fn a_streaming_response_arrives_piece_by_piece_while_the_request_still_streams() {
    let replica = TestReplica::start("r", |exchange| {
        exchange.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut total = 0;
        let mut writer = exchange.writer.try_clone().expect("a descriptor");
        exchange.each_piece(|piece| {
            use std::io::Write as _;
            total += piece.len();
            let _ = writer.write_all(format!("{:x}\r\n{}\r\n", piece.len(), "y".repeat(piece.len())).as_bytes());
        });
        exchange.write("0\r\n\r\n");
    });
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    client.send(format!(
        "POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n",
        service.path()
    ));
    // More than is kept makes it a stream; then each piece comes back before the next is sent.
    client.send(format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000)));
    assert_eq!(client.head().expect("a head").status, 200);
    client.send("0\r\n\r\n");
    client.skip(100_000);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let replica = TestReplica::echo("r");
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    let mut all = Vec::new();
    for number in 0..50 {
        let body = format!("request {number}");
        all.extend(
            format!(
                "POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
                service.path(),
                body.len()
            )
            .bytes(),
        );
    }
    client.send(&all);
    for number in 0..50 {
        assert_eq!(client.response().text(), format!("r:request {number}"));
    }
}

#[test]
fn a_request_is_understood_however_its_bytes_are_cut() {
    let replica = TestReplica::echo("r");
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        service.path()
    );
    for size in [1, 2, 7] {
        let mut client = router.client();
        for piece in request.as_bytes().chunks(size) {
            client.send(piece);
        }
        assert_eq!(client.response().text(), "r:abc");
    }
}
