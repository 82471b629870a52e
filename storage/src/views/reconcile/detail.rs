//! What `uploadDetail` names, held against the exams that are here (R10).

use std::collections::{BTreeMap, BTreeSet};

use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode};
use yingku_core::reconcile::{Place, Why};
use yingku_core::statistics::DetailLine;

use super::super::ViewsError;
use super::Gathering;
use super::images::Images;

/// Named exams of one hospital, by their number.
#[derive(Default)]
pub(super) struct Named(BTreeMap<String, Vec<NamedOnDay>>);

/// An exam as the lists of one day name it.
struct NamedOnDay {
    /// Of the first list that does.
    place: Place,
    lines: Vec<DetailLine>,
    /// Whether an exam of that day has the number.
    is_here: bool,
}

impl Named {
    pub(super) fn add(&mut self, place: &Place, lines: Vec<DetailLine>) {
        for line in lines {
            let days = self.0.entry(line.exam_no.clone()).or_default();
            match days.iter_mut().find(|day| day.place.date == place.date) {
                Some(day) => day.lines.push(line),
                None => days.push(NamedOnDay {
                    place: place.clone(),
                    lines: vec![line],
                    is_here: false,
                }),
            }
        }
    }

    /// Forms of named exams that are not there.
    pub(super) fn forms_not_here(&self) -> BTreeSet<String> {
        let days = self.0.values().flatten().filter(|day| !day.is_here);
        let lines = days.flat_map(|day| &day.lines);
        lines.map(|line| line.apply_no.clone()).collect()
    }

    /// In what an exam is not as it was named for its day.
    pub(super) fn differences(&mut self, exam: &ExamRow, images: &Images) -> Vec<Why> {
        let days = self.0.get_mut(exam.key.exam_no.as_str());
        let mut days = days.into_iter().flatten();
        let Some(day) = days.find(|day| day.place.date == exam.exam_date()) else {
            return Vec::new();
        };
        day.is_here = true;
        images.differences(&day.lines, exam)
    }
}

impl Gathering<'_> {
    /// Enters the named exams that are not where they were named: never registered, or on another day.
    pub(super) fn not_in_place(
        &mut self,
        hospital: &HospitalCode,
        named: Named,
    ) -> Result<(), ViewsError> {
        for (name, days) in named.0 {
            let Ok(exam_no) = ExamNo::new(&name) else {
                continue;
            };
            for day in days.into_iter().filter(|day| !day.is_here) {
                match self.registered(hospital, &exam_no)? {
                    None => self.book.not_registered(&day.place, &name),
                    Some(exam) if exam.has(ExamFlag::Test) => {}
                    Some(exam) => {
                        let images =
                            Images::of(self.views, self.as_of, std::slice::from_ref(&exam))?;
                        let mut differs = vec![Why::DateDiffers];
                        differs.extend(images.differences(&day.lines, &exam));
                        self.book.elsewhere(&day.place, &exam, differs);
                    }
                }
            }
        }
        Ok(())
    }

    /// The exam of a number as it stood, of the latest generation that there was.
    fn registered(
        &self,
        hospital: &HospitalCode,
        exam_no: &ExamNo,
    ) -> Result<Option<ExamRow>, ViewsError> {
        let Some(latest) = self.views.latest_exam(hospital, exam_no)? else {
            return Ok(None);
        };
        if self.as_of.is_none() {
            return Ok(Some(latest));
        }
        for generation in (0..=latest.key.generation).rev() {
            let key = ExamKey {
                generation,
                ..latest.key.clone()
            };
            if let Some(row) = self.views.exam_as_of(&key, self.as_of)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}
