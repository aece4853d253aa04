//! A scorer's pod: an address of this machine on which the scorer's port answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use serving::wire::SCORER_PORT;

/// A scorer that answers every request with its name.
pub(crate) struct Replica {
    pub(crate) ip: String,
    pub(crate) count: Arc<AtomicUsize>,
    /// Hop secrets that it was shown.
    pub(crate) hops: Arc<Mutex<Vec<Option<String>>>>,
}

/// An address of this machine that nobody else uses.
fn address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, SeqCst).to_be_bytes();
    let process = std::process::id();
    let own = u8::try_from(process % 251).expect("small") ^ high;
    Ipv4Addr::new(127, 2 + u8::try_from(process / 251 % 250).expect("small"), own, low)
}

impl Replica {
    pub(crate) fn start(name: &str) -> Self {
        // Another process may have the address.
        let (address, listener) = (0..1000)
            .find_map(|_| {
                let address = address();
                Some((address, TcpListener::bind((address, SCORER_PORT)).ok()?))
            })
            .expect("a free address");
        let replica = Self { ip: address.to_string(), count: Arc::default(), hops: Arc::default() };
        let (name, count, hops) = (name.to_owned(), Arc::clone(&replica.count), Arc::clone(&replica.hops));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (name, count, hops) = (name.clone(), Arc::clone(&count), Arc::clone(&hops));
                std::thread::spawn(move || while exchange(&stream, &name, &count, &hops).is_some() {});
            }
        });
        replica
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }
}

fn exchange(mut stream: &TcpStream, name: &str, count: &AtomicUsize, hops: &Mutex<Vec<Option<String>>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let (mut length, mut hop) = (0, None);
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().expect("a length"),
            "x-azureml-hop" => hop = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    hops.lock().expect("not poisoned").push(hop);
    count.fetch_add(1, SeqCst);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
    if stream.write_all(answer.as_bytes()).is_err() {
        let _ = stream.shutdown(Shutdown::Both);
        return None;
    }
    Some(())
}
