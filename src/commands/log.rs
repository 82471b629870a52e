//! `yingku log …`

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use yingku_core::ids::Position;
use yingku_storage::archive::views_position;
use yingku_storage::log::{EmbeddedLog, EmbeddedLogOptions, repair};

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
    Repair {
        /// 一条也读不出时也以空日志代之 (begin with an empty log even if not one record can be read)
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        place: Place,
    },
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
            Self::Repair { force, place } => {
                tokio::task::spawn_blocking(move || repair_logs(&place.data, force)).await?
            }
        }
    }
}

/// The event log and the audit stream's, whichever is damaged.
fn repair_logs(data: &Path, force: bool) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        data.join("log").is_dir(),
        "{} 没有内嵌日志 (has no embedded log)；Kafka 中的日志用 Kafka 的副本恢复",
        data.display()
    );
    for (name, title) in [
        ("log", "事件日志 (event log)"),
        ("audit", "调阅日志 (audit log)"),
    ] {
        let log = data.join(name);
        if !log.is_dir() || is_whole(&log) {
            println!("{title}: 完好，未改动 (whole, left as it is)");
            continue;
        }
        let report = repair(&log, force)?;
        println!("{title}: 已修复 (repaired)");
        println!("  原样留底 (kept as it was): {}", report.copy.display());
        println!("  保留的记录 (records kept): {}", report.end);
        match report.cut_because {
            Some(why) => println!("  其后不可读 (nothing after that): {why}"),
            None => println!("  全部可读 (all could be read)"),
        }
        if name == "log" {
            say_what_is_next(data, report.end);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn is_whole(log: &Path) -> bool {
    let opened = EmbeddedLog::open(log, EmbeddedLogOptions::default());
    opened.is_ok_and(|log| log.verify(|_| ()).is_ok())
}

/// A log that ends before what the views have seen has lost records that were acknowledged.
fn say_what_is_next(data: &Path, end: Position) {
    match views_position(data) {
        Some(seen) if seen > end => {
            println!(
                "  视图见过 {seen} 条，日志少了 {} 条已确认的记录 (the views have seen {seen} records: {} that were acknowledged are gone)。接下来 (next):",
                seen.0 - end.0,
                seen.0 - end.0
            );
            println!("  1. 移走 (move away): {}", data.join("views").display());
            println!(
                "  2. 启动服务 (start the archive)，然后 yingku rescan：从影像包补回影像 (brings images back from the packs)"
            );
            println!(
                "  3. 请各医院重发此后的检查与申报 (have the hospitals send again what they pushed since)"
            );
        }
        Some(_) => println!(
            "  没有缺少视图见过的记录，可以启动 (nothing that the views have seen is gone: start the archive)"
        ),
        None => println!(
            "  视图读不出，无从比较：移走 {} 后启动 (the views cannot be read: move them away, then start)",
            data.join("views").display()
        ),
    }
}
