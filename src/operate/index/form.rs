//! Exams that came before there were indexes, or before their hospital's credit code was known, get theirs.

use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::contract::push::ExamSummary;
use yingku_core::event::{AskedIndex, Event, IndexAsked};
use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{ExamKey, HospitalCode};
use yingku_core::national_index::{IndexRow, IndexState, PersonCode};
use yingku_core::registry::IndexSettings;
use yingku_core::time::LocalDate;
use yingku_storage::archive::Archive;
use yingku_storage::views::Walk;

use super::super::{Operator, ensure_registered};
use super::persons::Persons;
use super::{settings, submit};
use crate::control::Output;

/// Exams of one record: some 100 KB.
const EXAMS_OF_RECORD: usize = 500;
/// Exams that one command looks at: a large hospital's of several years.
const EXAMS_LIMIT: usize = 2_000_000;

/// Whose indexes are formed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forming {
    pub hospital: Option<HospitalCode>,
    /// Days of the exams, both included, `YYYY-MM-DD`.
    pub from: String,
    pub to: String,
    /// What the authority refused is to be told again.
    pub again: bool,
    /// A table of person codes by identity number.
    pub persons: Option<PathBuf>,
}

pub async fn form(
    archive: &Archive,
    asked: Forming,
    operator: &Operator,
    output: &Output,
) -> anyhow::Result<bool> {
    archive.settle().await?;
    let settings = settings(archive)?;
    if let Some(code) = &asked.hospital {
        ensure_registered(archive, code)?;
    }
    let persons = asked.persons.clone();
    let persons =
        tokio::task::spawn_blocking(move || persons.map(|path| Persons::read(&path)).transpose());
    let look = Look {
        archive: archive.clone(),
        settings,
        persons: persons.await??,
        again: asked.again,
    };
    let looked: anyhow::Result<_> =
        tokio::task::spawn_blocking(move || Ok((look.keys(&asked)?, look))).await?;
    let (keys, look) = looked?;
    let look = std::sync::Arc::new(look);
    let (mut named, mut with_person) = (0, 0);
    for keys in keys.chunks(EXAMS_OF_RECORD) {
        let (keys, look) = (keys.to_vec(), std::sync::Arc::clone(&look));
        let again = look.again;
        let exams = tokio::task::spawn_blocking(move || look.exams(&keys)).await??;
        if exams.is_empty() {
            continue;
        }
        named += exams.len();
        with_person += exams.iter().filter(|it| it.person.is_some()).count();
        submit(
            archive,
            operator,
            Event::IndexAsked(IndexAsked { exams, again }),
        )
        .await?;
    }
    output
        .line(format!(
            "看过检查 (exams looked at): {}；列入 (named): {named}；有个人编码 (with a person code): {with_person}",
            keys.len()
        ))
        .await?;
    Ok(true)
}

struct Look {
    archive: Archive,
    settings: IndexSettings,
    persons: Option<Persons>,
    again: bool,
}

impl Look {
    /// Exams that have, or once had, their date within the days.
    fn keys(&self, asked: &Forming) -> anyhow::Result<Vec<ExamKey>> {
        let day = |text: &str| {
            LocalDate::parse(text).context("--from 与 --to 应为 YYYY-MM-DD (must be dates)")
        };
        let (from, to) = (day(&asked.from)?.to_string(), day(&asked.to)?.to_string());
        anyhow::ensure!(
            from <= to,
            "--from {from} 在 --to {to} 之后，请对调 (--from is after --to)"
        );
        let registry = self.archive.registry();
        let hospitals: Vec<HospitalCode> = match &asked.hospital {
            Some(code) => vec![code.clone()],
            None => registry.hospitals.keys().cloned().collect(),
        };
        let mut keys = Vec::new();
        for hospital in &hospitals {
            self.archive
                .views()
                .visit_days(hospital, &from, &to, &mut |key| {
                    keys.push(key);
                    Ok(match keys.len() < EXAMS_LIMIT {
                        true => Walk::On,
                        false => Walk::Stop,
                    })
                })?;
        }
        anyhow::ensure!(
            keys.len() < EXAMS_LIMIT,
            "一次至多 {EXAMS_LIMIT} 个检查，请分段 (exams at a time: give a shorter span)"
        );
        Ok(keys)
    }

    /// Those whose index may become another one than it is.
    fn exams(&self, keys: &[ExamKey]) -> anyhow::Result<Vec<AskedIndex>> {
        let views = self.archive.views();
        let mut exams = Vec::new();
        for key in keys {
            let Some(exam) = views.exam(key)?.filter(|row| !row.has(ExamFlag::Test)) else {
                continue;
            };
            let known = views.national_index(key)?;
            if !self.is_wanted(&exam, known.as_ref()) {
                continue;
            }
            let person = match known.and_then(|row| row.person) {
                Some(_) => None,
                None => self.person(&exam)?,
            };
            exams.push(AskedIndex {
                exam: key.clone(),
                content: exam.position,
                person,
            });
        }
        Ok(exams)
    }

    fn is_wanted(&self, exam: &ExamRow, known: Option<&IndexRow>) -> bool {
        let Some(known) = known else {
            return true;
        };
        let registry = self.archive.registry();
        let hospital = registry.hospitals.get(&exam.key.hospital);
        let unit = hospital.and_then(|hospital| hospital.credit_code.as_ref());
        let is_units = |index: &str| unit.is_some_and(|unit| index.ends_with(unit.as_str()));
        match known.state {
            IndexState::Incomplete => true,
            IndexState::Refused if self.again => true,
            IndexState::Withdrawn => false,
            _ => !known.in_force().is_some_and(|it| is_units(it.as_str())),
        }
    }

    /// As the exam's content has it, else as the table has it for the identity there.
    fn person(&self, exam: &ExamRow) -> anyhow::Result<Option<PersonCode>> {
        let content = self.archive.pushed_content(exam.position)?;
        let summary = ExamSummary::from_json(&content.json)?;
        let mut given = summary
            .identities
            .iter()
            .filter(|it| self.settings.is_person(&it.id_type))
            .filter_map(|it| PersonCode::new(&it.number).ok());
        let of_table = || {
            let persons = self.persons.as_ref()?;
            let mut numbers = summary.identities.iter().map(|it| &*it.number);
            numbers.find_map(|number| persons.of(number).cloned())
        };
        Ok(given.next().or_else(of_table))
    }
}
