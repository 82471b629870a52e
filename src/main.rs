//! Yingku 影库: a regional medical imaging archive. One binary: the archive, its operator's commands, and a client of
//! its interfaces.

mod backoff;
mod care;
mod client;
mod commands;
mod config;
mod control;
mod duties;
mod edges;
mod indexing;
mod meters;
mod notices;
mod open_files;
mod operate;
mod pulls;
mod reconciliation;
mod registry;
mod report;
mod retention;
mod serve;
mod shutdown;
mod soap;
mod table;
mod unusual;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// What a node says at its start that it runs. A release with other rules has another one.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let command = commands::Yingku::parse();
    if command.is_render_worker() {
        // Nothing else of the program runs there: it reads what strangers sent.
        return match yingku_rendering::worker::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    // What the archive writes is patients' data: nobody else on the machine reads it.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::try_from_env("YINGKU_LOG")
                .unwrap_or_else(|_| EnvFilter::new(command.log_level())),
        )
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("错误 (error): {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(command.run());
    // What still blocks in a thread (a rebuild, say) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    ended.unwrap_or_else(|error| {
        eprintln!("错误 (error): {error:#}");
        ExitCode::FAILURE
    })
}
