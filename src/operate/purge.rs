//! Exams of a hospital's trial run go before it goes live.

use yingku_core::event::{Event, TestDataPurged};
use yingku_core::exam::ExamFlag;
use yingku_core::ids::HospitalCode;
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::Walk;

use super::{Ruling, ensure_registered};
use crate::control::Output;

/// Exams of one record: their keys take at most some 100 KB of the log's 1 MiB.
const EXAMS_OF_RECORD: usize = 1_000;

pub async fn purge(
    archive: &Archive,
    hospital: HospitalCode,
    ruling: Ruling,
    output: &Output,
) -> anyhow::Result<bool> {
    let ruling = Ruling::new(&ruling.reason, &ruling.author)?;
    ensure_registered(archive, &hospital)?;
    archive.settle().await?;
    let mut exams = Vec::new();
    archive.views().visit_all_exams(&mut |row| {
        if row.key.hospital == hospital && row.has(ExamFlag::Test) {
            exams.push(row.key);
        }
        Walk::On
    })?;
    for part in exams.chunks(EXAMS_OF_RECORD) {
        let submission = Submission {
            hospital: Some(hospital.clone()),
            actor: ruling.actor(),
            event: Event::TestDataPurged(TestDataPurged {
                exams: part.to_vec(),
                reason: ruling.reason.clone(),
                author: ruling.author.clone(),
            }),
        };
        if let Outcome::Refused(refusal) = archive.submit(submission).await?.outcome {
            anyhow::bail!(refusal.message);
        }
    }
    output
        .line(format!(
            "{hospital}: 已清除测试检查 (test exams purged): {}",
            exams.len()
        ))
        .await?;
    Ok(true)
}
