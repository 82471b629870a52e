//! What retention rules delete: shown, or done before its time of the day.

use yingku_core::event::CARE_SINCE_RULES;
use yingku_storage::archive::Archive;

use crate::control::Output;
use crate::retention;

pub async fn apply(archive: &Archive, dry_run: bool, output: &Output) -> anyhow::Result<bool> {
    anyhow::ensure!(
        archive.registry().rules >= CARE_SINCE_RULES,
        "须先启用规则版本 {CARE_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    );
    let due = retention::find(archive).await?;
    for (rule, exams) in &due.exams {
        output
            .line(format!("{rule}: 检查 (exams) {}", exams.len()))
            .await?;
    }
    let (count, bytes) = (due.count(), due.bytes);
    if dry_run {
        output
            .line(format!(
                "影像到期、将删除，尚未改动 (due, nothing was changed): 检查 (exams) {count}, 字节 (bytes) {bytes}"
            ))
            .await?;
        return Ok(true);
    }
    let deleted = retention::apply(archive, None).await?;
    output
        .line(format!(
            "已按保存规则删除影像 (images deleted): 检查 (exams) {deleted}; 空间由整理影像包收回 (yingku compact gives the space back)"
        ))
        .await?;
    Ok(true)
}
