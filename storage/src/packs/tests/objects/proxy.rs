//! A proxy before the S3 server that answers, or does not, as it is told. One request a connection.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// So many of a hundred requests are answered 503.
    Unavailable(u8),
    /// Requests are taken and never answered.
    Hang,
    /// The same, but only for parts of uploads behind the first.
    HangBehindFirstPart,
    /// 403.
    RefuseAccount,
    /// The server does it, and of its answer only half arrives.
    CutAnswers,
}

#[derive(Clone)]
pub struct Proxy {
    port: u16,
    fault: Arc<Mutex<(Fault, StdRng)>>,
    /// First lines of all requests.
    seen: watch::Sender<Vec<String>>,
}

impl Proxy {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            fault: Arc::new(Mutex::new((Fault::None, StdRng::seed_from_u64(7)))),
            seen: watch::Sender::default(),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = accepting.clone();
                // A connection that breaks is the client's to notice.
                tokio::spawn(async move { proxy.serve(client, server).await });
            }
        });
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, fault: Fault) {
        self.fault.lock().0 = fault;
    }

    /// The first lines of the requests so far, forgotten afterwards.
    pub fn take_seen(&self) -> Vec<String> {
        self.seen.send_replace(Vec::new())
    }

    /// Waits for a request whose first line has this in it.
    pub async fn saw(&self, part: &str) {
        let mut seen = self.seen.subscribe();
        let saw = seen.wait_for(|lines| lines.iter().any(|line| line.contains(part)));
        saw.await.unwrap();
    }

    fn is_struck(&self, line: &str) -> Option<Fault> {
        let mut fault = self.fault.lock();
        let struck = match fault.0 {
            Fault::None => false,
            Fault::Unavailable(percent) => fault.1.gen_range(0..100) < percent,
            Fault::HangBehindFirstPart => {
                line.contains("partNumber=") && !line.contains("partNumber=1&")
            }
            Fault::Hang | Fault::RefuseAccount | Fault::CutAnswers => true,
        };
        struck.then_some(fault.0)
    }

    async fn serve(&self, mut client: TcpStream, server: u16) -> io::Result<()> {
        let (head, body) = request(&mut client).await?;
        let line = head.lines().next().unwrap_or_default().to_owned();
        let fault = self.is_struck(&line);
        self.seen.send_modify(|seen| seen.push(line));
        match fault {
            None | Some(Fault::None) => relay(&mut client, server, &head, &body, false).await,
            Some(Fault::CutAnswers) => relay(&mut client, server, &head, &body, true).await,
            Some(Fault::Unavailable(_)) => refuse(&mut client, "503 Slow Down", "SlowDown").await,
            Some(Fault::RefuseAccount) => {
                refuse(&mut client, "403 Forbidden", "InvalidAccessKeyId").await
            }
            Some(Fault::Hang | Fault::HangBehindFirstPart) => {
                // Until the client has enough of it.
                client.read_u8().await.map(drop)
            }
        }
    }
}

/// Head and body of a request.
async fn request(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(head_end);
    let head = String::from_utf8(bytes).map_err(io::Error::other)?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}

async fn relay(
    client: &mut TcpStream,
    server: u16,
    head: &str,
    body: &[u8],
    cut: bool,
) -> io::Result<()> {
    let mut upstream = TcpStream::connect(("127.0.0.1", server)).await?;
    // The server ends the connection with its answer: then the answer is whole. (This header is not signed.)
    let (line, rest) = head.split_once("\r\n").unwrap();
    let head = format!("{line}\r\nConnection: close\r\n{rest}");
    upstream.write_all(head.as_bytes()).await?;
    upstream.write_all(body).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    if cut {
        answer.truncate(answer.len() / 2);
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

async fn refuse(client: &mut TcpStream, status: &str, code: &str) -> io::Result<()> {
    let body = format!(
        "<Error><Code>{code}</Code><AWSAccessKeyId>{}</AWSAccessKeyId></Error>",
        super::KEY_ID
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}
