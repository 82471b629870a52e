//! Serving connections: hyper underneath, because `axum::serve` sets no time for a request's head.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::limits::ApiConfig;

/// How long requests at work may go on once the server is told to stop.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// Rest after a failed accept: no file descriptors, as a rule, and some will come free.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Bytes of a request's head at most; tokens, cookies and a gateway's headers fit many times.
const HEAD_BYTES: usize = 64 << 10;

/// Serves until `shutdown` resolves, then lets requests at work end.
///
/// The time for a request's head also ends connections at rest: it runs from the end of the request before.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ApiConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .keep_alive(true)
        .half_close(true)
        .max_buf_size(HEAD_BYTES);
    tokio::pin!(shutdown);
    loop {
        // Beyond the limit connections wait in the kernel's queue.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
            () = &mut shutdown => break,
        };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let connection = http.serve_connection(
            TokioIo::new(without_delay(stream)),
            service(router.clone(), address),
        );
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "a connection broke off");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests that were still at work were cut off");
    }
    Ok(())
}

/// Answers are small: none should wait for the peer's delayed acknowledgement.
fn without_delay(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    stream
}

fn service(
    router: Router,
    address: SocketAddr,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future: Send,
> {
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        router.clone().oneshot(request.map(axum::body::Body::new))
    })
}
