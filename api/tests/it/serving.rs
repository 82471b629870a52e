//! The server below the router: real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use yingku_api::{ApiConfig, serve};

use crate::house::{House, SAMPLE};

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(house: &House, config: ApiConfig) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = house.router.clone();
    let task = tokio::spawn(async move {
        serve(listener, router, config, async {
            let _ = stopped.await;
        })
        .await
    });
    Server {
        address,
        stop,
        task,
    }
}

fn push(token: &str) -> String {
    format!(
        "POST /openapi/v1/exam/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\ntoken: {token}\r\nContent-Length: {}\r\n\r\n{SAMPLE}",
        SAMPLE.len()
    )
}

#[tokio::test]
async fn a_push_over_a_socket_is_answered_and_the_server_stops_when_told() {
    let house = House::open().await;
    let token = house.token("demo-pacs").await;
    let server = start(&house, ApiConfig::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(push(&token).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\"status\":0"), "{answer}");
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_peer_that_dawdles_over_its_head_is_cut_off_while_others_are_served() {
    let house = House::open().await;
    let config = ApiConfig {
        header_timeout: Duration::from_millis(300),
        ..ApiConfig::default()
    };
    let server = start(&house, config).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /v1/exam/push HT").await.unwrap();
    let mut quick = TcpStream::connect(server.address).await.unwrap();
    quick
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    quick.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut rest))
        .await
        .expect("the slow peer is cut off")
        .unwrap();
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let config = ApiConfig {
        body_timeout: Duration::from_millis(300),
        ..ApiConfig::default()
    };
    let house = House::with(config.clone()).await;
    let token = house.token("demo-pacs").await;
    let server = start(&house, config).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/exam/push HTTP/1.1\r\nHost: x\r\ntoken: {token}\r\nContent-Length: 1000\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut answer))
        .await
        .expect("the slow peer is answered and cut off")
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("\"status\":1"), "{answer}");
}
