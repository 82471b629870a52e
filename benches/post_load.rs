//! Posts messages over many connections as fast as the archive answers, and tells how fast that was.
//!
//! `post_load ADDRESS PATH HEADERS TEMPLATE ACCEPTED CONNECTIONS SECONDS`, started by `bench.py push` and `forms`.
//! HEADERS are lines of a request's head, one after the other. The template is a message whose numbers contain the
//! placeholder; each message gets a number of its own there. ACCEPTED stands in every answer that took one. Only the
//! standard library is used: the generator shares the machine with the archive, so it must cost as little as it can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Stands in the template wherever the message's own number belongs; as long as the number.
const PLACEHOLDER: &[u8] = b"@@@@@@@@@@@@";
/// No answer is longer.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [
        address,
        path,
        headers,
        template,
        accepted,
        connections,
        seconds,
    ] = arguments.as_slice()
    else {
        panic!("usage: post_load ADDRESS PATH HEADERS TEMPLATE ACCEPTED CONNECTIONS SECONDS");
    };
    let template = std::fs::read(template).expect("the template is readable");
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {}\r\n\r\n",
        template.len()
    );
    let request = [head.as_bytes(), &template].concat();
    let connections: usize = connections.parse().expect("a number of connections");
    let run_for = Duration::from_secs(seconds.parse().expect("a number of seconds"));

    let began = Instant::now();
    let mut latencies_us: Vec<u64> = thread::scope(|scope| {
        let posters: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    Poster::connect(address, &request).run_until(began + run_for, accepted)
                })
            })
            .collect();
        posters
            .into_iter()
            .flat_map(|poster| poster.join().expect("a poster failed"))
            .collect()
    });
    let took = began.elapsed().as_secs_f64();

    latencies_us.sort_unstable();
    let quantile_ms =
        |q: f64| latencies_us[((latencies_us.len() - 1) as f64 * q) as usize] as f64 / 1000.0;
    println!(
        r#"{{"posts":{},"per_s":{:.1},"p50_ms":{:.2},"p99_ms":{:.2},"max_ms":{:.2}}}"#,
        latencies_us.len(),
        latencies_us.len() as f64 / took,
        quantile_ms(0.50),
        quantile_ms(0.99),
        quantile_ms(1.0),
    );
}

/// One kept-alive connection with its request, of which only the numbers change.
struct Poster {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    number_places: Vec<usize>,
}

impl Poster {
    fn connect(address: &str, request: &[u8]) -> Self {
        let stream = TcpStream::connect(address).expect("the archive listens");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let request = request.to_vec();
        let number_places: Vec<usize> = request
            .windows(PLACEHOLDER.len())
            .enumerate()
            .filter_map(|(place, window)| (window == PLACEHOLDER).then_some(place))
            .collect();
        assert!(
            !number_places.is_empty(),
            "the template has no place for a number"
        );
        Self {
            stream: BufReader::new(stream),
            request,
            number_places,
        }
    }

    /// The latency of each message in microseconds.
    fn run_until(mut self, deadline: Instant, accepted: &str) -> Vec<u64> {
        let mut latencies_us = Vec::new();
        let mut body = Vec::new();
        while Instant::now() < deadline {
            let number = format!(
                "{:0width$}",
                NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
                width = PLACEHOLDER.len()
            );
            for &place in &self.number_places {
                self.request[place..place + PLACEHOLDER.len()].copy_from_slice(number.as_bytes());
            }
            let sent = Instant::now();
            self.stream
                .get_mut()
                .write_all(&self.request)
                .expect("the archive reads");
            self.read_answer(&mut body);
            latencies_us.push(sent.elapsed().as_micros() as u64);
            assert!(
                body.windows(accepted.len())
                    .any(|window| window == accepted.as_bytes()),
                "a message was refused: {}",
                String::from_utf8_lossy(&body)
            );
        }
        latencies_us
    }

    fn read_answer(&mut self, body: &mut Vec<u8>) {
        let mut length = 0_usize;
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                self.stream.read_line(&mut line).expect("an answer") > 0,
                "the archive closed the connection"
            );
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
        }
        assert!(
            (1..=ANSWER_LIMIT_BYTES).contains(&length),
            "an answer of {length} bytes"
        );
        body.resize(length, 0);
        self.stream.read_exact(body).expect("the whole answer");
    }
}
