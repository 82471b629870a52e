//! Packs of this node, regrouped at an operator's word.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yingku_storage::archive::{Archive, Compaction};

use crate::control::Output;

const HOUR_S: u64 = 3_600;

/// How an operator wants it done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compacting {
    /// Hours for which nothing came into a pack.
    pub after_hours: u32,
    /// Hours since a pack was given up, after which its file goes.
    pub keep_hours: u32,
    pub max_bytes: u64,
    pub dry_run: bool,
}

pub async fn compact(archive: &Archive, how: Compacting, output: &Output) -> anyhow::Result<bool> {
    let report = archive
        .compact(Compaction {
            after: hours(how.after_hours),
            max_bytes: how.max_bytes,
            bytes_per_second: 0,
            dry_run: how.dry_run,
        })
        .await?;
    let looked_at = report.looked_at;
    if how.dry_run {
        output
            .line(format!(
                "将整理，尚未改动 (would be compacted; nothing was changed): 影像包 (packs) {} / {looked_at}, 影像 (instances) {}, \
                 字节 (bytes) {}",
                report.packs, report.instances, report.bytes
            ))
            .await?;
        return Ok(true);
    }
    output
        .line(format!(
            "影像包 (packs) {} / {looked_at} → {}, 影像 (instances) {}, 字节 (bytes) {}; 不再需要 (given up) {}, 字节 (bytes) {}",
            report.packs,
            report.made,
            report.instances,
            report.bytes,
            report.given_up,
            report.given_up_bytes
        ))
        .await?;
    let (removing, kept) = (archive.clone(), hours(how.keep_hours));
    let removed = tokio::task::spawn_blocking(move || removing.remove_compacted(kept)).await?;
    let (packs, bytes) = removed?;
    output
        .line(format!(
            "已删除 (removed): 影像包 (packs) {packs}, 字节 (bytes) {bytes}"
        ))
        .await?;
    if report.unreadable > 0 {
        output
            .line(format!(
                "读不到的影像 (unreadable) {}: 留在原处，请运行 yingku verify (they stay where they are; run yingku verify)",
                report.unreadable
            ))
            .await?;
    }
    if report.short {
        output
            .line("空间不足，未能全部整理；收回空间后再运行 (no room for more copies: run it again when there is space)")
            .await?;
    }
    Ok(report.unreadable == 0 && !report.short)
}

fn hours(hours: u32) -> Duration {
    Duration::from_secs(u64::from(hours) * HOUR_S)
}
