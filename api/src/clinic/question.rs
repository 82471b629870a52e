//! Which exams the numbers of an opening lead to (R18), and which of them is asked for.

use yingku_core::contract::clinic::{Numbers, Query};
use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{HospitalCode, Position};
use yingku_storage::views::exams::ExamSelector;
use yingku_storage::views::keys::NumberKind;

use super::House;
use super::admission::Opening;
use super::images::Place;
use super::trouble::Trouble;
use crate::error::Failure;
use crate::rest::reading::Shown;

/// Exams that one opening may lead to: the most of a patient of many years are some hundred.
const EXAMS_LIMIT: usize = 1_000;

/// What of the page is asked for.
#[derive(Default)]
pub struct Asked {
    exam: Option<(String, u16)>,
    /// Record of the version that is looked at; `None`: the current one.
    pub version: Option<Position>,
    /// The exam's images, and which of them; `None`: its report.
    pub images: Option<Place>,
    /// From 1.
    pub page: usize,
}

impl Asked {
    pub fn read(query: &Query) -> Result<Self, Trouble> {
        let number = |name: &'static str| -> Result<Option<u64>, Trouble> {
            let Some(text) = query.get(name).map_err(Trouble::query)? else {
                return Ok(None);
            };
            text.parse().map(Some).map_err(|_| Trouble::Question {
                rule: "clinic-parameter",
                said: format!("参数 {name} 应为数字 ({name} must be a number)"),
            })
        };
        let generation = number("generation")?.unwrap_or_default();
        let generation = u16::try_from(generation).map_err(|_| Trouble::NoExam)?;
        let exam = query.get("exam").map_err(Trouble::query)?;
        let place = |name| -> Result<Option<usize>, Trouble> {
            let number = number(name)?;
            Ok(number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
        };
        let (series, at) = (place("series")?, place("image")?);
        let window = query.get("window").map_err(Trouble::query)?;
        let page = number("page")?.unwrap_or(1).max(1);
        Ok(Self {
            exam: exam.map(|exam| (exam.to_owned(), generation)),
            version: number("version")?.map(Position),
            images: series.map(|series| Place {
                series,
                at: at.unwrap_or(1),
                window: window.unwrap_or_default().to_owned(),
            }),
            page: usize::try_from(page).unwrap_or(usize::MAX),
        })
    }

    /// The exam whose page is asked for; `None`: the list. A number of an exam that leads to just one opens it at once.
    pub fn choose<'r>(
        &self,
        opening: &Opening,
        found: &'r [ExamRow],
    ) -> Result<Option<&'r ExamRow>, Trouble> {
        match (&self.exam, found) {
            (_, []) => Err(Trouble::NoExam),
            (Some((number, generation)), rows) => rows
                .iter()
                .find(|row| row.key.exam_no.as_str() == number && row.key.generation == *generation)
                .map(Some)
                .ok_or(Trouble::NoExam),
            (None, [only]) if opening.numbers.exam_no.is_some() => Ok(Some(only)),
            (None, _) => Ok(None),
        }
    }
}

/// The exams, newest first. A withdrawn one is among them, so that who looks for it learns that; pages show nothing else of
/// it.
pub fn find(house: &House) -> Result<Vec<ExamRow>, Trouble> {
    let opening = &house.opening;
    let selector = selector(&opening.numbers, &opening.hospital).ok_or(Trouble::NoExam)?;
    let mut rows = house.views.exams(&selector).map_err(Failure::from)?;
    rows.retain(|row| {
        row.key.hospital == opening.hospital
            && opening.numbers.fit(row)
            && !row.has(ExamFlag::Superseded)
            && opening.reading.is_for(row, &house.registry) == Shown::Yes
    });
    // A number that the hospital gave again means the exam that has it now (R6).
    if opening.numbers.exam_no.is_some() {
        let latest = rows.iter().map(|row| row.key.generation).max();
        rows.retain(|row| Some(row.key.generation) == latest);
    }
    if rows.len() > EXAMS_LIMIT {
        return Err(Trouble::TooManyExams);
    }
    let mut there = rows.iter().filter(|row| row.withdrawn.is_none());
    if let Some(first) = there.next()
        && there.any(|row| row.sick_id != first.sick_id)
    {
        return Err(Trouble::SeveralPatients);
    }
    rows.sort_by(|a, b| {
        let of = |row: &ExamRow| (row.exam_time.clone(), row.first_position);
        of(b).cmp(&of(a))
    });
    Ok(rows)
}

/// The index that narrows most.
fn selector(numbers: &Numbers, hospital: &HospitalCode) -> Option<ExamSelector> {
    let kinds = |name| match name {
        "exam_no" => vec![NumberKind::ExamNo, NumberKind::ApplyNo],
        "pat_local_id" => vec![NumberKind::PatientId],
        "inpatient_no" => vec![NumberKind::InpatientNo],
        "outpatient_no" => vec![NumberKind::OutpatientNo],
        _ => vec![NumberKind::SickId],
    };
    let (name, number) = numbers.pairs().next()?;
    Some(ExamSelector::OfHospital {
        hospital: hospital.clone(),
        number: number.to_owned(),
        kinds: kinds(name),
    })
}
