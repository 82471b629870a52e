//! The server's end of the control socket: one request a connection, answered line by line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yingku_storage::archive::Archive;

use super::{Output, REQUEST_LIMIT_BYTES, Reply, socket};
use crate::operate::{self, Operation, Operator};

/// Commands at a time; further ones wait.
const COMMANDS_AT_ONCE: usize = 16;
/// A command that says nothing for so long is hung up on.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failed `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub struct ControlServer {
    listener: UnixListener,
    data: PathBuf,
}

impl ControlServer {
    pub fn bind(archive: &Archive) -> std::io::Result<Self> {
        let data = archive.dir().to_owned();
        let listener = socket::bind(&data)?;
        Ok(Self { listener, data })
    }

    /// Serves until `stop`, and returns when the commands in work have ended.
    pub async fn run(self, archive: Archive, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let places = Arc::new(Semaphore::new(COMMANDS_AT_ONCE));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a command");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (archive, places, stop) = (archive.clone(), Arc::clone(&places), stop.clone());
            tasks.spawn(async move {
                let Ok(_place) = places.acquire().await else {
                    return;
                };
                if let Err(error) = serve(stream, &archive, &stop).await {
                    tracing::debug!(%error, "a command went away");
                }
            });
        }
        if let Err(error) = socket::remove(&self.data) {
            tracing::warn!(%error, "the control socket stays behind");
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn serve(
    stream: UnixStream,
    archive: &Archive,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let operator = Operator::of(stream.peer_cred()?.uid());
    let (read, mut write) = stream.into_split();
    // One byte more than a request may have: the end of this reader is the end of the connection.
    let mut lines = BufReader::new(read.take(REQUEST_LIMIT_BYTES + 1));
    let mut request = Vec::new();
    match tokio::time::timeout(REQUEST_TIMEOUT, lines.read_until(b'\n', &mut request)).await {
        Ok(read) => read?,
        Err(_) => return Ok(()),
    };
    let (output, mut replies) = Output::channel();
    let work = {
        let archive = archive.clone();
        async move {
            match serde_json::from_slice::<Operation>(&request) {
                Ok(operation) => operate::execute(&archive, operation, &operator, &output)
                    .await
                    .map_err(|error| format!("{error:#}")),
                Err(error) => Err(format!(
                    "命令与服务端版本不同 (not a command of this release): {error}"
                )),
            }
        }
    };
    let work = tokio::spawn(work);
    let aborted = work.abort_handle();
    let copied = tokio::select! {
        copied = copy(&mut replies, &mut write) => copied,
        () = stop.cancelled() => Ok(()),
        _ = lines.read_u8() => Err(std::io::ErrorKind::ConnectionAborted.into()),
    };
    let end = match copied {
        Ok(()) if stop.is_cancelled() => {
            aborted.abort();
            Err("服务正在停止 (the server stops)".to_owned())
        }
        Ok(()) => work
            .await
            .unwrap_or_else(|_| Err("内部错误 (internal error)".to_owned())),
        Err(error) => {
            aborted.abort();
            return Err(error);
        }
    };
    send(&mut write, &Reply::End(end)).await
}

/// Ends when the operation has, or the command is gone.
async fn copy(
    replies: &mut tokio::sync::mpsc::Receiver<Reply>,
    write: &mut (impl AsyncWriteExt + Unpin),
) -> std::io::Result<()> {
    while let Some(reply) = replies.recv().await {
        send(write, &reply).await?;
    }
    Ok(())
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}
