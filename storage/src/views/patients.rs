//! Exams by what their patients are known by.

use yingku_core::exam::ExamRow;
use yingku_core::identity::{JoinKey, PersonKey};
use yingku_core::ids::ExamKey;
use yingku_core::supervision::{SupervisedKey, SupervisedRow};

use super::keys::NumberKind;
use super::{View, Views, ViewsError, Walk, keys};

impl Views {
    /// Exams under a number, in order of hospital and exam number; `limit` at most. Those of a document or card count all; those
    /// of a hospital's own number need not.
    pub fn exams_joined_by(&self, key: &JoinKey, limit: usize) -> Result<Vec<ExamKey>, ViewsError> {
        let mut exams = Vec::new();
        let mut add = |exam: Option<ExamKey>| {
            exams.extend(exam);
            match exams.len() < limit {
                true => Walk::On,
                false => Walk::Stop,
            }
        };
        match key {
            JoinKey::Person(person) => {
                let prefix = keys::patients::of_person(*person);
                self.scan(View::PatientKeys, &prefix, &[], |line, _| {
                    Ok(add(keys::patients::exam_of(line)))
                })?;
            }
            JoinKey::Patient {
                hospital,
                generation,
                sick_id,
            } => {
                let prefix = keys::exams_of_hospital(hospital, sick_id, NumberKind::SickId);
                self.scan(View::ExamsByNumber, &prefix, &[], |line, _| {
                    let exam = keys::exam_of_number(line);
                    Ok(add(exam.filter(|exam| exam.generation == *generation)))
                })?;
            }
        }
        Ok(exams)
    }

    /// Documents and cards that lead to an exam; none of one that does not count, or whose content came before the rules
    /// that keep them (`SUPERVISION_SINCE_RULES`), as the second value says.
    pub fn persons_of(&self, exam: &ExamRow) -> Result<(Vec<PersonKey>, bool), ViewsError> {
        let line = keys::supervised::line(&SupervisedKey::of(exam));
        let row: Option<SupervisedRow> = self.get(View::Supervised, &line)?;
        let is_known = row.as_ref().is_some_and(|row| row.content.is_some());
        let persons = row.map(|row| row.joins_by().to_vec());
        Ok((persons.unwrap_or_default(), is_known))
    }
}
