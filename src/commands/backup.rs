//! `yingku backup` and `yingku restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use yingku_storage::archive::{RestoreReport, restore};

use super::Place;
use crate::config::Config;
use crate::operate::Operation;

#[derive(Debug, Args)]
pub struct Backup {
    /// 备份目录，由服务进程写 (where the copy goes; the serving process writes it)
    #[arg(long, value_name = "目录")]
    to: PathBuf,
    /// 补齐一次即止；否则持续备份 (once; otherwise goes on)
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// 备份目录 (where the copy is)
    #[arg(long, value_name = "目录")]
    from: PathBuf,
    /// 新的数据目录，须不存在 (data directory to be made)
    #[arg(long, value_name = "目录")]
    data: PathBuf,
    /// 配置文件 (settings)
    #[arg(long, env = "YINGKU_CONFIG", value_name = "文件")]
    config: Option<PathBuf>,
}

impl Backup {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let to = std::path::absolute(&self.to)?;
        let once = self.once;
        self.place.run(Operation::Backup { to, once }).await
    }
}

impl Restore {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(self.config.as_deref())?;
        let packs = config.archive_options(&self.data)?.packs;
        eprintln!("正在还原并核对 (restoring, and proving it) …");
        let report = restore(&self.from, &self.data, packs)
            .await
            .with_context(|| format!("{} 未还原 (was not restored)", self.data.display()))?;
        let is_whole = say(&report);
        let key = self.data.join(&config.keys.cluster_key_file);
        println!(
            "启动前请放回集群密钥 (before it is started, put the cluster key back): {}",
            key.display()
        );
        Ok(match is_whole {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

fn say(report: &RestoreReport) -> bool {
    println!(
        "已还原 (restored): 事件 (events) {}, 调阅 (audit) {}",
        report.position, report.audit
    );
    match report.proved {
        Some(position) => println!(
            "视图摘要与备份时相同 (the digest of the views is that of the archive): 位置 (position) {position}"
        ),
        None => println!("备份中没有摘要可比 (the copy has no digest to compare)"),
    }
    println!(
        "影像包 (packs): {}, {} 份影像 (instances), {} 字节 (bytes), 损坏 (damaged) {} 处",
        report.packs.packs, report.packs.records, report.packs.bytes, report.packs.damaged
    );
    println!(
        "日志所列影像 (instances that the log tells of): {}, 缺 (missing) {}",
        report.told, report.missing
    );
    for damage in &report.packs.damage {
        println!(
            "  {} {}..{}: {}",
            damage.pack, damage.range.start, damage.range.end, damage.reason
        );
    }
    report.proved.is_some() && report.packs.damaged == 0 && report.missing == 0
}
