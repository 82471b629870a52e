//! What came of a hospital's trial run goes before it goes live.

use yingku_core::event::{Event, TestDataPurged};
use yingku_core::exam::ExamFlag;
use yingku_core::finding::{FindingKey, FindingKind};
use yingku_core::ids::{ExamKey, HospitalCode};
use yingku_core::outcome::Outcome;
use yingku_core::statistics::DayKey;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::Walk;

use super::{Ruling, ensure_registered};
use crate::control::Output;

/// Exams, declared days or listed lines of one record: their keys take at most some 300 KB of the log's 1 MiB.
const LINES_OF_RECORD: usize = 1_000;

/// Dates of the contract have four digits for the year.
const FIRST_DAY: &str = "0000-01-01";
const LAST_DAY: &str = "9999-12-31";

pub async fn purge(
    archive: &Archive,
    hospital: HospitalCode,
    ruling: Ruling,
    output: &Output,
) -> anyhow::Result<bool> {
    let ruling = Ruling::new(&ruling.reason, &ruling.author)?;
    ensure_registered(archive, &hospital)?;
    archive.settle().await?;
    let views = archive.views();
    let mut exams = Vec::new();
    views.visit_all_exams(&mut |row| {
        if row.key.hospital == hospital && row.has(ExamFlag::Test) {
            exams.push(row.key);
        }
        Walk::On
    })?;
    let mut declarations = Vec::new();
    views.visit_declarations(&hospital, FIRST_DAY, LAST_DAY, &mut |day, row| {
        if row.counts.iter().any(|declared| declared.test)
            || row.details.iter().any(|declared| declared.test)
        {
            declarations.push(day);
        }
        Walk::On
    })?;
    let mut findings = Vec::new();
    for kind in [FindingKind::NumberReuse, FindingKind::FurtherVersion] {
        let listed = views.findings(kind, Some(&hospital), usize::MAX)?;
        findings.extend(listed.into_iter().map(|(key, _)| key));
    }
    let purged = |exams: &[ExamKey], declarations: &[DayKey], findings: &[FindingKey]| {
        Event::TestDataPurged(TestDataPurged {
            exams: exams.to_vec(),
            declarations: declarations.to_vec(),
            findings: findings.to_vec(),
            reason: ruling.reason.clone(),
            author: ruling.author.clone(),
        })
    };
    // The lists come last: a line goes if its exam or study has gone.
    let records = exams
        .chunks(LINES_OF_RECORD)
        .map(|part| purged(part, &[], &[]));
    let records = records.chain(
        declarations
            .chunks(LINES_OF_RECORD)
            .map(|part| purged(&[], part, &[])),
    );
    let records = records.chain(
        findings
            .chunks(LINES_OF_RECORD)
            .map(|part| purged(&[], &[], part)),
    );
    for event in records {
        let submission = Submission {
            hospital: Some(hospital.clone()),
            actor: ruling.actor(),
            event,
        };
        if let Outcome::Refused(refusal) = archive.submit(submission).await?.outcome {
            anyhow::bail!(refusal.message);
        }
    }
    output
        .line(format!(
            "{hospital}: 已清除测试检查 (test exams purged): {}; 测试申报 (declared days and classes): {}",
            exams.len(),
            declarations.len()
        ))
        .await?;
    Ok(true)
}
