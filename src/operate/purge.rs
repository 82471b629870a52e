//! What came of a hospital's trial run goes before it goes live.

use yingku_core::event::{Event, PURGED_NOTICES_SINCE_RULES, TestDataPurged, WaitingNotices};
use yingku_core::exam::ExamFlag;
use yingku_core::finding::FindingKind;
use yingku_core::ids::{HisId, HospitalCode};
use yingku_core::notice::{NoticeId, NoticeState};
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::{Views, ViewsError, Walk};

use super::{Ruling, ensure_registered};
use crate::control::Output;

/// Exams, declared days, listed lines, forms or notices of one record: their keys take at most some 300 KB of the log's 1 MiB.
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
        submit(archive, submission).await?;
    }
    let notices = purge_notices(archive, &hospital, &ruling).await?;
    output
        .line(format!(
            "{hospital}: 已清除测试检查 (test exams purged): {}; 测试申报 (declared days and classes): {}; 测试申请单 (apply forms): {}; 作废的状态通知 (notices dropped): {notices}",
            exams.len(),
            declarations.len(),
            forms.len()
        ))
        .await?;
    Ok(true)
}

async fn submit(archive: &Archive, submission: Submission) -> anyhow::Result<()> {
    if let Outcome::Refused(refusal) = archive.submit(submission).await?.outcome {
        anyhow::bail!(refusal.message);
    }
    Ok(())
}

/// Ends the hospital's notices that wait about what is gone by now: they must not reach a HIS when the hospital is live. How many.
async fn purge_notices(
    archive: &Archive,
    hospital: &HospitalCode,
    ruling: &Ruling,
) -> anyhow::Result<usize> {
    let registry = archive.registry();
    if registry.rules < PURGED_NOTICES_SINCE_RULES {
        return Ok(0);
    }
    archive.settle().await?;
    let mut dropped = 0;
    for his in registry.his.keys() {
        let (views, of, hospital_code) = (archive.views(), his.clone(), hospital.clone());
        let read = move || waiting_of_purged(&views, &of, &hospital_code);
        let notices = tokio::task::spawn_blocking(read).await??;
        for part in notices.chunks(LINES_OF_RECORD) {
            let event = Event::TestDataPurged(TestDataPurged {
                notices: vec![WaitingNotices {
                    his: his.clone(),
                    notices: part.to_vec(),
                }],
                reason: ruling.reason.clone(),
                author: ruling.author.clone(),
                ..TestDataPurged::default()
            });
            let submission = Submission {
                hospital: Some(hospital.clone()),
                actor: ruling.actor(),
                event,
            };
            submit(archive, submission).await?;
        }
        dropped += notices.len();
    }
    Ok(dropped)
}

fn waiting_of_purged(
    views: &Views,
    his: &HisId,
    hospital: &HospitalCode,
) -> Result<Vec<NoticeId>, ViewsError> {
    let mut waiting = Vec::new();
    for state in [NoticeState::Open, NoticeState::Stopped] {
        views.visit_notices(his, state, None, &mut |row| {
            if row.form.hospital == *hospital {
                waiting.push(row);
            }
            Walk::On
        })?;
    }
    let mut notices = Vec::new();
    for row in waiting {
        let exam = match &row.exam {
            Some(exam) => views.exam(exam)?,
            None => None,
        };
        let form = views.apply_form(&row.form)?;
        if row.is_of_purged(exam.as_ref(), form.as_ref()) {
            notices.push(row.id);
        }
    }
    Ok(notices)
}
