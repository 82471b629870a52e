//! Exams as readers look them up: by key, by number, by day; now and at a past position.

use yingku_core::exam::{ExamHistory, ExamRow};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, Position, StudyUid};

use super::keys::{self, NumberKind};
use super::{View, Views, ViewsError, Walk};

/// Exams that one question may look at before it must be narrowed.
pub const EXAMS_LOOKED_AT_LIMIT: usize = 200_000;

/// Which index leads to the exams; the caller compares the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExamSelector {
    Key {
        hospital: HospitalCode,
        exam_no: ExamNo,
    },
    /// Any of these numbers of an exam or its patient.
    Number(String, Vec<NumberKind>),
    /// The same, of one hospital.
    OfHospital {
        hospital: HospitalCode,
        number: String,
        kinds: Vec<NumberKind>,
    },
    /// Exams that the study UID leads to ([`StudyClaims::leads_to`](yingku_core::instance::StudyClaims::leads_to)).
    Study(StudyUid),
    /// Days of these hospitals, `YYYY-MM-DD`, both included.
    Days {
        hospitals: Vec<HospitalCode>,
        from: String,
        to: String,
    },
}

impl Views {
    pub fn exam(&self, key: &ExamKey) -> Result<Option<ExamRow>, ViewsError> {
        self.get(View::Exams, &keys::exam(key))
    }

    /// Whether there is an exam of this hospital, withdrawn or not.
    pub fn has_exams(&self, hospital: &HospitalCode) -> Result<bool, ViewsError> {
        let mut found = false;
        let prefix = keys::hospital(hospital.as_str());
        self.scan(View::Exams, &prefix, &[], |_, _| {
            found = true;
            Ok(Walk::Stop)
        })?;
        Ok(found)
    }

    /// The exam of a number's latest generation.
    pub fn latest_exam(
        &self,
        hospital: &HospitalCode,
        exam_no: &ExamNo,
    ) -> Result<Option<ExamRow>, ViewsError> {
        let prefix = keys::Key::default()
            .text(hospital.as_str())
            .text(exam_no.as_str())
            .done();
        let mut latest = None;
        self.scan(View::Exams, &prefix, &[], |_, value| {
            latest = Some(super::decode(View::Exams, value)?);
            Ok(Walk::On)
        })?;
        Ok(latest)
    }

    /// Every line of an exam's history up to a position, oldest first.
    pub fn history(
        &self,
        key: &ExamKey,
        as_of: Option<Position>,
    ) -> Result<Vec<ExamHistory>, ViewsError> {
        let mut lines = Vec::new();
        self.scan(View::History, &keys::exam(key), &[], |_, value| {
            let line: ExamHistory = super::decode(View::History, value)?;
            if as_of.is_some_and(|end| line.position >= end) {
                return Ok(Walk::Stop);
            }
            lines.push(line);
            Ok(Walk::On)
        })?;
        Ok(lines)
    }

    /// The exam as it stood before a position; `None` position: now.
    pub fn exam_as_of(
        &self,
        key: &ExamKey,
        as_of: Option<Position>,
    ) -> Result<Option<ExamRow>, ViewsError> {
        match as_of {
            None => self.exam(key),
            Some(_) => Ok(self.history(key, as_of)?.pop().map(|line| line.row)),
        }
    }

    /// Exams that an index leads to, in no particular order, each once.
    pub fn exams(&self, selector: &ExamSelector) -> Result<Vec<ExamRow>, ViewsError> {
        let mut keys_found = std::collections::BTreeSet::new();
        let mut add = |key: Option<ExamKey>| {
            keys_found.extend(key);
            if keys_found.len() > EXAMS_LOOKED_AT_LIMIT {
                return Err(ViewsError::TooMany {
                    limit: EXAMS_LOOKED_AT_LIMIT,
                });
            }
            Ok(Walk::On)
        };
        match selector {
            ExamSelector::Key { hospital, exam_no } => {
                return Ok(self.latest_exam(hospital, exam_no)?.into_iter().collect());
            }
            ExamSelector::Number(number, kinds) => {
                for kind in kinds {
                    let prefix = keys::exams_with_number(number, *kind);
                    self.scan(View::ExamsByNumber, &prefix, &[], |key, _| {
                        add(keys::exam_of_number(key))
                    })?;
                }
            }
            ExamSelector::OfHospital {
                hospital,
                number,
                kinds,
            } => {
                for kind in kinds {
                    let prefix = keys::exams_of_hospital(hospital, number, *kind);
                    self.scan(View::ExamsByNumber, &prefix, &[], |key, _| {
                        add(keys::exam_of_number(key))
                    })?;
                }
            }
            ExamSelector::Study(uid) => {
                let claims = self.claims(uid)?.unwrap_or_default();
                for claim in &claims.claims {
                    add(claims.leads_to(&claim.exam).then(|| claim.exam.clone()))?;
                }
            }
            ExamSelector::Days {
                hospitals,
                from,
                to,
            } => {
                for hospital in hospitals {
                    self.visit_days(hospital, from, to, &mut |key| add(Some(key)))?;
                }
            }
        }
        let mut rows = Vec::with_capacity(keys_found.len());
        for key in keys_found {
            rows.extend(self.exam(&key)?);
        }
        Ok(rows)
    }

    /// Keys of exams that have, or once had, their exam date within these days.
    pub fn visit_days(
        &self,
        hospital: &HospitalCode,
        from: &str,
        to: &str,
        visit: &mut dyn FnMut(ExamKey) -> Result<Walk, ViewsError>,
    ) -> Result<(), ViewsError> {
        let prefix = keys::hospital(hospital.as_str());
        let start = keys::day(hospital.as_str(), from);
        let last = keys::day(hospital.as_str(), to);
        self.scan(View::ExamsByDay, &prefix, &start, |key, _| {
            if key
                .get(..last.len())
                .is_some_and(|day| day > last.as_slice())
            {
                return Ok(Walk::Stop);
            }
            match keys::exam_of_day(key) {
                Some(exam) => visit(exam),
                None => Ok(Walk::On),
            }
        })
    }

    /// Every exam row: for recounts and purges.
    pub fn visit_all_exams(
        &self,
        visit: &mut dyn FnMut(ExamRow) -> Walk,
    ) -> Result<(), ViewsError> {
        self.scan(View::Exams, &[], &[], |_, value| {
            Ok(visit(super::decode(View::Exams, value)?))
        })
    }
}
