//! The command's end: asks the server that runs, or does the work itself.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use yingku_storage::archive::Archive;

use super::{Output, REQUEST_LIMIT_BYTES, Reply, socket};
use crate::config::Config;
use crate::operate::{self, Operation, Operator};

/// Runs an operation and prints what it answers. Exit status 1: it failed, or what it looked at is not in order.
pub async fn run(config: &Config, data: &Path, operation: Operation) -> anyhow::Result<ExitCode> {
    let connected = socket::connect(data)
        .await
        .with_context(|| format!("{}: control.sock", data.display()))?;
    let end = match connected {
        Some(stream) => ask(stream, &operation).await?,
        None => alone(config, data, operation).await?,
    };
    match end {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(words) => anyhow::bail!(words),
    }
}

async fn ask(
    mut stream: UnixStream,
    operation: &Operation,
) -> anyhow::Result<Result<bool, String>> {
    let mut request = serde_json::to_vec(operation)?;
    request.push(b'\n');
    anyhow::ensure!(
        request.len() as u64 <= REQUEST_LIMIT_BYTES,
        "命令过大 (the command is too large): {} / {REQUEST_LIMIT_BYTES} bytes",
        request.len()
    );
    stream.write_all(&request).await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(end) = print(serde_json::from_str(&line)?)? {
            return Ok(end);
        }
    }
    anyhow::bail!("服务在应答完之前断开 (the server went away before its answer ended)")
}

async fn alone(
    config: &Config,
    data: &Path,
    operation: Operation,
) -> anyhow::Result<Result<bool, String>> {
    anyhow::ensure!(
        data.join("log").is_dir(),
        "{} 中没有归档 (there is no archive); 用 --data 指定数据目录",
        data.display()
    );
    let key = config.cluster_key(data)?;
    let archive = Archive::open(data, config.archive_options(data)?, key).await?;
    let (output, mut replies) = Output::channel();
    let printing = tokio::task::spawn_blocking(move || {
        while let Some(reply) = replies.blocking_recv() {
            print(reply)?;
        }
        Ok::<(), anyhow::Error>(())
    });
    let done = operate::execute(&archive, operation, &Operator::of_this_process(), &output).await;
    drop(output);
    printing.await??;
    archive.close().await;
    Ok(done.map_err(|error| format!("{error:#}")))
}

fn print(reply: Reply) -> anyhow::Result<Option<Result<bool, String>>> {
    match reply {
        Reply::Line(text) => writeln!(std::io::stdout().lock(), "{text}")?,
        Reply::Note(text) => eprintln!("{text}"),
        Reply::End(end) => return Ok(Some(end)),
    }
    Ok(None)
}
