//! What came of a hospital's trial run goes before it goes live.

use yingku_core::event::{Event, TestDataPurged};
use yingku_core::exam::ExamFlag;
use yingku_core::finding::FindingKind;
use yingku_core::ids::HospitalCode;
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::Walk;

use super::{Ruling, ensure_registered};
use crate::control::Output;

/// Exams, declared days, listed lines or forms of one record: their keys take at most some 300 KB of the log's 1 MiB.
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
    let mut forms = Vec::new();
    views.visit_apply_forms(&hospital, &mut |row| {
        if row.test {
            forms.push(row.key);
        }
        Walk::On
    })?;
    let purged = |named: TestDataPurged| {
        Event::TestDataPurged(TestDataPurged {
            reason: ruling.reason.clone(),
            author: ruling.author.clone(),
            ..named
        })
    };
    let none = TestDataPurged::default;
    let of_exams = exams.chunks(LINES_OF_RECORD).map(|part| TestDataPurged {
        exams: part.to_vec(),
        ..none()
    });
    let of_days = declarations
        .chunks(LINES_OF_RECORD)
        .map(|part| TestDataPurged {
            declarations: part.to_vec(),
            ..none()
        });
    // A list's line goes if its exam or study has gone.
    let of_lists = findings.chunks(LINES_OF_RECORD).map(|part| TestDataPurged {
        findings: part.to_vec(),
        ..none()
    });
    let of_forms = forms.chunks(LINES_OF_RECORD).map(|part| TestDataPurged {
        forms: part.to_vec(),
        ..none()
    });
    let records = of_exams
        .chain(of_days)
        .chain(of_lists)
        .chain(of_forms)
        .map(purged);
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
            "{hospital}: 已清除测试检查 (test exams purged): {}; 测试申报 (declared days and classes): {}; 测试申请单 (apply forms): {}",
            exams.len(),
            declarations.len(),
            forms.len()
        ))
        .await?;
    Ok(true)
}
