//! Asking a running archive over HTTP at a set rate, whether or not the question before is answered, while pushes come in.
//!
//! Only the standard library is used: what asks shares the machine with the archive, so it must cost as little as it can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::generate::City;
use crate::searching::{push_json, typed};

/// Kept-alive connections that ask.
const CONNECTIONS: u64 = 32;
const INCOMING_PER_S: u64 = 100;
/// No answer is longer.
const ANSWER_LIMIT_BYTES: usize = 4 << 20;

/// Prints the figures as JSON. `tokens`: the reader's and the pusher's.
pub fn ask(city: &City, address: &str, tokens: &[String; 2], (seconds, rate): (u64, u64)) {
    let [reader, pacs] = tokens;
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let next = AtomicU64::new(0);
    let question = |number: u64| {
        json!({ "q": typed(city, number), "pageSize": 20, "reason": "visit" }).to_string()
    };
    let (mut asked, mut pushed) = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let connection = Connection::open(address, "exam/search", reader);
                    connection.post_at(rate, (began, until), &next, &question)
                })
            })
            .collect();
        let came = AtomicU64::new(0);
        // No exam that is there already.
        let from = city.exams + u64::from(std::process::id()) * 100_000;
        let connection = Connection::open(address, "exam/push", pacs);
        let push = |number: u64| push_json(city, from + number);
        let pushed = connection.post_at(INCOMING_PER_S, (began, until), &came, &push);
        let asked = askers
            .into_iter()
            .flat_map(|it| it.join().expect("an asker failed"));
        (asked.collect::<Vec<_>>(), pushed)
    });
    asked.sort_unstable();
    pushed.sort_unstable();
    let ms = |took: &[Duration], q: f64| {
        let at = (took.len().saturating_sub(1)) as f64 * q;
        took.get(at as usize)
            .map_or(0.0, |it| it.as_secs_f64() * 1000.0)
    };
    println!(
        r#"{{"questions":{},"p50_ms":{:.2},"p99_ms":{:.2},"max_ms":{:.2},"pushes":{},"push_p99_ms":{:.2}}}"#,
        asked.len(),
        ms(&asked, 0.5),
        ms(&asked, 0.99),
        ms(&asked, 1.0),
        pushed.len(),
        ms(&pushed, 0.99),
    );
}

struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Connection {
    fn open(address: &str, operation: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the archive listens");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let head = format!(
            "POST /openapi/v1/{operation} HTTP/1.1\r\nHost: {address}\r\ntoken: {token}\r\nContent-Type: application/json\r\n"
        );
        Self {
            stream: BufReader::new(stream),
            head,
        }
    }

    /// How long each took from when it was due: what waits for the one before counts.
    fn post_at(
        mut self,
        rate: u64,
        (began, until): (Instant, Instant),
        next: &AtomicU64,
        body: &dyn Fn(u64) -> String,
    ) -> Vec<Duration> {
        let mut took = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let due = began + Duration::from_micros(number * 1_000_000 / rate);
            if due >= until {
                return took;
            }
            let body = body(number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let request = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
            self.stream
                .get_mut()
                .write_all(request.as_bytes())
                .expect("the archive reads");
            let answer = self.answer();
            took.push(due.elapsed());
            assert!(
                answer.windows(10).any(|window| window == br#""status":0"#),
                "refused: {}",
                String::from_utf8_lossy(&answer)
            );
        }
    }

    fn answer(&mut self) -> Vec<u8> {
        let mut length = 0_usize;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            let read = self.stream.read_line(&mut line).expect("an answer");
            assert!(read > 0, "the archive closed the connection");
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
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the whole answer");
        body
    }
}
