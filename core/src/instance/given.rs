//! A study that an operator gave to an exam, or ruled to be its: queries answer that exam's patient, not the one in the images.
//!
//! The images leave as they came, with the identifiers that they carry (design §3); what is corrected lives here.

use serde::{Deserialize, Serialize};

use super::facts::{PatientFacts, StudyFacts};
use super::matching::ACCESSION_CHARACTERS;
use super::study::{Claim, Numbers, StudyRow};
use crate::exam::ExamRow;
use crate::ids::{ExamKey, StudyUid};

/// What queries answer and match instead of the images' own attributes.
///
/// Of the exam: name, PatientID, birth date, sex and AccessionNumber. Of the images: what tells of the scan itself
/// (StudyDate and StudyTime, description, institution), for a ruling says whose images they are, not when or how they
/// were made. Empty: what tells of the other exam and a push does not give (age, StudyID, referring physician).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub exam: ExamKey,
    pub patient: PatientFacts,
    pub study: StudyFacts,
}

impl Given {
    pub fn of(exam: &ExamRow, study: &StudyUid, images: &StudyFacts) -> Self {
        Self {
            exam: exam.key.clone(),
            patient: PatientFacts {
                name: name(&exam.name),
                id: value(&exam.patient_id),
                birth_date: birth_date(&exam.birth_date),
                sex: sex(&exam.sex).to_owned(),
            },
            study: StudyFacts {
                accession_no: accession_no(exam, study),
                id: String::new(),
                referring_physician: String::new(),
                patient_age: String::new(),
                ..images.clone()
            },
        }
    }
}

impl Given {
    /// The images' own attributes under the claiming exam's numbers.
    pub fn renumbered(claim: &Claim, row: &StudyRow) -> Self {
        let numbers = Numbers::of(claim, &row.study.accession_no);
        Self {
            exam: claim.exam.clone(),
            patient: PatientFacts {
                id: numbers.patient_id,
                ..row.patient.clone()
            },
            study: StudyFacts {
                accession_no: numbers.accession_no,
                ..row.study.clone()
            },
        }
    }
}

impl Numbers {
    /// As images of the claiming exam would carry them.
    pub fn of(claim: &Claim, accession_no: &str) -> Self {
        let told = claim.accession_no.as_deref();
        Self {
            patient_id: value(&claim.patient_id),
            accession_no: told.map_or_else(|| accession_no.to_owned(), cut),
        }
    }
}

/// That of the declared study, else the first that the exam declares, cut as images of that exam would carry it.
fn accession_no(exam: &ExamRow, study: &StudyUid) -> String {
    let declared = exam.studies.iter().filter(|known| known.uid == *study);
    let number = declared
        .chain(&exam.studies)
        .find_map(|known| known.accession_no.as_deref());
    cut(number.unwrap_or_default())
}

fn cut(accession_no: &str) -> String {
    let number: String = accession_no.chars().take(ACCESSION_CHARACTERS).collect();
    value(&number)
}

/// A pushed sex as DICOM writes it; empty if it is neither.
pub(super) fn sex(pushed: &str) -> &'static str {
    match pushed {
        "男" => "M",
        "女" => "F",
        _ => "",
    }
}

/// A pushed birth date as DICOM writes it; empty if it is none.
pub(super) fn birth_date(pushed: &str) -> String {
    let digits: String = pushed.chars().filter(char::is_ascii_digit).collect();
    if digits.len() == 8 {
        digits
    } else {
        String::new()
    }
}

/// One name in one group: `=` would begin another (PS3.5 §6.2.1).
fn name(pushed: &str) -> String {
    value(&pushed.replace('=', " "))
}

/// One value: a backslash would begin another, and control characters are none of a value's (PS3.5 §6.2).
fn value(pushed: &str) -> String {
    pushed.replace(|c: char| c == '\\' || c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::{birth_date, name, sex, value};

    #[test]
    fn pushed_values_are_written_as_dicom_has_them() {
        assert_eq!((sex("男"), sex("女"), sex("未知")), ("M", "F", ""));
        assert_eq!(
            (birth_date("1971-02-03"), birth_date("71")),
            ("19710203".into(), String::new())
        );
        // What would begin another group, another value or another line
        assert_eq!(name("王=小\\东\n"), "王 小 东 ");
        assert_eq!(value("CT\\1"), "CT 1");
    }
}
