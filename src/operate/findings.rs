//! The lists that an operator works through.

use yingku_core::finding::FindingKind;
use yingku_core::ids::HospitalCode;
use yingku_storage::archive::Archive;

use super::{ensure_registered, versions};
use crate::control::Output;
use crate::table::Table;

/// Lines of one kind; what is settled makes room for the next.
const LINES_LIMIT: usize = 500;

pub const KINDS: [(FindingKind, &str); 9] = [
    (FindingKind::StudyConflict, "检查UID冲突 (studyConflict)"),
    (FindingKind::NumberReuse, "疑似流水号复用 (numberReuse)"),
    (FindingKind::FormReuse, "疑似申请单号复用 (formReuse)"),
    (FindingKind::IdentityDoubt, "身份存疑 (identityDoubt)"),
    (FindingKind::FurtherVersion, "影像另有版本 (furtherVersion)"),
    (FindingKind::Overflow, "超出索引上限 (overflow)"),
    (FindingKind::LegalHold, "依法保留 (legal hold)"),
    (
        FindingKind::IndexCollision,
        "影像云索引重复 (indexCollision)",
    ),
    (FindingKind::NotPushed, "网关有而未推送 (notPushed)"),
];

pub async fn findings(
    archive: &Archive,
    kind: Option<FindingKind>,
    hospital: Option<HospitalCode>,
    output: &Output,
) -> anyhow::Result<bool> {
    if let Some(code) = &hospital {
        ensure_registered(archive, code)?;
    }
    archive.settle().await?;
    let views = archive.views();
    for (each, title) in KINDS {
        if kind.is_some_and(|kind| kind != each) {
            continue;
        }
        let rows = views.findings(each, hospital.as_ref(), LINES_LIMIT + 1)?;
        output
            .line(format!("{title}: {}", count(rows.len())))
            .await?;
        if rows.is_empty() {
            continue;
        }
        let mut table = Table::new(["位置", "医院", "对象", "检查", "差异"]);
        for (key, row) in rows.into_iter().take(LINES_LIMIT) {
            let detail = match each {
                FindingKind::FurtherVersion => versions::of_line(&views, &key.subject)?,
                _ => row.detail.join(" "),
            };
            table.row([
                row.position.to_string(),
                key.hospital.to_string(),
                key.subject,
                row.exams.join(" "),
                detail,
            ]);
        }
        output.line(table.render()).await?;
    }
    Ok(true)
}

fn count(rows: usize) -> String {
    if rows > LINES_LIMIT {
        format!("> {LINES_LIMIT}")
    } else {
        rows.to_string()
    }
}
