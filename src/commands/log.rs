//! `yingku log …`

use std::process::ExitCode;

use clap::Subcommand;
use yingku_storage::log::repair;

use super::Place;
use crate::operate::{Operation, Range};

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// 最近的记录，一条一行 (the last records)
    Tail {
        /// 自此位置起 (from this position)
        #[arg(long, value_name = "位置")]
        from: Option<u64>,
        /// 等待新记录 (wait for more)
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        place: Place,
    },
    /// 一条记录的全部内容 (one record in full)
    Show {
        #[arg(value_name = "位置")]
        position: u64,
        #[command(flatten)]
        place: Place,
    },
    /// 导出为 JSON 行 (as JSON lines)
    Export {
        #[arg(long, value_name = "位置", default_value_t = 0)]
        from: u64,
        /// 含此位置 (inclusive)
        #[arg(long, value_name = "位置")]
        to: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// 修复损坏的内嵌日志：先整份留底，再保留损坏处之前的记录；须先停止服务 (only with the server stopped)
    Repair(Place),
}

impl LogCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Tail {
                from,
                follow,
                place,
            } => place.run(Operation::LogTail { from, follow }).await,
            Self::Show { position, place } => place.run(Operation::LogShow { position }).await,
            Self::Export { from, to, place } => {
                let range = Range { from, to };
                place.run(Operation::LogExport { range }).await
            }
            Self::Repair(place) => {
                let log = place.data.join("log");
                anyhow::ensure!(
                    log.is_dir(),
                    "{} 不是内嵌日志 (is no embedded log)；Kafka 中的日志用 Kafka 的副本恢复",
                    log.display()
                );
                let report = tokio::task::spawn_blocking(move || repair(&log)).await??;
                println!("原日志留底 (kept as it was): {}", report.copy.display());
                println!("保留的记录 (records kept): {}", report.end);
                match report.cut_because {
                    Some(why) => println!("其后不可读 (nothing after that): {why}"),
                    None => println!("全部可读 (all could be read)"),
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
