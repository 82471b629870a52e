//! 补取: has the images of a hospital's past exams fetched, and shows how far that is, month by month.
//!
//! Images are taken for pushed exams only (R8), so what is fetched are exams that were pushed and lack images. What is due
//! lies in the views: given again, the command adds what lacks, and a restart forgets nothing.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::event::{Event, PullsAsked};
use yingku_core::exam::ExamRow;
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, StudyKey};
use yingku_core::pull::PullState;
use yingku_core::reconcile::ImageState;
use yingku_core::time::LocalDate;
use yingku_storage::archive::Archive;
use yingku_storage::views::{Views, Walk};

use super::pull::{ensure_rules, gateway_of, submit};
use crate::control::Output;
use crate::table::Table;

/// Exams of one record: some 30 KB.
const EXAMS_OF_RECORD: usize = 500;
/// Exams that one command looks at: a large hospital's of several years.
const EXAMS_LIMIT: usize = 2_000_000;

/// Which exams are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Past {
    /// By their day, both included, `YYYY-MM-DD`.
    Days { from: String, to: String },
    /// By their numbers; the latest generation that has each.
    Named(Vec<String>),
}

pub async fn backfill(
    archive: &Archive,
    hospital: HospitalCode,
    past: Past,
    dry_run: bool,
    output: &Output,
) -> anyhow::Result<bool> {
    archive.settle().await?;
    ensure_rules(archive)?;
    gateway_of(archive, &hospital)?;
    let (views, code) = (archive.views(), hospital.clone());
    let looked = tokio::task::spawn_blocking(move || Looked::at(&views, &code, &past)).await??;
    let asked = looked.lacking.len();
    if !dry_run {
        for exams in looked.lacking.chunks(EXAMS_OF_RECORD) {
            let exams = exams.to_vec();
            let backfill = true;
            submit(archive, Event::PullsAsked(PullsAsked { exams, backfill })).await?;
        }
    }
    output.line(looked.table(archive, &hospital)?).await?;
    if !looked.unknown.is_empty() {
        let (count, names) = (looked.unknown.len(), looked.unknown.join(" "));
        output
            .line(format!(
                "未推送，不补取 (not pushed, and not fetched) {count}: {names}"
            ))
            .await?;
    }
    let said = match dry_run {
        true => "将补取 (would be fetched)",
        false => "已列入补取 (are to be fetched)",
    };
    output
        .line(format!(
            "{said}: {asked} 个检查 (exams)；yingku pull list --hospital {hospital}"
        ))
        .await?;
    Ok(true)
}

/// What there is of the exams that are meant.
#[derive(Default)]
struct Looked {
    exams: BTreeMap<String, Month>,
    /// Whose images are not all here.
    lacking: Vec<ExamKey>,
    /// Numbers that nobody pushed.
    unknown: Vec<String>,
}

/// Exams of one month.
#[derive(Default)]
struct Month {
    exams: u32,
    complete: u32,
    lacking: Vec<ExamRow>,
}

impl Looked {
    fn at(views: &Views, hospital: &HospitalCode, past: &Past) -> anyhow::Result<Self> {
        let mut looked = Self::default();
        match past {
            Past::Days { from, to } => {
                let day = |text: &str| {
                    LocalDate::parse(text).context("--from 与 --to 应为 YYYY-MM-DD (must be dates)")
                };
                let (from, to) = (day(from)?.to_string(), day(to)?.to_string());
                anyhow::ensure!(
                    from <= to,
                    "--from {from} 在 --to {to} 之后，请对调 (--from is after --to)"
                );
                let mut keys = Vec::new();
                views.visit_days(hospital, &from, &to, &mut |key| {
                    keys.push(key);
                    Ok(if keys.len() < EXAMS_LIMIT {
                        Walk::On
                    } else {
                        Walk::Stop
                    })
                })?;
                anyhow::ensure!(
                    keys.len() < EXAMS_LIMIT,
                    "一次至多 {EXAMS_LIMIT} 个检查，请分段 (exams at a time: give a shorter span)"
                );
                for key in keys {
                    // A line of the index stays when an exam's date changes.
                    if let Some(row) = views.exam(&key)?
                        && (from.as_str()..=to.as_str()).contains(&row.exam_date())
                    {
                        looked.add(views, row)?;
                    }
                }
            }
            Past::Named(numbers) => {
                for number in numbers {
                    let exam_no = ExamNo::new(number)?;
                    match views.latest_exam(hospital, &exam_no)? {
                        Some(row) => looked.add(views, row)?,
                        None => looked.unknown.push(number.clone()),
                    }
                }
            }
        }
        Ok(looked)
    }

    fn add(&mut self, views: &Views, row: ExamRow) -> anyhow::Result<()> {
        if row.withdrawn.is_some() || row.studies.is_empty() {
            return Ok(());
        }
        let month = row.exam_date().get(..7).unwrap_or_default().to_owned();
        let month = self.exams.entry(month).or_default();
        let state = views.image_state(&row)?;
        match state {
            ImageState::Linked | ImageState::Deleted => return Ok(()),
            ImageState::Complete { .. } => month.complete += 1,
            // Without a count, the rules say whether anything of it is here.
            ImageState::Missing | ImageState::Partly | ImageState::NoneDeclared => {
                self.lacking.push(row.key.clone());
                month.lacking.push(row);
            }
        }
        month.exams += 1;
        Ok(())
    }

    /// Coverage by month, as it is now.
    fn table(&self, archive: &Archive, hospital: &HospitalCode) -> anyhow::Result<String> {
        let views = archive.views();
        let mut table =
            Table::new(["月份", "检查", "已齐", "待取", "停下", "未列入"]).with_numbers(1..6);
        for (name, month) in &self.exams {
            let (mut open, mut stopped, mut other) = (0, 0, 0);
            for row in &month.lacking {
                let mut state = None;
                for declared in &row.studies {
                    let study = StudyKey::new(hospital.clone(), declared.uid.clone());
                    let pull = views.pull(&study)?;
                    let of_study = pull.map(|pull| pull.state);
                    state = match (state, of_study) {
                        (Some(PullState::Open), _) | (_, Some(PullState::Open)) => {
                            Some(PullState::Open)
                        }
                        (known, None) => known,
                        (_, of_study) => of_study,
                    };
                }
                match state {
                    Some(PullState::Open) => open += 1,
                    Some(PullState::Stopped) => stopped += 1,
                    Some(PullState::Done) | None => other += 1,
                }
            }
            table.row([
                name.clone(),
                month.exams.to_string(),
                month.complete.to_string(),
                open.to_string(),
                stopped.to_string(),
                other.to_string(),
            ]);
        }
        Ok(table.render())
    }
}
