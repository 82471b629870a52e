//! `yingku migrate`: to Kafka and an object store, and back. Only while no node runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use yingku_storage::archive::{Archive, MigrationReport, MigrationStep, migrate};

use crate::config::Config;

/// Between two words about how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct Migrate {
    /// 数据目录 (data directory)
    #[arg(long, env = "YINGKU_DATA", value_name = "目录")]
    data: PathBuf,
    /// 现用的配置文件；省略则用默认值 (the settings that it is kept by now)
    #[arg(long, env = "YINGKU_CONFIG", value_name = "文件")]
    config: Option<PathBuf>,
    /// 现用的事件日志所在，覆盖配置 (overrides log.place of the settings in use)
    #[arg(long, value_name = "位置")]
    log: Option<String>,
    /// 现用的对象存储，覆盖配置 (overrides objects.location of the settings in use)
    #[arg(long, value_name = "位置")]
    objects: Option<String>,
    /// 今后的配置文件 (the settings that it is to be kept by)
    #[arg(long, value_name = "文件")]
    to: Option<PathBuf>,
    /// 今后的事件日志所在，覆盖今后的配置 (overrides its log.place)
    #[arg(long, value_name = "位置")]
    to_log: Option<String>,
    /// 今后的对象存储，覆盖今后的配置 (overrides its objects.location)
    #[arg(long, value_name = "位置")]
    to_objects: Option<String>,
}

impl Migrate {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let data = self
            .data
            .canonicalize()
            .with_context(|| format!("数据目录 {} 不可用 (data directory)", self.data.display()))?;
        anyhow::ensure!(
            Archive::lies_in(&data),
            "{} 中没有归档 (there is no archive)",
            data.display()
        );
        let mut from = Config::load(self.config.as_deref())?;
        from.log.place = self.log.unwrap_or(from.log.place);
        from.objects.location = self.objects.or(from.objects.location);
        let mut to = Config::load(self.to.as_deref())?;
        to.log.place = self.to_log.unwrap_or(to.log.place);
        to.objects.location = self.to_objects.or(to.objects.location);
        let key = from.cluster_key(&data)?;
        let keeps_objects = to.objects.location.is_some();
        let (from, mut to) = (from.archive_options(&data)?, to.archive_options(&data)?);
        if !keeps_objects {
            // Not where it is now: what the settings do not name is not to be.
            to.packs.objects = None;
        }
        let told = Mutex::new(Instant::now());
        let report = migrate(&data, from, to, key, move |step| tell(step, &told)).await?;
        say(&report, keeps_objects);
        Ok(match report.missing.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

fn tell(step: MigrationStep, told: &Mutex<Instant>) {
    let mut told = told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match step {
        MigrationStep::Copied { next, end } if told.elapsed() >= TELL_EVERY => {
            eprintln!("已复制 (copied): {next} / {end}");
        }
        MigrationStep::Fetching { pack, left } if told.elapsed() >= TELL_EVERY => {
            eprintln!("取回影像包 (fetching pack) {pack}，还有 (left): {left}");
        }
        MigrationStep::Proving => {
            eprintln!("正由副本重建视图，以作比对 (making views from the copy, to compare them) …");
        }
        MigrationStep::Copied { .. } | MigrationStep::Fetching { .. } => return,
    }
    *told = Instant::now();
}

fn say(report: &MigrationReport, keeps_objects: bool) {
    let digest: String = report
        .digest
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect();
    println!(
        "已迁移 (moved): 事件 (events) {}, 调阅 (audit) {}；视图摘要前后相同 (digests of the views are equal): {digest}",
        report.end, report.audit_end
    );
    if report.brought.packs > 0 {
        println!(
            "已取回影像包 (packs brought home): {}, {} 字节 (bytes)；对象存储中的原件未动 (what lies in the object store was left)",
            report.brought.packs, report.brought.bytes
        );
    }
    if report.kept.exists() {
        println!(
            "原日志留在 (the log as it was is in) {}；确认无误后删除 (remove it once all is well)",
            report.kept.display()
        );
    }
    for pack in &report.missing {
        println!(
            "缺影像包 (missing pack) {pack}: 未上传，请从写它的节点的 packs/ 拷来 (never uploaded: copy it from the packs/ of the node that wrote it)"
        );
    }
    if keeps_objects {
        println!(
            "影像包由运行中的服务上传 (packs are uploaded while the archive serves)；进度见 yingku status"
        );
    }
}
